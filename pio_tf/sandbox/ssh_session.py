"""A command or shell of an SSH client on a machine: a process of its own, with pipes or a terminal.

It copies the streams itself: asyncssh 2.24's ``redirect`` loses input that arrives while it pauses for a slow command.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.sandbox.processes import Start, die_with_parent, dying_with_parent
from pio_tf.ssh_library import asyncssh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CHUNK = 65536
_ACCEPTED = ("LANG", "LC_", "TZ")
"""Variables that a client may set: Debian's sshd accepts LANG and LC_*."""


@dataclass
class _Pipe:
    """Our end of a pipe or terminal that the process writes to."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport


class SshSession(asyncssh.SSHServerProcess[bytes]):
    """A session of the machine's SSH server. It passes bytes on as they are.

    When the client goes away, the command's process group gets SIGHUP and its pipes are closed. (OpenSSH sends the
    signal only if there is a terminal. Without one, the next write to the closed pipe ends the command.)
    """

    def configure(self, *, home: Path, environment: Mapping[str, str]) -> None:
        """Set the working directory and the environment of commands."""
        self._home = home
        self._environment = environment
        self._child: asyncio.subprocess.Process | None = None
        self._terminal: int | None = None

    def signal_received(self, signal: str) -> None:
        """Pass on a signal of the client, by its name without SIG."""
        self._signal(signal)

    def break_received(self, msec: int) -> bool:  # noqa: ARG002 - asyncssh's signature
        """Pass on a break of the client: Ctrl-C."""
        self._signal("INT")
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Pass on the size of the client's window."""
        if self._terminal is not None:
            size = struct.pack("HHHH", height, width, pixwidth, pixheight)
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    async def serve(self) -> None:
        """Run the command until it ends or the client goes away, and wait until its process has ended."""
        with_terminal = self.term_type is not None
        writer, pipes = await (self._start_with_terminal() if with_terminal else self._start_with_pipes())
        assert self._child is not None  # noqa: S101 - just started
        outputs = zip(pipes, (self.stdout, self.stderr), strict=False)
        pumps = [asyncio.create_task(_pump(pipe.reader, output)) for pipe, output in outputs]
        feeding = asyncio.create_task(_feed(self.stdin, writer, close=not with_terminal))
        ended = asyncio.create_task(_all_ended(self._child, pumps))
        closed = asyncio.create_task(self.wait_closed())
        try:
            await asyncio.wait({ended, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._signal("HUP")
        finally:
            for task in (feeding, closed, ended, *pumps):
                task.cancel()
            for pipe in pipes:
                pipe.transport.close()
            writer.close()
            terminal, self._terminal = self._terminal, None
            if terminal is not None:
                os.close(terminal)
        code = await self._child.wait()
        if code >= 0:
            self.exit(code)
        else:
            self.exit_with_signal(signal.Signals(-code).name[len("SIG") :])

    def _signal(self, name: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        if number is not None and self._child is not None and self._child.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)

    async def _spawn(self, *, stdin: int, stdout: int, stderr: int, terminal: bool) -> None:
        asked = {_text(name): _text(value) for name, value in self.env.items()}
        environment = {**self._environment, **{name: asked[name] for name in asked if name.startswith(_ACCEPTED)}}
        if self.term_type is not None:
            environment["TERM"] = self.term_type
        arguments = ("-c", self.command) if self.command is not None else ("-i",) if terminal else ()
        command = ("/bin/bash", *arguments)
        start = Start(command, _own_terminal) if terminal else dying_with_parent(*command)
        self._child = await asyncio.create_subprocess_exec(
            *start.command,
            cwd=self._home,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=start.preexec_fn,
        )

    async def _start_with_pipes(self) -> tuple[asyncio.StreamWriter, list[_Pipe]]:
        stdin, feed = os.pipe()
        out, stdout = os.pipe()
        err, stderr = os.pipe()
        try:
            await self._spawn(stdin=stdin, stdout=stdout, stderr=stderr, terminal=False)
        except BaseException:
            for descriptor in (feed, out, err):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (stdin, stdout, stderr):
                os.close(descriptor)
        return await _writer(feed), [await _reader(out), await _reader(err)]

    async def _start_with_terminal(self) -> tuple[asyncio.StreamWriter, list[_Pipe]]:
        main, other = pty.openpty()
        try:
            self._terminal = os.dup(main)
            self.terminal_size_changed(*self.term_size)
            await self._spawn(stdin=other, stdout=other, stderr=other, terminal=True)
        except BaseException:
            os.close(main)
            raise
        finally:
            os.close(other)
        return await _writer(os.dup(main)), [await _reader(main)]


def _own_terminal() -> None:
    """Make standard input the controlling terminal of the session, in the child."""
    die_with_parent()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


async def _reader(descriptor: int) -> _Pipe:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return _Pipe(reader, transport)


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    # This protocol has flow control; it reads nothing.
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(descriptor, "wb", 0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _pump(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    """Copy until the end, which for a terminal is an input/output error, or until the client is gone."""
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()


async def _feed(source: asyncssh.SSHReader[bytes], target: asyncio.StreamWriter, *, close: bool) -> None:
    """Copy the client's input. Its end is the end of the process's input, but a terminal's input has no end."""
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    if close:
        target.close()


async def _all_ended(child: asyncio.subprocess.Process, pumps: list[asyncio.Task[None]]) -> None:
    """Wait, as sshd does, until the process has ended and no process holds its output any more."""
    await child.wait()
    await asyncio.gather(*pumps)
