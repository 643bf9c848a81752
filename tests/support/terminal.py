"""A user at a terminal: a program with a pseudo-terminal of its own, typed to and read from as one would."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from typing import TYPE_CHECKING, Any

from tests.support.fork_server import Program

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class TerminalUser:
    """Starts the program; ``with`` ends it."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (80, 24),
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(*size)
        self.before = self.settings()
        self.screen = ""
        self.process = Program(
            arguments,
            cwd=cwd,
            env=env,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )

    def __enter__(self) -> TerminalUser:
        return self

    def __exit__(self, *_details: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def resize(self, columns: int, lines: int) -> None:
        """Drag the window's corner."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def settings(self) -> tuple[list[Any], bool]:
        """Return the settings of the terminal; and True if reading from it blocks."""
        return termios.tcgetattr(self._theirs), os.get_blocking(self._theirs)

    def type(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def sees(self, text: str, *, within: float = 120.0) -> str:
        """Wait until the text is on the screen; everything up to its end, which is then behind us."""
        deadline = time.monotonic() + within
        while text not in self.screen:
            readable, _, _ = select.select([self._ours], [], [], 0.1)
            if readable:
                self.screen += os.read(self._ours, 65536).decode(errors="replace")
            assert time.monotonic() < deadline, f"{text!r} is not on the screen:\n{self.screen}"
        seen, found, self.screen = self.screen.partition(text)
        return seen + found

    def ends(self, *, within: float = 120.0) -> int:
        """Wait for the program's end; its exit code. What it writes meanwhile is read."""
        deadline = time.monotonic() + within
        while self.process.poll() is None:
            if select.select([self._ours], [], [], 0.1)[0]:
                self.screen += os.read(self._ours, 65536).decode(errors="replace")
            assert time.monotonic() < deadline, f"it does not end:\n{self.screen}"
        return self.process.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, as `kill` does."""
        self.process.send_signal(number)


def _take_terminal() -> None:
    """Take the terminal, in the child, so that it gets SIGWINCH and SIGINT of it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
