"""How fast pio-tf is against the least that could do the same, in one run on one machine. Run by ``make bench``.

1. ``pio-tf --help`` against ``python -c pass`` and ``aws --help``: whole processes, alternating, medians.
2. A client for EC2, from nothing: ``Aws(config).client("ec2")`` against ``boto3.client("ec2")``: whole processes.
3. ``status``, ``down`` and ``up`` from stopped, against the shortest boto3 script that does the same, on a local AWS in
   a process of its own whose machines change their state at once: so what is measured is the program, not the wait.
   Measured are the functions behind the commands (``find_machines``, ``stop_machines``, ``start_machines``); the
   commands also read Terraform's outputs. Both sides alternate, each with a client of its own; calls are those sent.
4. ``check_references``, and the same checks one after the other.

Figures are medians. ``--runs`` and ``--sizes`` make it shorter or longer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import boto3

from pio_tf.config.load import load_config
from pio_tf.infra.outputs import MachineOutput, Outputs
from pio_tf.machines import references
from pio_tf.machines.aws import Aws
from pio_tf.machines.inventory import find_machines
from pio_tf.machines.model import CLUSTER_TAG
from pio_tf.machines.power import start_machines, stop_machines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from pio_tf.config.schema import Config

ROOT = Path(__file__).resolve().parent.parent
AWSCLI = ROOT / "build" / "bench-awscli"
IMAGE = "ami-0a1b2c3d4e5f60718"
AWS = f"import sys; sys.path.insert(0, {str(AWSCLI)!r}); from awscli.clidriver import main; sys.exit(main())"
KEY = "x"
SERVER = """
import sys
from pio_tf.sandbox.aws import LocalAws
with LocalAws(transition_seconds=0) as aws:
    print(aws.url, flush=True)
    sys.stdin.read()
"""
CONFIG = """
cluster {{ name = "{name}" }}
aws {{
  region           = "eu-west-1"
  endpoint_url     = "{url}"
  credentials_file = "{credentials}"
}}
network {{ cidr = "10.1.0.0/20" }}
ssh {{ key = "id_ed25519" }}
pio {{ engine_dir = "/home/aml/ur" }}
elasticsearch {{ hosts = ["es-1"] }}
hbase {{ hosts = ["hbase-1"] }}
hdfs {{ namenode = "hdfs-1" }}
"""


@dataclass
class Side:
    """One of the two that are compared: its times, and the calls of each time."""

    seconds: list[float]
    calls: list[int]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def main() -> None:
    """Everything, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each side of an operation (default: 5)")
    parser.add_argument("--starts", type=int, default=15, help="of each process (default: 15)")
    parser.add_argument("--sizes", default="10,100,500", help="machines (default: 10,100,500)")
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, boto3 {boto3.__version__}, {os.cpu_count()} cores\n")
    bench_help(arguments.starts)
    with tempfile.TemporaryDirectory() as directory, local_aws() as url:
        credentials = Path(directory) / "credentials"
        credentials.write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
        bench_client(write_config(Path(directory), "client", url=url), starts=max(arguments.starts // 2, 3))
        print("\noperation  machines   pio-tf   script   ratio   calls pio-tf / script")
        for size in [int(text) for text in arguments.sizes.split(",")]:
            config = load_config(write_config(Path(directory), f"bench-{size}", url=url), environ={})
            bench_power(config, url=url, size=size, runs=arguments.runs)
        bench_references(load_config(write_config(Path(directory), "references", url=url), environ={}), arguments.runs)


def bench_help(starts: int) -> None:
    """``--help`` as a user waits for it."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "pio-tf --help": [str(Path(sys.executable).with_name("pio-tf")), "--help"],
    }
    problem = install_awscli()
    if not problem:
        commands["aws --help"] = [sys.executable, "-c", AWS, "--help"]
    times = alternate_processes(commands, starts=starts)
    bare = times["python -c pass"]
    print("process             median   above bare Python")
    for name, seconds in times.items():
        print(f"{name:<17} {milliseconds(seconds)}   {milliseconds(seconds - bare)}")
    if problem:
        print(f"aws --help: left out, the PyPI package awscli could not be installed: {problem}")


def bench_client(config: Path, *, starts: int) -> None:
    """A client, in a new process: the wait before the first call of every command that asks AWS."""
    ours = "from pio_tf.config.load import load_config; from pio_tf.machines.aws import Aws"
    commands = {
        "boto3.client": [sys.executable, "-c", "import boto3; boto3.client('ec2', region_name='eu-west-1')"],
        "Aws(config).client": [
            sys.executable,
            "-c",
            f"{ours}; Aws(load_config({str(config)!r}, environ={{}})).client('ec2')",
        ],
        "config alone": [sys.executable, "-c", f"{ours}; load_config({str(config)!r}, environ={{}})"],
    }
    times = alternate_processes(commands, starts=starts)
    print("\nEC2 client, new process   median")
    for name, seconds in times.items():
        print(f"{name:<23} {milliseconds(seconds)}")


def bench_power(config: Config, *, url: str, size: int, runs: int) -> None:
    """status, down and up of one cluster; the other side's cluster is the same one."""
    ours = Aws(config).client("ec2")
    plain = boto3.client(
        "ec2", region_name="eu-west-1", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=KEY
    )
    name = config.cluster.name
    outputs = make_cluster(plain, name, size=size)
    operations: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "status": (
            lambda: find_machines(ours, cluster=name, outputs=outputs),
            lambda: script_find(plain, name),
        ),
        "down": (
            lambda: stop_machines(ours, find_machines(ours, cluster=name, outputs=outputs), timeout=600),
            lambda: script_stop(plain, name),
        ),
        "up": (
            lambda: start_machines(ours, find_machines(ours, cluster=name, outputs=outputs), timeout=600),
            lambda: script_start(plain, name),
        ),
    }
    sides = {operation: (Side([], []), Side([], [])) for operation in operations}
    for function in operations["status"]:  # once unmeasured: connections, lazily read models
        function()
    for run in range(runs):
        for side in (0, 1) if run % 2 else (1, 0):
            for operation, pair in operations.items():  # down, then up: each round ends as it began
                measured = sides[operation][side]
                with counted((ours, plain)[side]) as calls:
                    begin = time.perf_counter()
                    pair[side]()
                    measured.seconds.append(time.perf_counter() - begin)
                measured.calls.append(len(calls))
    for operation, (us, them) in sides.items():
        print(
            f"{operation:<9} {size:>9}  {us.median:>6.2f} s {them.median:>6.2f} s   {us.median / them.median:>5.2f}   "
            f"{statistics.median(us.calls):.0f} / {statistics.median(them.calls):.0f}"
        )


def bench_references(config: Config, runs: int) -> None:
    """The checks at once, against one after the other. The wait for AWS, some 0.2 s a call, is added to each."""
    ec2 = Aws(config).client("ec2")
    ec2.meta.events.register("before-send.ec2", lambda **_event: time.sleep(0.2))
    times: dict[int, list[float]] = {references.THREADS: [], 1: []}
    for _ in range(runs):
        for threads, seconds in times.items():
            with patch.object(references, "THREADS", threads):
                begin = time.perf_counter()
                references.check_references(config, ec2)
                seconds.append(time.perf_counter() - begin)
    print("\ncheck_references, 0.2 s added to each call")
    for threads, seconds in times.items():
        print(f"{threads} at once  {milliseconds(statistics.median(seconds))}")


def script_find(ec2: EC2Client, name: str) -> list[InstanceTypeDef]:
    """The script: the machines of a tag."""
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": f"tag:{CLUSTER_TAG}", "Values": [name]}])
    return [instance for page in pages for group in page["Reservations"] for instance in group["Instances"]]


def script_stop(ec2: EC2Client, name: str) -> None:
    """The script: stop them and wait."""
    ids = [instance["InstanceId"] for instance in script_find(ec2, name)]
    ec2.stop_instances(InstanceIds=ids)
    script_wait(ec2, ids, "stopped")


def script_start(ec2: EC2Client, name: str) -> None:
    """The script: start them and wait."""
    ids = [instance["InstanceId"] for instance in script_find(ec2, name)]
    ec2.start_instances(InstanceIds=ids)
    script_wait(ec2, ids, "running")


def script_wait(ec2: EC2Client, ids: Sequence[str], state: str) -> None:
    """The script: poll as botocore's waiter does, without its 15 s."""
    paginator = ec2.get_paginator("describe_instances")
    while any(
        instance["State"]["Name"] != state
        for page in paginator.paginate(InstanceIds=ids)
        for group in page["Reservations"]
        for instance in group["Instances"]
    ):
        time.sleep(0.5)


def make_cluster(ec2: EC2Client, name: str, *, size: int) -> Outputs:
    """A running cluster of ``size`` machines, and its outputs."""
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="r3.xlarge",
        MinCount=size,
        MaxCount=size,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": CLUSTER_TAG, "Value": name}]}],
    )["Instances"]
    machines = [
        MachineOutput("driver", "driver", made[0]["InstanceId"], made[0]["PrivateIpAddress"]),
        MachineOutput("master", "master", made[1]["InstanceId"], made[1]["PrivateIpAddress"]),
        *(
            MachineOutput(f"worker-{number}", "worker", item["InstanceId"], item["PrivateIpAddress"])
            for number, item in enumerate(made[2:], 1)
        ),
    ]
    return Outputs(cluster=name, region="eu-west-1", machines=tuple(machines))


@contextmanager
def counted(ec2: EC2Client) -> Iterator[list[str]]:
    """The requests that a client sends in the block, retries included."""
    sent: list[str] = []

    def count(event_name: str, **_event: object) -> None:
        sent.append(event_name)

    ec2.meta.events.register("before-send.ec2", count)
    try:
        yield sent
    finally:
        ec2.meta.events.unregister("before-send.ec2", count)


@contextmanager
def local_aws() -> Iterator[str]:
    """A local AWS in a process of its own, so that the server's work is not counted as the client's."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert server.stdout is not None  # noqa: S101 - for the type: it is a pipe
        yield server.stdout.readline().strip()
    finally:
        server.communicate()  # closes its standard input, which ends it


def write_config(directory: Path, name: str, *, url: str) -> Path:
    """A pio-tf.hcl for a cluster of this name."""
    path = directory / f"{name}.hcl"
    path.write_text(CONFIG.format(name=name, url=url, credentials=directory / "credentials"))
    return path


def install_awscli() -> str:
    """PyPI's awscli under build/, once, apart from the project's environment. What went wrong, or nothing."""
    if (AWSCLI / "awscli").is_dir():
        return ""
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(AWSCLI), "awscli"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    return lines[-1] if done.returncode else ""


def alternate_processes(commands: dict[str, list[str]], *, starts: int) -> dict[str, float]:
    """Median seconds of each command; they take turns, so that a busy moment of the machine hits all."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(starts + 1):
        for name, command in commands.items():
            begin = time.perf_counter()
            # Its exit code is left alone: `aws --help` ends with 252 after printing its usage.
            subprocess.run(command, capture_output=True, check=False)
            if turn:  # the first one warms the disk's cache
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def milliseconds(seconds: float) -> str:
    """Right-aligned, for a column."""
    return f"{seconds * 1000:>6.0f} ms"


if __name__ == "__main__":
    main()
