"""The Spark process of a machine: it waits for what it needs, and is started again until the machine stops."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from pio_tf.sandbox.processes import find_processes
from pio_tf.sandbox.spark_daemon import SparkDaemon, worker_memory_mib

if TYPE_CHECKING:
    from pathlib import Path


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
    daemon.start()
    await asyncio.sleep(0.3)
    assert not find_processes(tmp_path)  # what it waits for is not there yet
    gate = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    await asyncio.sleep(0.3)
    assert not find_processes(tmp_path)  # nor are its settings
    gate.close()
    await gate.wait_closed()
    (tmp_path / "settings").touch()
    await asyncio.sleep(0.3)
    assert not find_processes(tmp_path)
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
