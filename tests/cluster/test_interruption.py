"""Ctrl-C in the middle of a training: the whole way from the signal to the stop."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.events import Event, OutputLine
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.sandbox.processes import end_processes
from pio_tf.training.runs.run_copies import Archive
from tests.cluster.support import Steps
from tests.support.builders import make_config
from tests.support.driver_runs import make_finish, started
from tests.support.ssh_cluster import QUICK
from tests.support.ssh_servers import MachineServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.training.runs.record import RunRecord


@contextmanager
def running(server: MachineServer) -> Iterator[None]:
    """Run the server in its own loop and thread: the loop under test is interrupted."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_ctrl_c_ends_the_run_on_the_driver_keeps_its_log_and_then_stops_the_machines(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "id_ed25519")
    server = MachineServer(home=tmp_path / "homes" / "driver", address="127.0.0.1", port=free_port(), key=key)
    ssh = {"key": "id_ed25519", "port": server.port, "host_keys": "accept-new"}
    config = make_config(tmp_path, ssh=ssh)
    calls: list[str] = []

    def reporter(event: Event) -> None:
        if isinstance(event, OutputLine):
            calls.append(event.text)
            os.kill(os.getpid(), signal.SIGINT)

    async def run() -> RunRecord:
        async with ClusterConnection(config, [server.target("driver", "driver", "i-0")], retry=QUICK) as remote:
            finish = make_finish(remote, tmp_path, reporter)
            record = await started(remote, tmp_path, "echo $$; sleep 300; true")
            try:
                return await finish.follow(record.id)
            except asyncio.CancelledError:
                await finish.cancel(record.id, who="ann")
                raise

    def note_end() -> None:
        (record,) = Archive(tmp_path / "runs").records()
        calls.append(f"down after {record.state} {record.exit_status}")

    steps = Steps()
    steps.does["down"] = note_end
    session = steps.session(reporter=reporter)
    with running(server), pytest.raises(KeyboardInterrupt):
        session.play(lambda: calls.append("up"), lambda: asyncio.run(run()), run="")
    process = calls.pop(1)
    assert calls == ["up", "down after cancelled 143"]
    assert not Path(f"/proc/{process}").exists()
    assert (tmp_path / "runs").glob("*/log").__next__().read_text() == f"{process}\n"
    assert end_processes(tmp_path / "homes") == []
