"""What is going on, in words: for the lines that a terminal shows live, and for a log."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.cli.live import LiveLines
from pio_tf.durations import clock
from pio_tf.events import MachineProgress, ResourceProgress, TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.text import Text

BETWEEN_LINES = 30.0
"""Seconds between two lines on a training in a log, at the least."""
_BAR = 12
_DONE_WORDS = {"create": "created", "update": "changed", "delete": "removed", "read": "read", "refresh": "refreshed"}
_DOING_WORDS = {
    "create": "creating",
    "update": "changing",
    "delete": "removing",
    "read": "reading",
    "refresh": "refreshing",
}


def plain_line(event: ResourceProgress | MachineProgress, *, verbose: bool = False) -> str:
    """Return one line for a log; empty for an event that a log need not hold.

    Args:
        verbose: also for resources that are only read, and for beginnings.
    """
    if isinstance(event, MachineProgress):
        return f"{event.machine}: {event.detail}"
    if not verbose and (event.action in ("refresh", "read") or event.status == "started"):
        return ""
    if event.status in ("started", "running"):
        elapsed = f" … {event.elapsed_seconds:.0f}s" if event.status == "running" else ""
        return f"{event.address}: {_DOING_WORDS.get(event.action, event.action)}{elapsed}"
    word = _DONE_WORDS.get(event.action, event.action) if event.status == "done" else f"{event.action} failed"
    return f"{event.address}: {word} after {event.elapsed_seconds:.0f}s"


def training_line(event: TrainingProgress) -> str:
    """One line for a log: ``training 0:12:34, 3 of 5 jobs done, 2 of 4 stages, 45 of 200 tasks (map at A.scala:1)``."""
    parts = [f"training {clock(event.elapsed_seconds)}"]
    if event.deadline:
        parts.append(f"until {event.deadline:%H:%M} UTC at the latest")
    if event.jobs is not None:
        parts.append(f"{event.jobs_done or 0} of {event.jobs} jobs done")
    if event.stages is not None:
        parts.append(f"{event.stages_done or 0} of {event.stages} stages")
    if event.tasks is not None:
        parts.append(f"{event.tasks_done or 0} of {event.tasks} tasks" + (f" ({event.stage})" if event.stage else ""))
    return ", ".join([*parts, *_executors(event)])


class TrainingLines:
    """Which progress of a training is worth a line in a log: a changed number of jobs or stages, now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: tuple[int | None, ...] = (None,) * 4
        self._next = 0.0

    def line(self, event: TrainingProgress) -> str:
        """The line; empty if there is nothing new, or the last one was not long ago."""
        counts = (event.jobs_done, event.jobs, event.stages_done, event.stages)
        if counts == self._counts or self._clock() < self._next:
            return ""
        self._counts, self._next = counts, self._clock() + BETWEEN_LINES
        return training_line(event)


class LiveProgress:
    """What is going on now, at the bottom of a terminal; what has ended is written above it and stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = LiveLines(console, self._lines)
        self._active: dict[str, tuple[str, float]] = {}
        self._training: tuple[TrainingProgress, float] | None = None

    def update(self, event: ResourceProgress | MachineProgress | TrainingProgress) -> None:
        """Show it."""
        if isinstance(event, TrainingProgress):
            self._training = event, time.monotonic()
            self._live.start()
            return
        key = event.machine if isinstance(event, MachineProgress) else event.address
        ended = event.ready if isinstance(event, MachineProgress) else event.status in ("done", "failed")
        if ended:
            self._active.pop(key, None)
            if isinstance(event, MachineProgress) or event.action not in ("refresh", "read"):
                failed = isinstance(event, ResourceProgress) and event.status == "failed"
                self.say(("✗ " if failed else "✓ ") + plain_line(event), style="red" if failed else "green")
            return
        detail = event.detail if isinstance(event, MachineProgress) else _DOING_WORDS.get(event.action, event.action)
        _, since = self._active.get(key, ("", time.monotonic()))
        self._active[key] = (detail, since)
        self._live.start()

    def say(self, text: str, *, style: str = "") -> None:
        """Write a line above."""
        with self._console.capture() as captured:
            self._console.print(text, style=style, markup=False)
        self._live.write(captured.get())

    def write(self, text: str) -> None:
        """Write a line above, as it is and quickly."""
        self._live.write(text + "\n")

    def stop(self) -> None:
        """Nothing is going on any more."""
        self._live.stop()
        self._active.clear()
        self._training = None

    def _lines(self, rows: int) -> list[Text]:
        from rich.text import Text

        # Drawn by a thread of its own, while events come in.
        now, active, training = time.monotonic(), list(self._active.items()), self._training
        lines = [Text(f"  {key}  {detail}  {now - since:.0f}s", "cyan") for key, (detail, since) in active]
        room = max(1, rows - 3)  # for the training's, and for something of what stands above
        if len(lines) > room:
            lines = [*lines[: room - 1], Text(f"  … and {len(lines) - room + 1} more", "cyan")]
        if training:
            event, at = training
            lines.append(self._training_text(event, event.elapsed_seconds + now - at))
        return lines

    def _training_text(self, event: TrainingProgress, elapsed: float) -> Text:
        """Most important first: the end may be cut off."""
        from rich.text import Text

        parts = [Text(f"training {clock(elapsed)}", "bold cyan")]
        if event.deadline:
            left = (event.deadline - datetime.now(tz=timezone.utc)).total_seconds()
            parts.append(Text(f"deadline in {clock(left)}" if left > 0 else "deadline passed"))
        if event.jobs is not None:
            parts.append(Text(f"{event.jobs_done or 0}/{event.jobs} jobs"))
        parts += [Text(text) for text in _executors(event)]
        if event.tasks is not None:
            done = event.tasks_done or 0
            full = _BAR * min(done, event.tasks) // max(1, event.tasks)
            filled, empty = ("#", ".") if self._console.options.ascii_only else ("━", "─")
            counts = f" {done}/{event.tasks} tasks"
            parts.append(Text.assemble((filled * full, "green"), (empty * (_BAR - full), "dim"), counts))
        if event.stage:
            parts.append(Text(event.stage, "dim"))
        return Text("  ").join(parts)


def _executors(event: TrainingProgress) -> list[str]:
    if event.executors is None:
        return []
    return [f"{event.executors} executor{'' if event.executors == 1 else 's'}"]
