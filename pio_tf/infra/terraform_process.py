"""Terraform as a child process: never left behind, its output read line by line."""

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
_TAIL = 16 * 1024  # bytes of standard error that are returned


@dataclass(frozen=True)
class Ended:
    """A child that has ended.

    Args:
        exit_code: as in a shell: 128 + the signal's number if a signal ended it.
        errors: the end of its standard error.
    """

    exit_code: int
    errors: str


def stream(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
    on_interrupt: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command to its end, and pass each line of its standard output to ``on_line`` as soon as it is written.

    The child has a session of its own, so a terminal's Ctrl-C reaches this process only, which passes it on. With one
    SIGINT Terraform finishes its running operations, saves its state and releases its lock; with a second one it stops
    at once (it would count the terminal's signal and ours as two). A third Ctrl-C kills it. Any other exception here
    counts as one SIGINT. The exception is raised once the child has ended.

    The output goes through a file instead of a pipe: if this process is killed, Terraform still works to its end. A
    broken pipe would end it before it has saved its state.

    Files that it makes are private to this user: state and plan files hold secrets.

    Args:
        environ: the child's whole environment.
        on_line: called with each line, without the line end.
        on_interrupt: called once the first interruption is passed on.
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
        code = process.returncode
        return Ended(exit_code=128 - code if code < 0 else code, errors=_tail(errors))


class _Lines:
    """The lines of a growing file, read at a position of its own: the child writes through the same open file."""

    def __init__(self, file: IO[bytes], on_line: Callable[[str], None]) -> None:
        self._descriptor = file.fileno()
        self._position = 0
        self._rest = b""
        self._on_line = on_line

    def read(self) -> bool:
        """Pass on complete lines. Return whether there was anything new."""
        block = os.pread(self._descriptor, _BLOCK, self._position)
        self._position += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
        return bool(block)

    def read_rest(self) -> None:
        """Pass on all that is left."""
        while self.read():
            pass
        if self._rest:
            self._on_line(self._rest.decode("utf-8", "replace"))


def _interrupt(process: subprocess.Popen[bytes], on_interrupt: Callable[[], None]) -> None:
    """Stop the child and wait until it has ended: SIGINT first, more if this process is interrupted again."""
    attempts = [signal.SIGINT, signal.SIGINT, signal.SIGKILL]
    for attempt in attempts:
        try:
            process.send_signal(attempt)
            if attempt is attempts[0]:
                on_interrupt()
            process.wait()
        except BaseException:  # noqa: BLE001, S112 - the caller raises the first exception
            continue
        return
    process.wait()


def _tail(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
