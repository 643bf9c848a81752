"""How Spark's secret comes to the sandbox's master and workers, which are small programs here.

tests/integration/test_main_job.py shows that real Spark refuses programs without it.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from hashlib import sha256
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.sandbox.spark_daemon import MASTER_PORT, MASTER_UI_PORT
from pio_tf.training.provisioning import SCRIPT
from tests.integration import light_spark
from tests.sandbox.machines import free_network, is_free, log_in, make_spec
from tests.support.background import until

if TYPE_CHECKING:
    from pathlib import Path


async def give(address: str, key: asyncssh.SSHKey, secret: str) -> str:
    async with await log_in(address, key) as client:
        done = await client.run(f"printf %s '{secret}' | sudo -n {SCRIPT} authenticate put", check=True)
    return str(done.stdout).strip()


def workers(master: str) -> list[str]:
    """Return the workers that the master's page lists as ALIVE."""
    try:
        with urllib.request.urlopen(f"http://{master}:{MASTER_UI_PORT}/json/", timeout=2) as response:
            status = json.load(response)
    except (OSError, ValueError):
        return []
    return [worker["host"] for worker in status["workers"] if worker["state"] == "ALIVE"]


def pids(*disks: Path) -> set[str]:
    """Return the numbers of the machines' Spark processes."""
    return {path.read_text() for disk in disks if (path := disk / "spark.pid").exists()}


async def test_spark_waits_for_its_secret_and_starts_again_with_another_one_or_none(tmp_path: Path) -> None:
    network = free_network()
    master, worker = (f"{network}.{host}" for host in (11, 12))
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / light_spark.MARK).touch()
    disks = {name: tmp_path / "machines" / name for name in ("master", "worker")}
    machines = [
        light_spark.make_machine(spec)
        for spec in (
            make_spec(disks["worker"], role="worker", address=worker, key=key, master_address=master),
            make_spec(disks["master"], role="master", address=master, key=key),
        )
    ]

    async def started_with(secret: str, *, after: set[str]) -> set[str]:
        """Give both machines a secret. Return the processes that have it, which are not those of before."""
        for address in (master, worker):
            assert await give(address, key, secret) == f"pio-tf secret: {sha256(secret.encode()).hexdigest()}"
        await until(lambda: workers(master) == [worker] and len(pids(*disks.values()) - after) == 2)
        for path in (disks["master"] / "spark-secret", disks["worker"] / "spark" / "spark.conf"):
            assert oct(path.stat().st_mode & 0o777) == "0o600"
            assert secret in path.read_text()
        return pids(*disks.values())

    try:
        for machine in machines:
            await machine.start()
        await asyncio.sleep(1.5)
        assert is_free(master, MASTER_PORT), "Spark runs before a client has brought the secret"
        first = await started_with("0123456789abcdef", after=set())
        second = await started_with("another-secret", after=first)
        await started_with("", after=second)
        assert "spark.authenticate " not in (disks["worker"] / "spark" / "spark.conf").read_text(), "declined"
    finally:
        await asyncio.gather(*(machine.remove() for machine in machines))
