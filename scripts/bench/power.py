"""The time of ``status``, ``down`` and ``up``, against the shortest boto3 script that does the same.

``up`` starts from stopped machines. It also times the checks of references: at once, against one after the other.

The benchmark times the functions behind the commands (``find_machines``, ``stop_machines``, ``start_machines``); the
commands also read Terraform's outputs. Each side has a client of its own; calls are those sent.
"""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

import boto3

from pio_tf.aws.session import Aws
from pio_tf.config.load import load_config
from pio_tf.machines import references
from pio_tf.machines.inventory import find_machines
from pio_tf.machines.power import start_machines, stop_machines
from pio_tf.model import CLUSTER_TAG, MachineOutput, Outputs
from scripts.bench.local_aws import local_aws
from scripts.bench.timing import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from botocore.client import BaseClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from pio_tf.config.schema import Config

IMAGE = "ami-0a1b2c3d4e5f60718"
KEY = "x"


@dataclass
class Side:
    """One of the two that are compared: its times, and the calls of each time."""

    seconds: list[float]
    calls: list[int]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def bench(*, sizes: list[int], runs: int) -> None:
    """Run all benchmarks of power, for clusters of these sizes."""
    with local_aws() as aws:
        print("\noperation  machines   pio-tf   script   ratio   calls pio-tf / script", flush=True)
        for size in sizes:
            config = load_config(aws.write_config(f"bench-{size}"), environ={})
            bench_power(config, url=aws.url, size=size, runs=runs)
        bench_references(load_config(aws.write_config("references"), environ={}), runs)


def bench_power(config: Config, *, url: str, size: int, runs: int) -> None:
    """Time status, down and up of one cluster; the other side's cluster is the same one."""
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
    """Time the checks at once, against one after the other.

    Each call waits another 0.2 s, about as long as AWS takes.
    """
    aws = Aws(config)
    aws.client("ec2").meta.events.register("before-send.ec2", lambda **_event: time.sleep(0.2))
    times: dict[int, list[float]] = {references.THREADS: [], 1: []}
    for _ in range(runs):
        for threads, seconds in times.items():
            with patch.object(references, "THREADS", threads):
                begin = time.perf_counter()
                references.check_references(config, aws.client)
                seconds.append(time.perf_counter() - begin)
    print("\ncheck_references, 0.2 s added to each call")
    for threads, seconds in times.items():
        print(f"{threads} at once  {milliseconds(statistics.median(seconds))}")


def script_find(ec2: EC2Client, name: str) -> list[InstanceTypeDef]:
    """Find the machines of a tag, as a script would."""
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": f"tag:{CLUSTER_TAG}", "Values": [name]}])
    return [instance for page in pages for group in page["Reservations"] for instance in group["Instances"]]


def script_stop(ec2: EC2Client, name: str) -> None:
    """Stop the machines and wait, as a script would."""
    ids = [instance["InstanceId"] for instance in script_find(ec2, name)]
    ec2.stop_instances(InstanceIds=ids)
    script_wait(ec2, ids, "stopped")


def script_start(ec2: EC2Client, name: str) -> None:
    """Start the machines and wait, as a script would."""
    ids = [instance["InstanceId"] for instance in script_find(ec2, name)]
    ec2.start_instances(InstanceIds=ids)
    script_wait(ec2, ids, "running")


def script_wait(ec2: EC2Client, ids: Sequence[str], state: str) -> None:
    """Poll as botocore's waiter does, without its 15 s."""
    paginator = ec2.get_paginator("describe_instances")
    while any(
        instance["State"]["Name"] != state
        for page in paginator.paginate(InstanceIds=ids)
        for group in page["Reservations"]
        for instance in group["Instances"]
    ):
        time.sleep(0.5)


def make_cluster(ec2: EC2Client, name: str, *, size: int) -> Outputs:
    """Make a running cluster of ``size`` machines; return its outputs."""
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
def counted(client: BaseClient) -> Iterator[list[str]]:
    """Count the requests that a client sends in the block, retries included."""
    sent: list[str] = []

    def count(event_name: str, **_event: object) -> None:
        sent.append(event_name)

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, count)
    try:
        yield sent
    finally:
        client.meta.events.unregister(event, count)
