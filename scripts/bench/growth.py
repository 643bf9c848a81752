"""The growth of a command's work with the number of machines: calls to AWS, CPU seconds of the client, and its memory.

Each operation is the function behind a command, on a local AWS in another process. A count or a second for each machine
more is the difference between the two sizes, divided by the machines between them.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import boto3

from pio_tf.aws.session import Aws
from pio_tf.config.load import load_config
from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.machines.inventory import find_machines
from pio_tf.machines.power import start_machines, stop_machines
from scripts.bench.local_aws import local_aws
from scripts.bench.power import KEY, counted, make_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from botocore.client import BaseClient

    from scripts.bench.local_aws import LocalAws

TRUST = {
    "Statement": {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
}


@dataclass(frozen=True)
class Cost:
    """What one operation takes."""

    calls: int
    cpu_seconds: float
    memory_kib: float
    """The most that Python allocates meanwhile, beyond what it had before."""


def bench(*, sizes: Sequence[int]) -> None:
    """Print the table for these numbers of machines, and the growth from the first to the last."""
    with local_aws() as aws:
        found = {size: measure(aws, size) for size in sizes}
    first, last = found[sizes[0]], found[sizes[-1]]
    more = sizes[-1] - sizes[0]
    print(f"\n{'operation':<10} {'machines':>8} {'calls':>6} {'CPU':>9} {'memory':>10}")
    for name in first:
        for size in sizes:
            cost = found[size][name]
            print(f"{name:<10} {size:>8} {cost.calls:>6} {cost.cpu_seconds:>7.3f} s {cost.memory_kib:>6.0f} KiB")
        calls, cpu, memory = (
            (getattr(last[name], field) - getattr(first[name], field)) / more
            for field in ("calls", "cpu_seconds", "memory_kib")
        )
        print(f"{'':<10} {'each more':>8} {calls:>5.2f} {cpu * 1000:>8.2f} ms {memory:>5.1f} KiB", flush=True)


def measure(aws: LocalAws, size: int) -> dict[str, Cost]:
    """Return the cost of each operation for a cluster of so many machines."""
    config = load_config(aws.write_config(f"growth-{size}"), environ={})
    clients = Aws(config)
    ec2, scheduler = clients.client("ec2"), clients.client("scheduler")
    plain = boto3.client(
        "ec2", region_name="eu-west-1", endpoint_url=aws.url, aws_access_key_id=KEY, aws_secret_access_key=KEY
    )
    name = config.cluster.name
    outputs = make_cluster(plain, name, size=size)
    schedule = DeadlineSchedule(scheduler, cluster=name)
    trust = json.dumps({"Version": "2012-10-17", **TRUST})
    role = clients.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    ids = [machine.instance_id for machine in outputs.machines]
    at = datetime.now(tz=timezone.utc) + timedelta(hours=8)

    def find() -> object:
        return find_machines(ec2, cluster=name, outputs=outputs)

    operations: dict[str, tuple[BaseClient, Callable[[], object]]] = {
        "status": (ec2, find),
        "down": (ec2, lambda: stop_machines(ec2, find_machines(ec2, cluster=name, outputs=outputs), timeout=600)),
        "up": (ec2, lambda: start_machines(ec2, find_machines(ec2, cluster=name, outputs=outputs), timeout=600)),
        "deadline": (scheduler, lambda: schedule.arm(ids, at, role_arn=role)),
    }
    find()  # connections, and models that are read lazily
    schedule.find()
    return {operation: cost(client, work) for operation, (client, work) in operations.items()}


def cost(client: BaseClient, work: Callable[[], object]) -> Cost:
    """Do some work twice: measure its time, then its memory, which makes it slower."""
    with counted(client) as calls:
        begin = time.process_time()
        work()
        cpu = time.process_time() - begin
    sent = len(calls)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Cost(sent, cpu, (most - before) / 1024)
