"""Processes of a sandbox: told from others by facts that a reused process id does not share, and ended for good.

Linux only: it reads /proc and uses prctl. Stdlib only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "SANDBOX_OF_PIO_TF"
"""Environment variable of the server and all that it starts: the sandbox's directory. Its name must not begin with
PIO_: PredictionIO takes such for its own, and writes them into its metadata."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ProcessId:
    """A process, told from a later one with the same number by when it started."""

    pid: int
    started: int
    """Clock ticks after boot (field 22 of /proc/PID/stat)."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process with that number now; None when there is none, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
        return None if state in "ZX" else cls(pid=pid, started=int(fields[18]))

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Signal it, if it is still there."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def die_with_parent() -> None:
    """For ``preexec_fn``: the kernel kills this process when the one that started it dies, however it dies.

    It is inherited by no further fork: each process that is started by the server asks for it itself.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def find_processes(directory: Path) -> list[ProcessId]:
    """Every process of this user, but this one, that belongs to the sandbox in ``directory``.

    Its environment carries the mark, or has its home directory there: what a login on a machine started, in an
    environment of its own.
    """
    mark = f"{MARK}={directory}".encode()
    home = f"HOME={directory}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # another user's, or gone
            continue
        if any(variable == mark or variable.startswith(home) for variable in variables):
            process = ProcessId.of(int(entry.name))
            if process is not None:
                found.append(process)
    return found


def end_processes(directory: Path, *, timeout: float = 10.0) -> list[ProcessId]:
    """Kill every process of the sandbox in ``directory``, until there is none.

    Returns those that are still there after ``timeout`` seconds (in an uninterruptible system call).
    """
    deadline = time.monotonic() + timeout
    while True:
        left = find_processes(directory)  # again each time: a process may fork while the list is made
        if not left or time.monotonic() > deadline:
            return left
        for process in left:
            process.signal(signal.SIGKILL)
        time.sleep(0.02)
