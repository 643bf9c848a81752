"""The growth of a command's work with the number of machines: calls to AWS, CPU seconds of the client, and its memory.

Each operation is the function behind a command, on a local AWS in another process. A count or a second for each machine
more is the difference between the two sizes, divided by the machines between them.

``plan`` is pio-tf's own work beside Terraform's: it writes the stack, and the guard judges a plan without changes.
``ssh`` logs in to all machines through the driver, and ``hosts`` then compares the names in their /etc/hosts. Their SSH
servers are in another process.
"""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3

from pio_tf.aws.session import Aws
from pio_tf.config.load import load_config
from pio_tf.infra.bootstrap import host_name
from pio_tf.infra.foreign_resources import refuse_foreign_resources
from pio_tf.infra.policy import evaluate
from pio_tf.infra.root_module import render_stack
from pio_tf.infra.unchanged_plan import show_unchanged
from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.machines.inventory import find_machines
from pio_tf.machines.power import start_machines, stop_machines
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.provisioning import complete_hosts
from scripts.bench.local_aws import local_aws
from scripts.bench.power import KEY, counted, make_cluster
from scripts.bench.ssh_machines import ssh_machines
from tests.support.builders import make_config
from tests.support.plan_files import plan_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from botocore.client import BaseClient

    from pio_tf.config.schema import Config
    from pio_tf.model import Outputs
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
    iam: Any = clients.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
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
    costs = {operation: cost(work, client) for operation, (client, work) in operations.items()}
    return {**costs, "plan": cost(plan_work(config, outputs)), **ssh_costs(outputs, aws.directory / name)}


def plan_work(config: Config, outputs: Outputs) -> Callable[[], object]:
    """Return pio-tf's own part of a plan without changes: it writes the stack, reads the plan file and judges it."""
    workers = len(outputs.machines) - 2
    config.ssh.key.with_suffix(".pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN user\n")
    config = config.model_copy(update={"spark": config.spark.model_copy(update={"workers": workers})})
    disk = {"volume_id": "vol-0a", "volume_type": "gp3", "volume_size": 50, "encrypted": True}
    resources = [
        {
            "module": f"module.machine[{json.dumps(one.name)}]",
            "mode": "managed",
            "type": "aws_instance",
            "name": "this",
            "provider": 'provider["aws"]',
            "instances": [
                {
                    "attributes": {
                        "id": one.instance_id,
                        "instance_type": "r3.xlarge",
                        "private_ip": one.private_ip,
                        "root_block_device": [disk],
                        "tags": {"pio-tf:cluster": outputs.cluster, "pio-tf:machine": one.name},
                        "user_data_base64": "H4sI" * 5000,
                    }
                }
            ],
        }
        for one in outputs.machines
    ]
    variables = {"cluster": outputs.cluster, "region": outputs.region}
    content = plan_file({}, variables, state=json.dumps({"version": 4, "resources": resources}))

    def work() -> None:
        render_stack(config)
        shown = show_unchanged(content)
        evaluate(config, shown)
        refuse_foreign_resources(shown, config)

    return work


def ssh_costs(outputs: Outputs, directory: Path) -> dict[str, Cost]:
    """Return the cost of logins to all machines, and of a look at /etc/hosts on all of them."""
    directory.mkdir()
    names = [one.name for one in outputs.machines]
    hosts = {host_name(one.name): one.private_ip for one in outputs.machines}
    with ssh_machines(outputs.machines, directory) as (targets, port):
        config = make_config(directory, ssh={"key": "id_ed25519", "port": port, "host_keys": "accept-new"})

        connection = ClusterConnection(config, targets)

        async def reach() -> None:
            async with ClusterConnection(config, targets) as remote:
                await remote.reach(names)

        async def stay() -> None:
            await connection.__aenter__()
            await connection.reach(names)

        asyncio.run(reach())  # learns the host keys
        found = {"ssh": cost(lambda: asyncio.run(reach()))}
        loop = asyncio.new_event_loop()
        loop.run_until_complete(stay())
        found["hosts"] = cost(lambda: loop.run_until_complete(complete_hosts(connection, names, hosts)))
        loop.run_until_complete(connection.__aexit__(None, None, None))
        loop.close()
    return found


def cost(work: Callable[[], object], client: BaseClient | None = None) -> Cost:
    """Do some work twice: measure its time and count the client's calls, then its memory, which makes it slower."""
    with counted(client) if client else nullcontext(()) as calls:
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
