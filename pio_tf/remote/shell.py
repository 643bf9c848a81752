"""A shell or a command on a machine, on this process's own input and output, as ssh does it."""

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

from pio_tf.errors import PioTfError
from pio_tf.remote.commands import READ_BYTES, end_process, exit_status, start_process
from pio_tf.remote.ssh_errors import connection_lost
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

ENDINGS = (("INT", 5.0), ("TERM", 5.0), ("KILL", 1.0))
"""The signals that end an abandoned command, and the seconds that it has after each."""
OUTPUT_CLOSED = 128 + signal.SIGPIPE
"""The exit status if the reader of the output is gone (``… | head``), as a shell has it."""


async def open_shell(
    connection: asyncssh.SSHClientConnection,
    machine: str,
    command: str | None,
    *,
    stdin: int | None,
    stdout: int,
    stderr: int,
) -> int:
    """Run a command, or a login shell without one, until it ends.

    A shell on a terminal gets a terminal of the same size on the machine. The local terminal is raw meanwhile, so that
    every key, Ctrl-C too, goes to the machine. Anything else gets pipes: its output arrives unchanged, with stdout and
    stderr apart. If the caller is cancelled, the command is ended first, as by Ctrl-C.

    Args:
        machine: its name, for messages.
        stdin: a file descriptor, as the other two; None: no input.

    Returns:
        The exit status; 128 + N for a process that signal N ended.

    Raises:
        RemoteError: the connection was lost.
        PioTfError: the output cannot be written (a full disk).
    """
    terminal = stdin if stdin is not None and command is None and os.isatty(stdin) else None
    endings = ENDINGS if terminal is None else ()  # closing a terminal ends everything that runs on it
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_input(stdin))
        if terminal is not None:
            stack.enter_context(_raw(terminal))
        process = await start_process(
            connection,
            machine,
            command,
            doing="starting a shell",
            endings=endings,
            stdin=asyncssh.DEVNULL if source is None else asyncssh.PIPE,
            term_type=None if terminal is None else os.environ.get("TERM", "xterm"),
            term_size=(0, 0) if terminal is None else os.get_terminal_size(terminal),
        )
        try:
            if terminal is not None:
                stack.enter_context(_window_changes(process, terminal))
            await _copy_all(process, stdin=source, stdout=stdout, stderr=stderr)
        except (OSError, asyncssh.Error) as error:
            raise connection_lost(machine, "you were logged in", error) from error
        except BaseException as error:
            await _end(process, endings)
            if not isinstance(error, _CannotWrite):
                raise
            if error.error.errno == errno.EPIPE:
                return OUTPUT_CLOSED
            raise PioTfError(
                f"cannot write the output of {machine}",
                cause=str(error.error.strerror),
                next_step="check whether the disk is full",
            ) from error.error
    return exit_status(process, machine, "you were logged in")


class _CannotWrite(Exception):
    """An error of the local output: closed, or full."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


async def _copy_all(
    process: asyncssh.SSHClientProcess[bytes], *, stdin: BinaryIO | None, stdout: int, stderr: int
) -> None:
    copies = [asyncio.ensure_future(_copy(*ends)) for ends in ((process.stdout, stdout), (process.stderr, stderr))]
    feeding = [] if stdin is None else [asyncio.ensure_future(_feed(stdin, process.stdin))]
    try:
        await asyncio.gather(*copies)
        await process.wait_closed()
    finally:
        for task in (*copies, *feeding):
            task.cancel()
        await asyncio.wait([*copies, *feeding])


async def _feed(source: BinaryIO, target: asyncssh.SSHWriter[bytes]) -> None:
    """Copy the input until it ends, or until the machine takes no more of it.

    asyncssh's own redirection reads on after the machine has closed the channel, until all output is delivered. What
    it reads then raises an error in the event loop, which prints it.
    """
    with contextlib.suppress(OSError, asyncssh.Error):  # the command has ended, or the connection: the output shows it
        async with contextlib.aclosing(_read_all(source)) as chunks:
            async for data in chunks:
                target.write(data)
                await target.drain()
        target.write_eof()


async def _read_all(source: BinaryIO) -> AsyncGenerator[bytes, None]:
    """Yield the input until it ends. One that cannot be read any more, such as a closed terminal, has ended, too."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(source.fileno()).st_mode):  # has no events, and does not block
            while data := source.read(READ_BYTES):
                yield data
            return
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), source
        )
        try:
            while data := await stream.read(READ_BYTES):
                yield data
        finally:
            transport.close()


async def _copy(source: asyncssh.SSHReader[bytes], target: int) -> None:
    """Copy a stream. Memory stays bounded: while this process writes, SSH's window stops the machine."""
    while view := memoryview(await source.read(READ_BYTES)):
        try:
            while view:
                view = view[await asyncio.to_thread(_write_some, target, view) :]
        except OSError as error:  # noqa: PERF203 - not an error of the read
            raise _CannotWrite(error) from error


def _write_some(target: int, data: memoryview) -> int:
    try:
        return os.write(target, data)
    except BlockingIOError:  # standard input, on the same terminal, does not block
        select.select([], [target], [])
        return 0


async def _end(process: asyncssh.SSHClientProcess[bytes], endings: Iterable[tuple[str, float]]) -> None:
    """End an abandoned command, which may still write, by these signals."""
    with contextlib.suppress(OSError, asyncssh.Error):
        await process.redirect(stdout=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL)
    await end_process(process, endings)
    with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
        await wait_for(process.wait_closed(), timeout=1.0)


@contextlib.contextmanager
def _input(stdin: int | None) -> Iterator[BinaryIO | None]:
    """Yield a copy of the descriptor, which asyncio reads and closes; None for /dev/null, which has no events.

    asyncio turns blocking off, also for other processes on the same terminal or pipe. It is restored at the end.
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
    """Pass keys through unchanged. Restore the terminal at the end, in any case."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal, termios.TCSADRAIN)  # keeps keys that were typed ahead
        yield
    finally:
        with contextlib.suppress(termios.error):  # its window was closed
            termios.tcsetattr(terminal, termios.TCSANOW, before)


@contextlib.contextmanager
def _window_changes(process: asyncssh.SSHClientProcess[bytes], terminal: int) -> Iterator[None]:
    """Keep the remote terminal at the size of the local one."""

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
