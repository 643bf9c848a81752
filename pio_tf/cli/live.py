"""Lines at the bottom of a terminal that change in place, and everything else above them.

rich's own ``Live`` draws its lines anew for every line that is printed above them, which is too slow for a training's
log. Here a line above costs one write: the terminal's cursor goes back to where our lines begin, clears what follows,
and the new line and ours, as they were drawn last, take its place. The cursor is never hidden, so that whatever ends
the program leaves it as it was.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.text import Text

REDRAW_SECONDS = 0.125


def can_be_live(console: Console) -> bool:
    """Whether this is a terminal whose cursor moves. FORCE_COLOR makes a pipe colourful, not a terminal."""
    return console.is_interactive and not console.is_dumb_terminal and console.file.isatty()


class LiveLines:
    """Draws ``lines()`` below everything else, several times a second while it is started.

    Args:
        lines: what to draw on at most so many rows, one line each; too long ones are cut. None: nothing.
    """

    def __init__(self, console: Console, lines: Callable[[int], list[Text]]) -> None:
        self._console = console
        self._lines = lines
        self._lock = threading.Lock()
        self._erase = ""
        """Takes away what is drawn."""
        self._drawn = ""
        """What is drawn, without a line end: the cursor stands behind it."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Draw from now on."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._keep_drawing, name="live-lines", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Draw no more, and take away what is drawn. A terminal that has been closed is no error."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None
        with contextlib.suppress(OSError), self._lock:
            erase, self._erase, self._drawn = self._erase, "", ""
            self._console.file.write(erase)
            self._console.file.flush()

    def write(self, text: str) -> None:
        """Write above the lines: whole lines, as they are."""
        with self._lock:
            self._console.file.write(f"{self._erase}{text}{self._drawn}")
            self._console.file.flush()

    def _keep_drawing(self) -> None:
        with contextlib.suppress(OSError):  # the terminal has been closed: there is nobody to draw for
            while not self._stopping.wait(REDRAW_SECONDS):
                self._draw()

    def _draw(self) -> None:
        from rich.text import Text

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
            self._console.file.write(erase + self._drawn)
            self._console.file.flush()

    def _size(self) -> tuple[int, int]:
        """Columns and rows, of this terminal; rich would look at standard input's first."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(self._console.file.fileno())
            if size.columns and size.lines:
                return size.columns, size.lines
        return self._console.width, self._console.height
