"""The progress of the work, as lines at the bottom of a terminal that change in place.

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

from pio_tf.cli.progress import doing, executors, plain_line
from pio_tf.durations import clock
from pio_tf.events import MachineProgress, ResourceProgress, TrainingProgress

if TYPE_CHECKING:
    from rich.console import Console

REDRAW_SECONDS = 0.125
_BAR = 12


def can_be_live(console: Console) -> bool:
    """Return whether this is a terminal whose cursor moves. FORCE_COLOR makes a pipe colourful, not a terminal."""
    return console.is_interactive and not console.is_dumb_terminal and console.file.isatty()


class LiveProgress:
    """What the work is doing now, redrawn by a thread; what has ended is written above it and stays."""

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

    def update(self, event: ResourceProgress | MachineProgress | TrainingProgress) -> None:
        """Show an event: as a live line, or above them if it ends one."""
        if isinstance(event, TrainingProgress):
            self._training = event, time.monotonic()
        else:
            key = event.machine if isinstance(event, MachineProgress) else event.address
            if event.ready if isinstance(event, MachineProgress) else event.status in ("done", "failed"):
                self._active.pop(key, None)
                failed = isinstance(event, ResourceProgress) and event.status == "failed"
                if line := plain_line(event):
                    self.say(("✗ " if failed else "✓ ") + line, style="red" if failed else "green")
                return
            _, since = self._active.get(key, ("", time.monotonic()))
            self._active[key] = (doing(event), since)
        self._start()

    def say(self, text: str, *, style: str = "") -> None:
        """Write a line above the live lines."""
        with self._console.capture() as captured:
            self._console.print(text, style=style, markup=False)
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
        columns, rows = self._size()
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

    def _size(self) -> tuple[int, int]:
        """Return columns and rows of this terminal; rich would ask that of standard input first."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(self._console.file.fileno())
            if size.columns and size.lines:
                return size.columns, size.lines
        return self._console.width, self._console.height

    def _lines(self, rows: int) -> list[Text]:
        # The thread draws while events come in: it works on copies.
        now, active, training = time.monotonic(), list(self._active.items()), self._training
        lines = [Text(f"  {key}  {detail}  {now - since:.0f}s", "cyan") for key, (detail, since) in active]
        room = max(1, rows - 3)  # for the training's line, and for some of the lines above
        if len(lines) > room:
            lines = [*lines[: room - 1], Text(f"  … and {len(lines) - room + 1} more", "cyan")]
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
            parts.append(Text(f"{event.jobs_done or 0}/{event.jobs} jobs"))
        parts += [Text(text) for text in executors(event)]
        if event.tasks is not None:
            done = event.tasks_done or 0
            full = _BAR * min(done, event.tasks) // max(1, event.tasks)
            filled, empty = ("#", ".") if self._console.options.ascii_only else ("━", "─")
            counts = f" {done}/{event.tasks} tasks"
            parts.append(Text.assemble((filled * full, "green"), (empty * (_BAR - full), "dim"), counts))
        if event.stage:
            parts.append(Text(event.stage, "dim"))
        return Text("  ").join(parts)
