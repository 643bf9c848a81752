"""Commands on one SSH connection: their lines of output, their end, and their cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.remote.bash import in_bash
from pio_tf.remote.lines import LineSplitter
from pio_tf.remote.ssh_errors import connection_lost
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

READ_BYTES = 64 * 1024
ENDINGS = (("TERM", 5.0), ("KILL", 1.0))
"""The signals that end a cancelled command, and the seconds that it has after each."""
_STARTS_WITHIN = 5.0
"""Seconds that a machine has to confirm the start of a command that is no longer wanted."""


class CompletedCommand(Struct, frozen=True):
    """The end of a command. ``exit_status`` is the shell's: 128 + N for a process that signal N ended."""

    exit_status: int
    stdout: str
    stderr: str


async def run(
    connection: asyncssh.SSHClientConnection, machine: str, command: str, *, content: bytes
) -> CompletedCommand:
    """Run a command to its end, with ``content`` as its standard input. The output is kept in memory.

    Raises:
        RemoteError: the connection was lost.
    """
    process = await start_process(connection, machine, in_bash(command))
    try:
        if content:
            process.stdin.write(content)
        process.stdin.write_eof()
        stdout, stderr = await process.communicate()
    except (OSError, asyncssh.Error) as error:
        raise connection_lost(machine, "running a command", error) from error
    except BaseException:
        await end_process(process)
        raise
    status = exit_status(process, machine, "running a command")
    return CompletedCommand(status, _text(stdout), _text(stderr))


async def stream(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str,
    on_line: Callable[[str], None],
    *,
    login: bool = False,
) -> int:
    """Run a command to its end, and hand each line of its output and errors to ``on_line``, as on a terminal.

    Returns and raises what :func:`stream_bytes` does.
    """
    splitter = LineSplitter()

    def on_data(data: bytes) -> None:
        for line in splitter.feed(data):
            on_line(line)

    try:
        # One pipe for both in the shell itself: two would lose their order, and mix parts of lines.
        return await stream_bytes(connection, machine, f"exec 2>&1\n{command}", on_data, login=login)
    finally:
        for line in splitter.end():
            on_line(line)


async def stream_bytes(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str,
    on_data: Callable[[bytes], None],
    *,
    login: bool = False,
) -> int:
    """Run a command to its end, and hand its output to ``on_data`` as it comes.

    Memory stays bounded: while ``on_data`` works, SSH's window stops the command. If the caller is cancelled, or
    ``on_data`` raises, the command is ended first.

    Returns:
        The exit status, as :class:`CompletedCommand` has it.

    Raises:
        RemoteError: the connection was lost. ``on_data`` has received the output until then.
    """
    process = await start_process(connection, machine, in_bash(command, login=login), stderr=asyncssh.STDOUT)
    process.stdin.write_eof()
    doing = "a command was running"
    try:
        while data := await _read(process, machine, doing):
            on_data(data)
        await process.wait_closed()
    except BaseException:
        await end_process(process)
        raise
    return exit_status(process, machine, doing)


async def transfer(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str,
    *,
    content: Iterable[bytes] = (),
    on_data: Callable[[bytes], None] | None = None,
) -> CompletedCommand:
    """Run a command to its end, while bytes stream to its standard input and from its standard output.

    Memory stays bounded: SSH's window holds back the slower end. If the caller is cancelled, or ``content`` or
    ``on_data`` raises, the command is ended first.

    Args:
        content: the input. A command that ends before it has read all of it says why by its exit status.
        on_data: takes the output; None: it is kept in memory.

    Raises:
        RemoteError: the connection was lost.
    """
    doing = "data was being copied"
    process = await start_process(connection, machine, in_bash(command))
    kept = bytearray()
    take = on_data or kept.extend

    async def read_output() -> None:
        while data := await _read(process, machine, doing):
            take(data)

    async def read_errors() -> bytes:
        with contextlib.suppress(OSError, asyncssh.Error):  # the output's reader reports it
            return await process.stderr.read()
        return b""

    work = [asyncio.ensure_future(one) for one in (_feed(process, content), read_output(), read_errors())]
    try:
        await asyncio.gather(*work)
        await process.wait_closed()
    except BaseException:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await end_process(process)
        raise
    return CompletedCommand(exit_status(process, machine, doing), _text(bytes(kept)), _text(work[2].result()))


async def _feed(process: asyncssh.SSHClientProcess[bytes], content: Iterable[bytes]) -> None:
    """Write the input of a command, until that takes no more."""
    # An error of the input means that the command has ended, or the connection: its output and its status say which.
    lost = False
    for data in content:
        with contextlib.suppress(OSError, asyncssh.Error):
            process.stdin.write(data)
            await process.stdin.drain()
            continue
        lost = True
        break
    if not lost:
        with contextlib.suppress(OSError, asyncssh.Error):
            process.stdin.write_eof()


class InteractiveCommand:
    """A command that answers each line on its standard input with a line of output.

    Closing it closes the command's standard input. The command must then end by itself.
    """

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], machine: str) -> None:
        self._process = process
        self._machine = machine

    @classmethod
    async def open(cls, connection: asyncssh.SSHClientConnection, machine: str, command: str) -> InteractiveCommand:
        """Start the command.

        Raises:
            RemoteError: the connection was lost.
        """
        return cls(await start_process(connection, machine, in_bash(command), stderr=asyncssh.STDOUT), machine)

    def write_line(self, line: str) -> None:
        """Send a line. If the connection is lost, the next :meth:`read_line` says so."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._process.stdin.write(f"{line}\n".encode())

    async def read_line(self, *, timeout: float) -> str:
        """Return the next line of the output, "" at its end.

        Raises:
            RemoteError: the connection was lost, or nothing came within ``timeout`` seconds.
        """
        try:
            line = await wait_for(self._process.stdout.readline(), timeout=timeout)
        except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
            raise connection_lost(self._machine, "waiting for an answer", error) from error
        return line.decode(errors="replace").rstrip("\n")

    async def close(self) -> None:
        """Close the command's standard input, and wait a second for its end."""
        with contextlib.suppress(OSError, asyncssh.Error, asyncio.TimeoutError):
            self._process.stdin.write_eof()
            await wait_for(self._process.wait_closed(), timeout=1.0)
        self._process.close()


async def start_process(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str | None,
    *,
    doing: str = "starting a command",
    endings: Iterable[tuple[str, float]] | None = None,
    **options: Any,  # noqa: ANN401 - asyncssh's own
) -> asyncssh.SSHClientProcess[bytes]:
    """Start a command, or a shell, whose input and output are bytes.

    If the caller is cancelled meanwhile, the command may run already: it is ended first, as :func:`end_process` does.

    Raises:
        RemoteError: the connection was lost.
    """
    starting = asyncio.ensure_future(connection.create_process(command, encoding=None, **options))
    try:
        return await asyncio.shield(starting)
    except (OSError, asyncssh.Error) as error:
        raise connection_lost(machine, doing, error) from error
    except asyncio.CancelledError:
        with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
            await end_process(await wait_for(starting, timeout=_STARTS_WITHIN), endings)
        raise


async def end_process(
    process: asyncssh.SSHClientProcess[bytes], endings: Iterable[tuple[str, float]] | None = None
) -> None:
    """End a command by signals, each with the seconds that it then has; default: `ENDINGS`. Close its channel, too."""
    try:
        for signal, seconds in ENDINGS if endings is None else endings:
            with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
                process.send_signal(signal)
                await wait_for(process.wait_closed(), timeout=seconds)
                return
    finally:
        process.close()


def exit_status(process: asyncssh.SSHClientProcess[bytes], machine: str, doing: str) -> int:
    """Return the exit status of a command that has ended.

    Raises:
        RemoteError: it has none, because the connection was lost.
    """
    status = process.returncode
    if status is None:
        raise connection_lost(machine, doing, None)
    return 128 - status if status < 0 else status


async def _read(process: asyncssh.SSHClientProcess[bytes], machine: str, doing: str) -> bytes:
    """Return the next output, empty at its end."""
    try:
        return await process.stdout.read(READ_BYTES)
    except (OSError, asyncssh.Error) as error:
        raise connection_lost(machine, doing, error) from error


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""
