"""The progress of the work in words: for the lines of a log, and for the live lines of a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pio_tf.durations import clock
from pio_tf.events import MachineProgress, ResourceProgress, TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Callable

BETWEEN_LINES = 30.0
"""The least seconds between two lines on a training in a log."""
_WORDS = {
    "create": ("creating", "created"),
    "update": ("changing", "changed"),
    "delete": ("removing", "removed"),
    "read": ("reading", "read"),
    "refresh": ("refreshing", "refreshed"),
}


def doing(event: ResourceProgress | MachineProgress) -> str:
    """Return what happens to a machine or a resource: ``creating``."""
    if isinstance(event, MachineProgress):
        return event.detail
    return _WORDS.get(event.action, (event.action, event.action))[0]


def plain_line(event: ResourceProgress | MachineProgress, *, verbose: bool = False) -> str:
    """Return one line for a log; empty for an event that a log need not hold.

    Args:
        verbose: also for resources that are only read, and for beginnings.
    """
    if isinstance(event, MachineProgress):
        return f"{event.machine}: {event.detail}"
    if not verbose and (event.action in ("refresh", "read") or event.status == "started"):
        return ""
    elapsed = f"{event.elapsed_seconds:.0f}s"
    if event.status == "started":
        return f"{event.address}: {doing(event)}"
    if event.status == "running":
        return f"{event.address}: {doing(event)} … {elapsed}"
    done = _WORDS.get(event.action, (event.action, event.action))[1]
    return f"{event.address}: {done if event.status == 'done' else f'{event.action} failed'} after {elapsed}"


def training_line(event: TrainingProgress) -> str:
    """Return one line for a log: ``training 0:12:34, 3 of 5 jobs done, 2 of 4 stages, 45 of 200 tasks``."""
    parts = [f"training {clock(event.elapsed_seconds)}"]
    if event.deadline:
        parts.append(f"until {event.deadline:%H:%M} UTC at the latest")
    if event.jobs is not None:
        parts.append(f"{event.jobs_done or 0} of {event.jobs} jobs done")
    if event.stages is not None:
        parts.append(f"{event.stages_done or 0} of {event.stages} stages")
    if event.tasks is not None:
        parts.append(f"{event.tasks_done or 0} of {event.tasks} tasks" + (f" ({event.stage})" if event.stage else ""))
    return ", ".join([*parts, *executors(event)])


def executors(event: TrainingProgress) -> list[str]:
    """Return the number of executors in words; nothing if it is unknown."""
    if event.executors is None:
        return []
    return [f"{event.executors} executor{'' if event.executors == 1 else 's'}"]


class TrainingLines:
    """The progress of a training that is worth a line in a log: a changed number of jobs or stages, now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: tuple[int | None, ...] = (None,) * 4
        self._next = 0.0

    def line(self, event: TrainingProgress) -> str:
        """Return the line; empty if there is nothing new, or the last one was not long ago."""
        counts = (event.jobs_done, event.jobs, event.stages_done, event.stages)
        if counts == self._counts or self._clock() < self._next:
            return ""
        self._counts, self._next = counts, self._clock() + BETWEEN_LINES
        return training_line(event)
