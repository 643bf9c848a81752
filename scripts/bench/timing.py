"""Taking turns, and medians."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def alternate(sides: dict[str, Callable[[], object]], *, turns: int) -> dict[str, list[float]]:
    """Return the seconds of each call of each side; they take turns, so that a busy moment of the machine hits all."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for name in reversed(sides) if turn % 2 else sides:
            begin = time.perf_counter()
            sides[name]()
            times[name].append(time.perf_counter() - begin)
    return times


def alternate_processes(commands: Mapping[str, Sequence[str]], *, starts: int) -> dict[str, float]:
    """Return the median seconds of each command.

    The first start of each warms the disk's cache, and does not count.
    """

    def start(command: Sequence[str]) -> Callable[[], object]:
        # Its exit code is left alone: `aws --help` ends with 252 after printing its usage.
        return lambda: subprocess.run(command, capture_output=True, check=False)

    times = alternate({name: start(command) for name, command in commands.items()}, turns=starts + 1)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def milliseconds(seconds: float) -> str:
    """Return the time right-aligned, for a column."""
    return f"{seconds * 1000:>6.0f} ms"
