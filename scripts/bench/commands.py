"""The rows of whole commands: a process from its start to its end, as a user waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from scripts.bench.counting import run_counted
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
FIFTY = """
spark {{ workers = 48 }}
terraform {{ cli_config_file = "{rc}" }}
"""
"""Blocks of a cluster of 50 machines."""
AS_USERS_APPLY = ("-input=false", "-auto-approve", "-parallelism=50")
LOAD = "from pio_tf.config.load import load_config; config = load_config({config!r}, environ={{}})"
CLIENT = "from pio_tf.aws.session import Aws; Aws(config).client('ec2')"
ONE_OPTION = """
from pydantic import BaseModel
class Options(BaseModel):
    name: str
Options.model_validate({"name": "demo"})
"""
"""The shortest check of a configuration by pydantic, which loads half of itself when it builds the first model."""


def rows() -> tuple[Row, ...]:
    """Return the rows of whole commands."""
    return (
        Row("help", "python -c pass", 0.08, help_, limits="seconds more"),
        Row("config", "pydantic checks one option", 0.08, config, limits="seconds more"),
        Row("client", "boto3.client('ec2')", 1.1, client),
        Row("status", "boto3 script of 5 lines", 1.5, status),
        Row("output", "terraform output -json", 1.8, output),
        Row("config-show", "terraform output -json", 2.0, config_show),
        Row("plan", "terraform plan", 1.15, plan),
        Row("create", "terraform apply -parallelism=50", 1.05, create, turns=3, named_only=True),
    )


def help_(_: Workbench) -> tuple[Side, Side]:
    """Return the sides of ``--help``."""
    return program([PIO_TF, "--help"]), program([sys.executable, "-c", "pass"])


def config(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of reading pio-tf.hcl in a new process, beside the library that checks it."""
    ours = LOAD.format(config=str(workbench.cluster.project / "pio-tf.hcl"))
    return program([sys.executable, "-c", ours]), program([sys.executable, "-c", ONE_OPTION])


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


def create(workbench: Workbench) -> tuple[Side, Side]:
    """Return the sides of creating 50 machines: each time another cluster, whose stack is initialised before."""
    return Creation(workbench, "pio").side(), Creation(workbench, "plain").side()


class Creation:
    """One way to create clusters of 50 machines, one after the other."""

    def __init__(self, workbench: Workbench, kind: str) -> None:
        self._workbench = workbench
        self._kind = kind
        self._number = 0
        self._words: list[str | Path] = []
        """The command that creates the cluster that is prepared."""

    def side(self) -> Side:
        """Return the side of a row."""
        return Side(lambda: program(self._words, environment=self._environment()).run(), prepare=self.prepare)

    def prepare(self) -> None:
        """Write a configuration, and plan it once: with that, its stack is initialised."""
        self._number += 1
        name = f"{self._kind}-{self._number}"
        aws = self._workbench.aws
        asyncssh.generate_private_key("ssh-ed25519").write_public_key(aws.directory / "id_ed25519.pub")
        path = aws.write_config(name, FIFTY.format(rc=self._workbench.terraformrc))
        program([PIO_TF, "plan", "--config", path], environment=self._environment()).run()
        stack = aws.directory / ".pio-tf" / name / "stack"
        self._words = [PIO_TF, "apply", "--config", path]
        if self._kind == "plain":
            self._words = [initialised_with(stack), f"-chdir={stack}", "apply", *AS_USERS_APPLY]

    def _environment(self) -> dict[str, str]:
        files = {"TF_CLI_CONFIG_FILE": str(self._workbench.terraformrc), "CHECKPOINT_DISABLE": "1"}
        files["AWS_SHARED_CREDENTIALS_FILE"] = str(self._workbench.aws.directory / "credentials")
        return {**os.environ, **files}


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
    environment = cluster.environment | {
        "TF_CLI_CONFIG_FILE": str(cluster.terraformrc),
        "AWS_SHARED_CREDENTIALS_FILE": str(cluster.project / ".pio-tf" / "sandbox_credentials"),
        "AWS_PROFILE": "sandbox",
        "CHECKPOINT_DISABLE": "1",
    }
    side = program([initialised_with(stack), f"-chdir={stack}", *arguments], environment=environment)
    return Side(side.run, counts=lambda: Counts(0, 1))


def initialised_with(stack: Path) -> str:
    """Return the Terraform that pio-tf uses in a stack."""
    found: str = json.loads((stack / ".terraform" / "pio-tf-initialised.json").read_text())["terraform"][0]
    return found


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
            raise RuntimeError(f"{words} ended with {done.returncode}\n{(done.stdout + done.stderr).decode()[-2000:]}")

    def count() -> Counts:
        return count_calls(counted, environment=environment or dict(os.environ), directory=directory or Path.cwd())

    return Side(run, counts=count if counted else None)


def count_calls(arguments: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> Counts:
    """Run a command or code, which must succeed; return its calls to AWS and its runs of Terraform."""
    counted = run_counted(arguments, environment=environment, directory=directory)
    if counted.exit_code:
        raise RuntimeError(f"{arguments} ended with {counted.exit_code}\n{counted.output}")
    return Counts(len(counted.requests), len(counted.terraform_runs))
