"""Spark's secret on real Spark: without it no program runs code on the workers."""

from __future__ import annotations

import asyncio
import contextlib
from hashlib import sha256
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.training.provisioning import SCRIPT
from tests.sandbox.machines import free_network, is_free, log_in, make_machine
from tests.sandbox.test_spark_cluster import wait_for_workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pio_tf.sandbox.machine import SandboxMachine

pytestmark = pytest.mark.usefixtures("class_archive")

APPLICATION = """\
import pathlib, sys
from pyspark import SparkContext

with SparkContext() as spark:
    spark.parallelize([sys.argv[1]], 1).foreach(lambda path: pathlib.Path(path).touch())
"""
SUBMIT = (
    "timeout {seconds} spark/bin/spark-submit --master spark://{master}:7077 --conf spark.executor.memory=640m "
    "--properties-file {mark}.conf app.py {path}"
)


async def give(address: str, key: asyncssh.SSHKey, secret: str) -> str:
    async with await log_in(address, key) as client:
        done = await client.run(f"printf %s '{secret}' | sudo -n {SCRIPT} authenticate put", check=True)
    return str(done.stdout).strip()


@contextlib.asynccontextmanager
async def running(*machines: SandboxMachine) -> AsyncIterator[None]:
    try:
        for machine in machines:
            await machine.start()
        yield
    finally:
        await asyncio.gather(*(machine.remove() for machine in machines))


async def test_only_a_program_with_the_secret_runs_code_on_the_workers(tmp_path: Path) -> None:
    network = free_network()
    driver, master, worker = (f"{network}.{host}" for host in (10, 11, 12))
    key = asyncssh.generate_private_key("ssh-ed25519")
    machines = [
        make_machine(tmp_path / "driver", role="driver", address=driver, key=key),
        make_machine(tmp_path / "worker", role="worker", address=worker, key=key, master_address=master),
        make_machine(tmp_path / "master", role="master", address=master, key=key),
    ]
    home = tmp_path / "driver" / "home"
    secret = "0123456789abcdef"

    async def submit(mark: str, conf: str, *, seconds: int = 20) -> str:
        """Return the end of the output; the application makes the file on a worker."""
        (home / f"{mark}.conf").write_text(conf)
        command = SUBMIT.format(seconds=seconds, master=master, mark=mark, path=tmp_path / mark)
        async with await log_in(driver, key) as client:
            done = await client.run(f". ~/.profile; {command} 2>&1")
        return str(done.stdout)[-3000:]

    async with running(*machines):
        (home / "app.py").write_text(APPLICATION)
        await asyncio.sleep(1.5)
        assert is_free(master, 7077), "Spark runs before a client has brought the secret"
        assert await give(master, key, secret) == f"pio-tf secret: {sha256(secret.encode()).hexdigest()}"
        await give(worker, key, secret)
        await wait_for_workers(master, 1)
        assert is_free(master, 6066), "Spark's REST server takes submissions without the secret"
        for path in (tmp_path / "master" / "spark-secret", tmp_path / "worker" / "spark" / "spark.conf"):
            assert oct(path.stat().st_mode & 0o777) == "0o600"
            assert secret in path.read_text()

        settings = f"spark.authenticate true\nspark.authenticate.secret {secret}\nspark.network.crypto.enabled true\n"
        said = await submit("with", settings, seconds=240)
        assert (tmp_path / "with").exists(), said
        for log in (tmp_path / "master", tmp_path / "worker"):
            assert secret not in (log / "spark.log").read_text()

        await asyncio.gather(give(master, key, "another-secret"), give(worker, key, "another-secret"))
        await wait_for_workers(master, 1)
        await asyncio.gather(submit("without", ""), submit("wrong", settings))  # the old one is as wrong as any other
        assert not (tmp_path / "without").exists()
        assert not (tmp_path / "wrong").exists()
        for log in (tmp_path / "master", tmp_path / "worker"):
            assert secret not in (log / "spark.log").read_text()
