"""Processes of a sandbox: how to find and end them, even after a process id has been reused.

Linux only: it reads /proc and uses prctl. Stdlib only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARK = "SANDBOX_OF_PIO_TF"
"""Environment variable of the server and its processes: the sandbox's directory. Its name must not start with PIO_,
because PredictionIO would write it into its metadata."""

_POLL_SECONDS = 0.02
_SEARCH_SECONDS = 0.2
"""Interval between two searches for processes, which read the environment of each process of the computer: 4 ms."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ProcessId:
    """A process. Its start time distinguishes it from a later one with the same number."""

    pid: int
    started: int
    """Clock ticks after boot (field 22 of /proc/PID/stat)."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the process that has a number now; None if there is none, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
        return None if state in "ZX" else cls(pid=pid, started=int(fields[18]))

    def is_alive(self) -> bool:
        """Return whether this process still runs."""
        return ProcessId.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Signal the process, if it still runs."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies, however it dies. For ``preexec_fn``.

    A fork does not inherit this, so each process that the server starts calls it.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Start(NamedTuple):
    """The way in which a process is started."""

    command: tuple[str, ...]
    preexec_fn: Callable[[], None] | None


def dying_with_parent(*command: str) -> Start:
    """Return the start of a command that the kernel kills when its parent dies, however it dies.

    For a ``preexec_fn`` Python copies the server's whole process: 15 ms of CPU time, while all else waits there.
    util-linux's setpriv, which becomes the command, takes one. Before version 2.33, it can't do this.
    """
    setpriv = _find_setpriv()
    return Start((*setpriv, *command), None) if setpriv else Start(command, die_with_parent)


@cache
def _find_setpriv() -> tuple[str, ...]:
    program = shutil.which("setpriv")
    command = (program or "", "--pdeathsig", "KILL", "--")
    fits = program and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if fits else ()


def find_processes(directory: Path) -> list[ProcessId]:
    """Return every other process of this user that belongs to the sandbox in ``directory``.

    Its environment has the mark, or a home directory in there, as after a login on a machine.
    """
    return find_processes_of([directory])[directory]


def find_processes_of(directories: Sequence[Path]) -> dict[Path, list[ProcessId]]:
    """Return the processes of each directory, as :func:`find_processes` does, with one look at each process."""
    marks = {f"{MARK}={directory}".encode(): directory for directory in directories}
    homes = {f"HOME={directory}/".encode(): directory for directory in directories}
    found: dict[Path, list[ProcessId]] = {directory: [] for directory in directories}
    for name in os.listdir("/proc"):  # noqa: PTH208 - this runs ten times a second where alarms are fast
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                data = file.read()
        except OSError:  # another user's, or gone
            continue
        if not any(part in data for part in (*marks, *homes)):
            continue
        variables = data.split(b"\0")
        owners = {marks[variable] for variable in variables if variable in marks}
        owners |= {homes[home] for home in homes for variable in variables if variable.startswith(home)}
        if owners and (process := ProcessId.of(int(name))) is not None:
            for owner in owners:
                found[owner].append(process)
    return found


def end_processes(directory: Path, *, grace: float = 0.0, timeout: float = 10.0) -> list[ProcessId]:
    """End every process of the sandbox in ``directory``: ask with SIGTERM, and kill after ``grace`` seconds.

    Return those that still run after another ``timeout`` seconds (in an uninterruptible system call).
    """
    started = time.monotonic()
    asked: set[ProcessId] = set()
    while left := find_processes(directory):  # again each time: a process may fork while the list is made
        waited = time.monotonic() - started
        if waited > grace + timeout:
            return left
        for process in left:
            if waited >= grace:
                process.signal(signal.SIGKILL)
            elif process not in asked:
                process.signal(signal.SIGTERM)
                asked.add(process)
        _wait_for_end(left, seconds=_SEARCH_SECONDS if waited >= grace else min(_SEARCH_SECONDS, grace - waited))
    return []


def _wait_for_end(processes: list[ProcessId], *, seconds: float) -> None:
    """Wait until all of them have ended, but no longer than this."""
    until = time.monotonic() + seconds
    while any(process.is_alive() for process in processes) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
