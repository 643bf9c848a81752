"""A whole cluster of machines: real SSH, a real Spark master with two workers, and a training on them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from pio_tf.sandbox.processes import find_processes
from pio_tf.sandbox.services import LocalServices
from pio_tf.sandbox.spark_daemon import SparkDaemon, worker_memory_mib
from pio_tf.training.provisioning import SCRIPT
from tests.sandbox.driver import configure
from tests.sandbox.machines import SSH_PORT, free_network, is_free, log_in, make_machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("class_archive")


async def wait_for_workers(master: str, number: int, *, seconds: float = 180.0) -> list[dict[str, Any]]:
    """Wait until the master's page lists this many ALIVE workers; return them."""

    def ask() -> list[dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://{master}:8080/json/", timeout=2) as response:
                status = json.load(response)
        except (OSError, ValueError):
            return []
        return [worker for worker in status["workers"] if worker["state"] == "ALIVE"]

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        workers = await asyncio.to_thread(ask)
        if len(workers) == number:
            return workers
        await asyncio.sleep(0.1)
    raise AssertionError(f"not {number} workers after {seconds} s")


async def spark_page(driver: str) -> str:
    """Return the applications on Spark's own page on the driver, once it answers."""

    def ask() -> str:
        try:
            with urllib.request.urlopen(f"http://{driver}:4040/api/v1/applications", timeout=2) as response:
                return str(response.read(), "utf-8")
        except OSError:
            return ""

    for _ in range(600):
        if "sparkUser" in (answer := await asyncio.to_thread(ask)):
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("Spark's page was not to be seen while it trained")


async def test_a_cluster_trains_and_comes_back_after_a_stop(tmp_path: Path) -> None:
    network = free_network()
    driver, master, *workers = (f"{network}.{host}" for host in range(10, 14))
    key = asyncssh.generate_private_key("ssh-ed25519")
    machines = [
        make_machine(tmp_path / "driver", role="driver", address=driver, key=key),
        *(
            make_machine(tmp_path / f"worker-{n}", role="worker", address=address, key=key, master_address=master)
            for n, address in enumerate(workers, 1)
        ),
        make_machine(tmp_path / "master", role="master", address=master, key=key),  # the last: workers wait for it
    ]
    services = LocalServices()
    services.start()
    try:
        for machine in machines:
            await machine.start()
        for address in (master, *workers):
            async with await log_in(address, key) as client:
                await client.run(f"sudo -n {SCRIPT} authenticate put </dev/null", check=True)  # no authentication
        alive = await wait_for_workers(master, 2)
        assert sorted((one["host"], one["cores"], one["memory"]) for one in alive) == [
            (address, 2, 1024) for address in workers
        ]
        assert is_free("127.0.0.1", 7077)  # the master listens on its own address only

        async with await log_in(driver, key) as client:
            host_key = client.get_server_host_key()
            configure(tmp_path / "driver" / "home", services.where)
            status = await client.run("pio/bin/pio status", check=True)
            assert str(status.stdout).endswith("Your system is all ready to go.\n")
            memory = "--driver-memory 600m --executor-memory 640m"
            training = asyncio.create_task(
                client.run(f"cd engine && ../pio/bin/pio train -- --master spark://{master}:7077 {memory}")
            )
            assert "PredictionIO Training: com.actionml.RecommendationEngine" in await spark_page(driver)
            assert is_free("127.0.0.1", 4040)  # the page, too, is on the driver's own address only
            trained = await training
            assert str(trained.stdout).endswith("Training completed successfully.\n"), trained.stderr
            assert (trained.exit_status, trained.stderr) == (0, "")
            metadata = json.loads(str((await client.run("cat .pio_store/models/*/metadata.json")).stdout))
            assert sorted(one["host"] for one in metadata["executors"]) == workers
            assert metadata["items"] == 200
            assert min(metadata["correlators"].values()) > 1000

        await asyncio.gather(*(machine.stop() for machine in machines))
        assert not find_processes(tmp_path)
        for address in (driver, master, *workers):
            with pytest.raises(ConnectionRefusedError):
                await log_in(address, key)
        assert is_free(master, 7077)

        await asyncio.gather(*(machine.start() for machine in machines))
        await wait_for_workers(master, 2)
        async with await log_in(driver, key, host_key=host_key) as client:
            lines = str((await client.run("cat .pio_store/models/*/model.jsonl | wc -l", check=True)).stdout)
            assert lines.strip() == "200"
    finally:
        await asyncio.gather(*(machine.remove() for machine in machines))
        services.stop()
    assert not find_processes(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert all(is_free(address, port) for address in (driver, master, *workers) for port in (SSH_PORT, 7077, 8080))


async def test_a_spark_process_that_ends_is_started_again_and_stop_is_the_end_of_it(tmp_path: Path) -> None:
    gate = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = gate.sockets[0].getsockname()[1]
    gate.close()
    await gate.wait_closed()
    log = tmp_path / "log"
    daemon = SparkDaemon(
        command=("/bin/sh", "-c", "echo $$; exec sleep 321"),
        environment={"HOME": f"{tmp_path}/home"},
        log=log,
        directory=tmp_path,
        settings=tmp_path / "settings",
        pid=tmp_path / "pid",
        wait_for=("127.0.0.1", port),
    )
    (tmp_path / "settings").touch()
    daemon.start()
    await asyncio.sleep(0.3)
    assert not find_processes(tmp_path)  # what it waits for is not there yet
    gate = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    for times in (1, 2):
        while not log.exists() or len(log.read_text().split()) < times:
            await asyncio.sleep(0.05)
        (process,) = find_processes(tmp_path)
        assert log.read_text().split()[-1] == str(process.pid)
        if times == 1:
            os.kill(process.pid, signal.SIGKILL)
    await daemon.stop()
    assert not find_processes(tmp_path)
    gate.close()
    await asyncio.sleep(1.2)
    assert not find_processes(tmp_path)


def test_a_worker_offers_what_spark_would_offer() -> None:
    assert worker_memory_mib(31232) == 30208
    assert worker_memory_mib(1024) == 512
