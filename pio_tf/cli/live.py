"""The progress of the work: in words for a log, and as lines at the bottom of a terminal that change in place.

rich's own ``Live`` redraws its lines for every line that is printed above them, which is too slow for the log of a
training. Here, a line above costs one write: the cursor goes back to where the live lines begin, clears what follows,
and writes the new line and the live lines as they were last drawn. The cursor is never hidden, so that the terminal
stays usable however the program ends.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.text import Text

from pio_tf.data_amounts import amount, rate_text
from pio_tf.durations import clock
from pio_tf.events import DownloadProgress, MachineProgress, ResourceProgress, TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

BETWEEN_LINES = 30.0
"""The least seconds between two lines on a training, or on one download, in a log."""
DOWNLOADS_AT_ONCE = 8
"""The downloads that a log has lines on every 30 seconds; with more of them, each has fewer."""
_WORDS = {
    "create": ("creating", "created"),
    "update": ("changing", "changed"),
    "delete": ("removing", "removed"),
    "read": ("reading", "read"),
    "refresh": ("refreshing", "refreshed"),
}

REDRAW_SECONDS = 0.125
_BAR = 12


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


def styled_text(text: str, style: str, styled: int) -> Text:
    """Return text with a style on its first characters; 0: on all of them."""
    return Text.assemble((text[:styled], style), text[styled:]) if styled else Text(text, style)


def _plural(number: int, noun: str) -> str:
    """Return ``1 job`` or ``5 jobs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def training_line(event: TrainingProgress) -> str:
    """Return one line for a log: ``training 0:12:34, 3 of 5 jobs done, 2 of 4 stages, 45 of 200 tasks``."""
    parts = [f"training {clock(event.elapsed_seconds)}"]
    if event.deadline:
        parts.append(f"until {event.deadline:%H:%M} UTC at the latest")
    if event.jobs is not None:
        parts.append(f"{event.jobs_done or 0} of {_plural(event.jobs, 'job')} done")
    if event.stages is not None:
        parts.append(f"{event.stages_done or 0} of {_plural(event.stages, 'stage')}")
    if event.tasks is not None:
        parts.append(
            f"{event.tasks_done or 0} of {_plural(event.tasks, 'task')}" + (f" ({event.stage})" if event.stage else "")
        )
    return ", ".join([*parts, *executors(event)])


def executors(event: TrainingProgress) -> list[str]:
    """Return the number of executors in words; nothing if it is unknown."""
    if event.executors is None:
        return []
    return [f"{event.executors} executor{'' if event.executors == 1 else 's'}"]


def downloaded(event: DownloadProgress) -> str:
    """Return how far a download is: ``41.2 of 228.1 MB, 153 kB/s``."""
    if event.done:
        return f"{amount(event.received, None)} downloaded"
    return ", ".join(filter(None, (amount(event.received, event.size), rate_text(event.bytes_per_second))))


class DownloadLines:
    """The progress of downloads that is worth a line in a log: now and then, and at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[tuple[str, str], float] = {}

    def line(self, event: DownloadProgress) -> str:
        """Return the line; empty if the last one was not long ago."""
        key, now = (event.machine, event.name), self._clock()
        due = self._next.get(key, now + BETWEEN_LINES)  # most downloads end before that
        if event.done:
            self._next.pop(key, None)
        elif now >= due:
            self._next[key] = now + BETWEEN_LINES * max(1.0, len(self._next) / DOWNLOADS_AT_ONCE)
        else:
            self._next[key] = due
            return ""
        return f"{event.machine}: {event.name}: {downloaded(event)}"


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


def can_be_live(console: Console) -> bool:
    """Return whether this is a terminal whose cursor moves. FORCE_COLOR makes a pipe colourful, not a terminal."""
    return console.is_interactive and not console.is_dumb_terminal and console.file.isatty()


def terminal_size(console: Console) -> tuple[int, int]:
    """Return columns and rows of a console's terminal; rich would ask that of standard input first."""
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(console.file.fileno())
        if size.columns and size.lines:
            return size.columns, size.lines
    return console.width, console.height


class LiveProgress:
    """The lines that show current work, redrawn by a thread; lines of ended work stay above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._active: dict[str, tuple[str, float]] = {}
        self._training: tuple[TrainingProgress, float] | None = None
        self._lock = threading.Lock()
        self._erase = ""
        """Erases what is drawn."""
        self._drawn = ""
        """The lines as drawn, without a line end: the cursor stands behind them."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def update(self, event: ResourceProgress | MachineProgress | DownloadProgress | TrainingProgress) -> None:
        """Show an event: as a live line, or above them if it ends one."""
        if isinstance(event, TrainingProgress):
            self._training = event, time.monotonic()
        elif isinstance(event, DownloadProgress):
            key = f"{event.machine} {event.name}"
            _, since = self._active.get(key, ("", time.monotonic()))
            if event.done:
                self._active.pop(key, None)
                self.say(f"✓ {event.machine}: {event.name}: {downloaded(event)}", style="green", styled=2)
                return
            self._active[key] = (downloaded(event), since)
        else:
            key = event.machine if isinstance(event, MachineProgress) else event.address
            if event.ready if isinstance(event, MachineProgress) else event.status in ("done", "failed"):
                self._active.pop(key, None)
                failed = isinstance(event, ResourceProgress) and event.status == "failed"
                if line := plain_line(event):
                    self.say(("✗ " if failed else "✓ ") + line, style="red" if failed else "green", styled=2)
                return
            _, since = self._active.get(key, ("", time.monotonic()))
            self._active[key] = (doing(event), since)
        self._start()

    def say(self, text: str, *, style: str = "", styled: int = 0) -> None:
        """Write a line above the live lines. See :func:`styled_text`."""
        with self._console.capture() as captured:
            self._console.print(styled_text(text, style, styled))
        self._write(captured.get())

    def write(self, text: str) -> None:
        """Write a line above the live lines, as it is and quickly."""
        self._write(text + "\n")

    def stop(self) -> None:
        """Erase the live lines, and forget what they show. A terminal that has been closed is no error."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None
            with contextlib.suppress(OSError), self._lock:
                erase, self._erase, self._drawn = self._erase, "", ""
                self._put(erase)
        self._active.clear()
        self._training = None

    def _start(self) -> None:
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._keep_drawing, name="live-progress", daemon=True)
            self._thread.start()

    def _write(self, text: str) -> None:
        with self._lock:
            self._put(f"{self._erase}{text}{self._drawn}")

    def _put(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()

    def _keep_drawing(self) -> None:
        with contextlib.suppress(OSError):  # the terminal has been closed
            while not self._stopping.wait(REDRAW_SECONDS):
                self._draw()

    def _draw(self) -> None:
        columns, rows = terminal_size(self._console)
        lines = self._lines(max(1, rows - 1))
        for line in lines:
            # A column less than there are: a line that fills its row may or may not have moved the cursor to the next.
            line.truncate(columns - 1, overflow="ellipsis")
        with self._console.capture() as captured:
            self._console.print(Text("\n").join(lines), end="")
        with self._lock:
            if captured.get() == self._drawn:
                return
            erase, self._drawn = self._erase, captured.get()
            ends = self._drawn.count("\n")
            up = f"\x1b[{ends}A" if ends else ""
            self._erase = f"\r{up}\x1b[J" if self._drawn else ""
            self._put(erase + self._drawn)

    def _lines(self, rows: int) -> list[Text]:
        # The thread draws while events come in: it works on copies.
        now, active, training = time.monotonic(), list(self._active.items()), self._training
        lines = [
            Text.assemble("  ", (key, "cyan"), f"  {detail}  {now - since:.0f}s") for key, (detail, since) in active
        ]
        room = max(1, rows - 3)  # for the training's line, and for some of the lines above
        if len(lines) > room:
            lines = [*lines[: room - 1], Text(f"  … and {len(lines) - room + 1} more")]
        if training:
            event, at = training
            lines.append(self._training_text(event, event.elapsed_seconds + now - at))
        return lines

    def _training_text(self, event: TrainingProgress, elapsed: float) -> Text:
        """Return a training's line, the most important first: the end may be cut off."""
        parts = [Text(f"training {clock(elapsed)}", "bold cyan")]
        if event.deadline:
            left = (event.deadline - datetime.now(tz=timezone.utc)).total_seconds()
            parts.append(Text(f"deadline in {clock(left)}" if left > 0 else "deadline passed"))
        if event.jobs is not None:
            parts.append(Text(f"{event.jobs_done or 0}/{_plural(event.jobs, 'job')}"))
        parts += [Text(text) for text in executors(event)]
        if event.tasks is not None:
            done = event.tasks_done or 0
            full = _BAR * min(done, event.tasks) // max(1, event.tasks)
            filled, empty = ("#", ".") if self._console.options.ascii_only else ("━", "─")
            counts = f" {done}/{_plural(event.tasks, 'task')}"
            parts.append(Text.assemble((filled * full, "green"), (empty * (_BAR - full), "dim"), counts))
        if event.stage:
            parts.append(Text(event.stage, "dim"))
        return Text("  ").join(parts)
