"""One command on a connection: its output, its end, and its cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.remote.bash import in_bash
from pio_tf.remote.lines import LineSplitter
from pio_tf.remote.ssh_errors import connection_lost

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 64 * 1024
ENDS_WITHIN = 5.0
"""Seconds that a cancelled command has between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class CompletedCommand:
    """A command's end. ``exit_status`` is the shell's: 128 + N for a process that signal N ended."""

    exit_status: int
    stdout: str
    stderr: str


async def run(
    connection: asyncssh.SSHClientConnection, machine: str, command: str, *, content: bytes
) -> CompletedCommand:
    """Run to the end; ``content`` is its standard input. For commands that say little.

    Raises:
        RemoteError: the connection was lost.
    """
    process = await _start(connection, machine, in_bash(command), merge_output=False)
    try:
        if content:
            process.stdin.write(content)
        process.stdin.write_eof()
        stdout, stderr = await process.communicate()
        status = _exit_status(process)
    except (OSError, asyncssh.Error) as error:
        raise connection_lost(machine, "running a command", error) from error
    except BaseException:
        await _end(process)
        raise
    if status is None:
        raise connection_lost(machine, "running a command", None)
    return CompletedCommand(status, _text(stdout), _text(stderr))


async def stream(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str,
    on_line: Callable[[str], None],
    *,
    login: bool = False,
) -> int:
    """Run to the end, handing each line of its output (stderr within stdout, as on a terminal) to ``on_line``.

    Returns and raises what :func:`stream_bytes` does.
    """
    splitter = LineSplitter()

    def on_data(data: bytes) -> None:
        for line in splitter.feed(data):
            on_line(line)

    try:
        # One pipe for both in the shell itself: two would lose their order, and break into each other's lines.
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
    """Run to the end, handing its output as it comes to ``on_data``.

    Memory stays bounded, whatever it writes: SSH's window holds the command up while ``on_data`` works. When the
    caller is cancelled, or ``on_data`` raises, the command is ended first.

    Returns:
        Its exit status, as :class:`CompletedCommand` has it.

    Raises:
        RemoteError: the connection was lost; the output until then has been handed out.
    """
    process = await _start(connection, machine, in_bash(command, login=login), merge_output=True)
    process.stdin.write_eof()
    lost: Exception | None = None
    data = b"-"
    try:
        while data:
            data, lost = await _read(process)
            if data:
                on_data(data)
        if lost is None:
            await process.wait_closed()
    except BaseException:
        await _end(process)
        raise
    status = _exit_status(process)
    if lost or status is None:
        raise connection_lost(machine, "a command was running", lost) from lost
    return status


class InteractiveCommand:
    """A command that is talked to: a line to its standard input, a line from its output.

    Closing it closes the command's standard input; the command is expected to end of its own accord.
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
        return cls(await _start(connection, machine, in_bash(command), merge_output=True), machine)

    def write_line(self, line: str) -> None:
        """Write a line. One that does not arrive any more shows in the answer that does not come."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._process.stdin.write(f"{line}\n".encode())

    async def read_line(self, *, timeout: float) -> str:
        """The next line of its output; "" at its end.

        Raises:
            RemoteError: the connection was lost, or nothing came within ``timeout`` seconds.
        """
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), timeout=timeout)
        except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
            raise connection_lost(self._machine, "waiting for an answer", error) from error
        return line.decode(errors="replace").rstrip("\n")

    async def close(self) -> None:
        """Close its input, and forget it."""
        with contextlib.suppress(OSError, asyncssh.Error, asyncio.TimeoutError):
            self._process.stdin.write_eof()
            await asyncio.wait_for(self._process.wait_closed(), timeout=1.0)
        self._process.close()


async def _start(
    connection: asyncssh.SSHClientConnection, machine: str, command: str, *, merge_output: bool
) -> asyncssh.SSHClientProcess[bytes]:
    try:
        process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(
            command, encoding=None, stderr=asyncssh.STDOUT if merge_output else asyncssh.PIPE
        )
    except (OSError, asyncssh.Error) as error:
        raise connection_lost(machine, "starting a command", error) from error
    return process


async def _read(process: asyncssh.SSHClientProcess[bytes]) -> tuple[bytes, Exception | None]:
    """The next output, empty at its end, and what broke the connection. Kept apart from errors of the line's reader."""
    try:
        return await process.stdout.read(READ_BYTES), None
    except (OSError, asyncssh.Error) as error:
        return b"", error


async def _end(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """End a command that nobody waits for any more: SIGTERM, SIGKILL, and then its channel, whatever happens."""
    try:
        for signal, patience in (("TERM", ENDS_WITHIN), ("KILL", 1.0)):
            with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
                process.send_signal(signal)
                await asyncio.wait_for(process.wait_closed(), timeout=patience)
                return
    finally:
        process.close()


def _exit_status(process: asyncssh.SSHClientProcess[bytes]) -> int | None:
    code = process.returncode
    return 128 - code if code is not None and code < 0 else code


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""
