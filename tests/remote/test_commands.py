"""Commands on a machine: their output, their end, and unwanted ends."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pio_tf.errors import RemoteError
from pio_tf.remote.commands import start_process
from pio_tf.remote.lines import LONGEST_LINE
from pio_tf.remote.ssh import ClusterConnection
from tests.support.background import until
from tests.support.ssh_cluster import QUICK, TestCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncssh


async def streamed(cluster: TestCluster, command: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        return await remote.stream("driver", command, lines.append), lines


async def test_a_command_gives_its_output_and_its_exit_status(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        done = await remote.run("driver", 'cat; echo "it\'s $((1 + 1))"; echo bad >&2; exit 3', content=b"in\n")
    assert (done.exit_status, done.stdout, done.stderr) == (3, "in\nit's 2\n", "bad\n")


async def test_a_command_that_a_signal_ended_has_the_shells_exit_status(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        assert (await remote.run("driver", "kill -KILL $$")).exit_status == 137


async def test_a_command_that_hangs_is_ended_and_told(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        with pytest.raises(RemoteError, match=r"did not end within 0\.3 s"):
            await remote.run("driver", "sleep 60", timeout=0.3)
    await ended(cluster.driver.processes[-1])


async def test_a_stream_gives_every_line_stdout_and_stderr_together(cluster: TestCluster) -> None:
    status, lines = await streamed(cluster, "echo one; echo two >&2; printf 'a\\rb\\rlast'; exit 7")
    assert (status, lines) == (7, ["one", "two", "last"])


async def test_bytes_that_are_not_utf_8_lose_no_line(cluster: TestCluster) -> None:
    _, lines = await streamed(cluster, "printf 'caf\\351 \\360\\237\\n\\377\\376\\nnext\\n'")
    assert lines == ["caf\ufffd \ufffd", "\ufffd\ufffd", "next"]


async def test_megabytes_go_to_a_command_and_come_from_it_at_the_same_time(cluster: TestCluster) -> None:
    block, digest, came = os.urandom(1 << 20), hashlib.sha256(), hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for _ in range(20):
            digest.update(block)
            yield block

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        done = await remote.transfer("driver", "cat; echo bad >&2; exit 3", content=blocks(), on_data=came.update)
    assert (done.exit_status, done.stdout, done.stderr) == (3, "", "bad\n")
    assert came.digest() == digest.digest()


async def test_a_command_that_takes_no_more_input_says_why_it_has_ended(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        endless = itertools.repeat(b"x" * 65536)
        done = await remote.transfer("driver", "head -c 10; echo no space >&2; exit 2", content=endless)
    assert (done.exit_status, done.stdout, done.stderr) == (2, "x" * 10, "no space\n")


async def test_an_input_that_cannot_be_read_any_more_ends_its_command(cluster: TestCluster) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a part"
        raise OSError(errno.EIO, "a broken disk")

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        with pytest.raises(OSError, match="a broken disk"):
            await remote.transfer("driver", "cat; sleep 60", content=broken())
    await ended(cluster.driver.processes[-1])


async def test_a_copy_whose_connection_is_cut_is_told(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        copying = asyncio.ensure_future(remote.transfer("driver", "sleep 60", content=itertools.repeat(b"x" * 65536)))
        await until(lambda: bool(cluster.driver.processes))
        cluster.driver.cut()
        with pytest.raises(RemoteError, match="was lost while data was being copied"):
            await copying


async def test_megabytes_of_output_arrive_whole_in_bounded_memory(cluster: TestCluster) -> None:
    count, length = 0, 0

    def on_line(line: str) -> None:
        nonlocal count, length
        count += 1
        length += len(line)

    tracemalloc.start()
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        assert await remote.stream("driver", "yes $(printf %0400d 0) | head -40000", on_line) == 0
    assert (count, length) == (40_000, 16_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Server and client live in this process: either one that kept it all would show. SSH's window is 2 MiB.
    assert peak < 10_000_000


async def test_a_line_without_an_end_is_cut_and_says_so(cluster: TestCluster) -> None:
    _, lines = await streamed(cluster, "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo after")
    assert len(lines) == 2
    assert lines[0] == "x" * LONGEST_LINE + f" … [{1_000_000 - LONGEST_LINE} bytes more]"
    assert lines[1] == "after"


async def test_a_connection_that_is_cut_in_the_middle_is_told_after_the_lines_until_then(cluster: TestCluster) -> None:
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        asyncio.get_running_loop().call_soon(cluster.driver.cut)

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        with pytest.raises(RemoteError, match="connection to driver was lost while a command was running") as caught:
            await remote.stream("driver", "echo begun; sleep 60", on_line)
    assert lines == ["begun"]
    assert caught.value.details["kind"] == "connection-lost"


async def test_cancelling_a_stream_ends_the_command_on_the_machine(cluster: TestCluster) -> None:
    begun = asyncio.Event()
    command = "trap 'echo caught > $HOME/trapped; exit 0' TERM; echo $$; while true; do sleep 0.1; done"
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        task = asyncio.ensure_future(remote.stream("driver", command, lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cluster.driver.signals == ["TERM"]
    assert (cluster.driver.home / "trapped").read_text() == "caught\n"
    await ended(cluster.driver.processes[-1])


async def test_a_command_that_ignores_sigterm_is_killed(cluster: TestCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pio_tf.remote.commands.ENDINGS", (("TERM", 0.3), ("KILL", 1.0)))
    begun = asyncio.Event()
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        command = "trap '' TERM; echo $$; while true; do sleep 0.1; done"
        task = asyncio.ensure_future(remote.stream("driver", command, lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cluster.driver.signals == ["TERM", "KILL"]
    await ended(cluster.driver.processes[-1])


async def test_a_reader_that_fails_ends_the_command(cluster: TestCluster) -> None:
    def on_line(line: str) -> None:
        raise BrokenPipeError(line)

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        with pytest.raises(BrokenPipeError):
            await remote.stream("driver", "echo x; sleep 60", on_line)
    await ended(cluster.driver.processes[-1])


async def ended(pid: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and os.getpgid(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        await asyncio.sleep(0.05)


class SlowToConfirm:
    """A connection over which the start of a command is confirmed late."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection
        self.confirmed = asyncio.Event()

    async def create_process(self, command: str, **options: Any) -> asyncssh.SSHClientProcess[bytes]:  # noqa: ANN401
        process = await self._connection.create_process(command, **options)
        await self.confirmed.wait()
        return process


async def test_cancelling_before_the_start_is_confirmed_ends_the_command_too(cluster: TestCluster) -> None:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        slow = SlowToConfirm(await remote.connection("driver"))
        command = start_process(cast("asyncssh.SSHClientConnection", slow), "driver", "exec sleep 60")
        task = asyncio.ensure_future(command)
        while not cluster.driver.processes:
            await asyncio.sleep(0.01)
        task.cancel()
        slow.confirmed.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended(cluster.driver.processes[-1])
    assert cluster.driver.signals == ["TERM"]
