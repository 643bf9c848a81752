"""The rows of whole commands: a process from its start to its end, as a user waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from scripts.bench.local_aws import ROOT
from scripts.bench.table import Counts, Row, Side, Workbench

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.bench.sandbox import SandboxCluster

PIO_TF = Path(sys.executable).with_name("pio-tf")
SCRIPT = """\
import boto3
ec2 = boto3.Session(profile_name="sandbox").client("ec2", region_name="us-east-1", endpoint_url={url!r})
pages = ec2.get_paginator("describe_instances").paginate(Filters=[dict(Name="tag:pio-tf:cluster", Values=["bench"])])
for machine in (one for page in pages for group in page["Reservations"] for one in group["Instances"]):
    print(machine["InstanceId"], machine["InstanceType"], machine["State"]["Name"], machine["PrivateIpAddress"])
"""
"""The shortest script that shows a cluster's machines."""
LOAD = "from pio_tf.config.load import load_config; config = load_config({config!r}, environ={{}})"
CLIENT = "from pio_tf.aws.session import Aws; Aws(config).client('ec2')"


def rows() -> tuple[Row, ...]:
    """Return the rows of whole commands."""
    return (
        Row("help", "python -c pass", 0.08, help_, limits="seconds more"),
        Row("config", "python -c pass", 0.08, config, limits="seconds more"),
        Row("client", "boto3.client('ec2')", 1.1, client),
        Row("status", "boto3 script of 5 lines", 1.5, status),
        Row("output", "terraform output -json", 1.8, output),
        Row("config-show", "terraform output -json", 2.0, config_show),
        Row("plan", "terraform plan", 1.15, plan),
    )


def help_(_: Workbench) -> tuple[Side, Side]:
    """Return the sides of ``--help``."""
    return program([PIO_TF, "--help"]), program([sys.executable, "-c", "pass"])


def config(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of reading pio-tf.hcl in a new process."""
    path = str(workbench.cluster.project / "pio-tf.hcl")
    return program([sys.executable, "-c", LOAD.format(config=path)]), program([sys.executable, "-c", "pass"])


def client(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of a client for EC2 in a new process; pio-tf reads pio-tf.hcl for it."""
    ours = LOAD.format(config=str(workbench.aws.write_config("client"))) + "; " + CLIENT
    plain = "import boto3; boto3.client('ec2', region_name='eu-west-1')"
    return program([sys.executable, "-c", ours]), program([sys.executable, "-c", plain])


def status(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of ``status`` for machines that run."""
    cluster = workbench.cluster
    code = SCRIPT.format(url=cluster.url)
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(cluster.project / ".pio-tf" / "sandbox_credentials")}
    environment = cluster.environment | files
    other = program(
        [sys.executable, "-c", code], environment=environment, counted=["-c", code], directory=cluster.project
    )
    return command(cluster, "status"), other


def output(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of ``output``."""
    return command(workbench.cluster, "output"), terraform(workbench.cluster, "output", "-json")


def config_show(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of ``config show pio-env.sh``."""
    cluster = workbench.cluster
    return command(cluster, "config", "show", "pio-env.sh"), terraform(cluster, "output", "-json")


def plan(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of ``plan`` for a cluster without changes."""
    cluster = workbench.cluster
    return command(cluster, "plan"), terraform(cluster, "plan", "-input=false")


def command(cluster: SandboxCluster, *arguments: str) -> Side:
    """Return pio-tf's side: a command in the cluster's project."""
    return program(
        [PIO_TF, *arguments],
        environment=cluster.environment,
        counted=["pio-tf", *arguments],
        directory=cluster.project,
    )


def terraform(cluster: SandboxCluster, *arguments: str) -> Side:
    """Return the other side: Terraform in the stack of the cluster, the program that pio-tf uses."""
    stack = cluster.project / ".pio-tf" / "bench" / "stack"
    binary = json.loads((stack / ".terraform" / "pio-tf-initialised.json").read_text())["terraform"][0]
    environment = cluster.environment | {
        "TF_CLI_CONFIG_FILE": str(cluster.terraformrc),
        "AWS_SHARED_CREDENTIALS_FILE": str(cluster.project / ".pio-tf" / "sandbox_credentials"),
        "AWS_PROFILE": "sandbox",
        "CHECKPOINT_DISABLE": "1",
    }
    side = program([binary, f"-chdir={stack}", *arguments], environment=environment)
    return Side(side.run, counts=lambda: Counts(0, 1))


def program(
    words: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    counted: Sequence[str] = (),
    directory: Path | None = None,
) -> Side:
    """Return the side of a program, which must succeed.

    Args:
        counted: the same as arguments of :mod:`scripts.bench.counting`.
    """

    def run() -> None:
        done = subprocess.run(
            words, cwd=directory, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words} ended with {done.returncode}\n{(done.stdout + done.stderr).decode()}")

    def count() -> Counts:
        return count_calls(counted, environment=environment or dict(os.environ), directory=directory or Path.cwd())

    return Side(run, counts=count if counted else None)


def count_calls(arguments: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> Counts:
    """Run a command or code, and return its calls to AWS and its runs of Terraform."""
    with TemporaryDirectory() as name:
        file = Path(name, "counts.json")
        subprocess.run(
            [sys.executable, "-m", "scripts.bench.counting", file, *arguments],
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=directory,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        found = json.loads(file.read_text())
    terraform = [words for words in found["programs"] if Path(words[0]).name in ("terraform", "tofu")]
    return Counts(len(found["requests"]), len(terraform))
