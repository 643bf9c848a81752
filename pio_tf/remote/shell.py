"""A shell on a machine, or one command there, on this process's own input and output: what ssh does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import stat
import termios
import tty
from typing import TYPE_CHECKING, BinaryIO

import asyncssh

from pio_tf.errors import PioTfError
from pio_tf.remote.ssh_errors import connection_lost

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_BYTES = 64 * 1024
ENDINGS = (("INT", 5.0), ("TERM", 5.0), ("KILL", 1.0))
"""What a command is sent that nobody waits for any more, and the seconds that it then has."""
OUTPUT_CLOSED = 128 + signal.SIGPIPE
"""The exit status where nobody reads the output any more (``… | head``), as a shell has it."""


async def open_shell(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str | None,
    *,
    stdin: int | None,
    stdout: int,
    stderr: int,
) -> int:
    """Run a command, or without one a login shell, until it ends.

    A shell on a terminal gets a terminal there, of the same size; ours is raw meanwhile, so that every key, Ctrl-C too,
    goes to the machine. Anything else gets pipes: its output arrives as it is, stdout and stderr apart. When the caller
    is cancelled, a command is ended first, as by Ctrl-C.

    Args:
        machine: its name, for messages.
        stdin: file descriptors; None: no input.

    Returns:
        The exit status; 128 + N for what signal N ended.

    Raises:
        RemoteError: the connection was lost.
        PioTfError: the output cannot be written (a full disk).
    """
    terminal = stdin if stdin is not None and command is None and os.isatty(stdin) else None
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_input(stdin))
        if terminal is not None:
            stack.enter_context(_raw(terminal))
        try:
            process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(
                command,
                encoding=None,
                stdin=asyncssh.DEVNULL if source is None else source,
                term_type=None if terminal is None else os.environ.get("TERM", "xterm"),
                term_size=(0, 0) if terminal is None else os.get_terminal_size(terminal),
            )
        except (OSError, asyncssh.Error) as error:
            raise connection_lost(machine, "starting a shell", error) from error
        try:
            if terminal is not None:
                stack.enter_context(_window_changes(process, terminal))
            await _copy_all(process, stdout=stdout, stderr=stderr)
        except (OSError, asyncssh.Error) as error:
            raise connection_lost(machine, "you were logged in", error) from error
        except _CannotWrite as failed:
            await _end(process, with_terminal=terminal is not None)
            if failed.error.errno == errno.EPIPE:
                return OUTPUT_CLOSED
            raise PioTfError(
                f"cannot write what {machine} says",
                cause=str(failed.error.strerror),
                next_step="see whether the disk is full",
            ) from failed.error
        except BaseException:
            await _end(process, with_terminal=terminal is not None)
            raise
    status = process.returncode
    if status is None:
        raise connection_lost(machine, "you were logged in", None)
    return 128 - status if status < 0 else status


class _CannotWrite(Exception):
    """Our own output is closed or full."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


async def _copy_all(process: asyncssh.SSHClientProcess[bytes], *, stdout: int, stderr: int) -> None:
    copies = [asyncio.ensure_future(_copy(*ends)) for ends in ((process.stdout, stdout), (process.stderr, stderr))]
    try:
        await asyncio.gather(*copies)
        await process.wait_closed()
    finally:
        for copy in copies:
            copy.cancel()


async def _copy(source: asyncssh.SSHReader[bytes], target: int) -> None:
    """Memory stays bounded: while we write, SSH's window holds the machine up."""
    while data := await source.read(READ_BYTES):
        await _write(target, data)


async def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[await asyncio.to_thread(_write_some, target, view) :]
    except OSError as error:
        raise _CannotWrite(error) from error


def _write_some(target: int, data: memoryview) -> int:
    try:
        return os.write(target, data)
    except BlockingIOError:  # standard input is on the same terminal, and is read without blocking
        select.select([], [target], [])
        return 0


async def _end(process: asyncssh.SSHClientProcess[bytes], *, with_terminal: bool) -> None:
    """End what nobody waits for any more. A terminal that is closed ends all that runs on it."""
    with contextlib.suppress(OSError, asyncssh.Error):
        await process.redirect(stdout=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL)
    try:
        for name, seconds in () if with_terminal else ENDINGS:
            with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
                process.send_signal(name)
                await asyncio.wait_for(process.wait_closed(), timeout=seconds)
                return
    finally:
        process.close()
        with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
            await asyncio.wait_for(process.wait_closed(), timeout=1.0)


@contextlib.contextmanager
def _input(stdin: int | None) -> Iterator[BinaryIO | None]:
    """A copy of the descriptor for asyncssh to read and close. None for /dev/null, which no event loop can wait for.

    asyncio turns blocking off, which would stay so for whoever has the same terminal or pipe: it is put back.
    """
    mode = 0 if stdin is None else os.fstat(stdin).st_mode
    if stdin is None or (stat.S_ISCHR(mode) and not os.isatty(stdin)):
        yield None
        return
    blocking = os.get_blocking(stdin)
    with os.fdopen(os.dup(stdin), "rb", buffering=0) as source:
        try:
            yield source
        finally:
            os.set_blocking(stdin, blocking)


@contextlib.contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Keys go through as they are; whatever happens, the terminal is as it was afterwards."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal, termios.TCSADRAIN)  # keeps what has been typed ahead
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone: its window was closed
            termios.tcsetattr(terminal, termios.TCSANOW, before)


@contextlib.contextmanager
def _window_changes(process: asyncssh.SSHClientProcess[bytes], terminal: int) -> Iterator[None]:
    """The terminal there has the size of ours."""

    def resize() -> None:
        with contextlib.suppress(OSError):
            process.change_terminal_size(*os.get_terminal_size(terminal))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, resize)
    try:
        resize()  # it may have changed since the size was sent
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
