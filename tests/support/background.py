"""`pio-tf` in the background: waited for by what it says, signalled, killed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.fork_server import Program

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class Client:
    """Starts the command; ``with`` kills it at the latest. What it writes goes to files, which never fill up.

    Args:
        one_output: whether standard error goes to the file of standard output.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        environment: Mapping[str, str],
        one_output: bool = False,
    ) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="pio-tf-client-")
        self.out, self.err = Path(self._files.name, "out"), Path(self._files.name, "err")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = Program(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if one_output else err,
            )
        self.peak_mib = 0.0
        """The most memory that it had so far, MiB; looked at while it is waited for."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_details: object) -> None:
        self.process.kill()
        self.process.wait()
        self._files.cleanup()

    @property
    def said(self) -> str:
        """The whole output so far: standard output, then the talk."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    @property
    def _last(self) -> str:
        """The end of that, for the message of a test that fails."""
        return f":\n{self.said[-4000:]}"

    def says(self, text: str, *, within: float = 300.0) -> None:
        """Wait until it has written this."""
        assert wait_until(lambda: text in self.said or self.has_ended(), within=within), f"no {text!r}{self._last}"
        assert text in self.said, f"it has ended without {text!r}{self._last}"

    def ends(self, exit_code: int, *, within: float = 300.0) -> str:
        """Wait for its end; fail unless it is this one. All that it has written."""
        assert wait_until(self.has_ended, within=within), f"it does not end{self._last}"
        assert self.process.returncode == exit_code, f"exit code {self.process.returncode}{self._last}"
        assert "Traceback" not in self.err.read_text()
        return self.said

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def has_ended(self) -> bool:
        """Tell if it has ended."""
        if self.process.poll() is not None:
            return True
        found = _PEAK.search(Path(f"/proc/{self.process.pid}/status").read_text())
        self.peak_mib = max(self.peak_mib, int(found[1]) / 1024 if found else 0.0)  # a zombie has none
        return False


def wait_until(condition: Callable[[], bool], *, within: float = 120.0) -> bool:
    """Wait this many seconds; tell if the condition came true.

    A condition that takes long is looked at more rarely: it has a tenth of the time, up to one look a second.
    """
    deadline = time.monotonic() + within
    while (began := time.monotonic()) <= deadline:
        if condition():
            return True
        time.sleep(min(max(0.05, 9 * (time.monotonic() - began)), 1.0))
    return condition()


async def until(condition: Callable[[], bool], *, within: float = 60.0) -> None:
    """Wait until the condition is true; fail after this many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def with_children(pid: int) -> list[int]:
    """Return a process, and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found
