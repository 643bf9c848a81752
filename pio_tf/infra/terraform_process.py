"""Runs Terraform as a child process that is never left behind, and reads what it writes line by line."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_POLL_SECONDS = 0.05
_BLOCK = 1 << 16
_TAIL = 16 * 1024  # bytes of standard error that are kept


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    exit_code: int
    """As the shell has it: 128 + the signal's number where a signal ended it."""
    errors: str
    """The end of its standard error."""


def stream(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
    on_interrupt: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command to its end; give each line of its standard output to ``on_line`` as soon as it is written.

    It has a session of its own, so a terminal's Ctrl-C reaches this process only, which passes it on: one SIGINT lets
    Terraform finish what is under way, write its state and release its lock; a second one makes it stop now (Terraform
    would take the terminal's own signal and ours for two). A third kills it. Any other exception here counts as one
    SIGINT. The exception is raised once the child has ended: it is never left behind.

    Its output goes through a file, not a pipe: if this process is killed outright, Terraform is not (a broken pipe
    would end it before it has written its state), but works to its end.

    Files that it makes can be read by this user only: state and plan files hold secrets.

    Args:
        command: program and arguments.
        cwd: its working directory.
        environ: its whole environment.
        on_line: called with each line, without its end.
        on_interrupt: called when the first interruption was passed on and its end is awaited.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            umask=0o077,
        )
        lines = _Lines(output, on_line)
        try:
            while process.poll() is None:
                if not lines.read():
                    time.sleep(_POLL_SECONDS)
        except BaseException:
            _interrupt(process, on_interrupt)
            raise
        lines.read_rest()
        return Ended(exit_code=_exit_code(process.returncode), errors=_tail(errors))


class _Lines:
    """Reads a file that grows. It has its own position: the child writes through the same open file."""

    def __init__(self, file: IO[bytes], on_line: Callable[[str], None]) -> None:
        self._descriptor = file.fileno()
        self._position = 0
        self._rest = b""
        self._on_line = on_line

    def read(self) -> bool:
        """Give the lines that are whole. False: nothing new was there."""
        block = os.pread(self._descriptor, _BLOCK, self._position)
        self._position += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
        return bool(block)

    def read_rest(self) -> None:
        """Give all that is left."""
        while self.read():
            pass
        if self._rest:
            self._on_line(self._rest.decode("utf-8", "replace"))
            self._rest = b""


def _interrupt(process: subprocess.Popen[bytes], on_interrupt: Callable[[], None]) -> None:
    """Ask the child to end, and wait until it has: politely, then firmly if we are interrupted again."""
    attempts = [signal.SIGINT, signal.SIGINT, signal.SIGKILL]
    for attempt in attempts:
        try:
            process.send_signal(attempt)
            if attempt is attempts[0]:
                on_interrupt()
            process.wait()
        except BaseException:  # noqa: BLE001, S112 - the first exception is the one that is raised
            continue
        return
    process.wait()


def _exit_code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def _tail(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
