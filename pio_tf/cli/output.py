"""What a user sees. Results go to standard output, talk to standard error; a terminal gets a live display, a pipe
or a CI log gets plain lines. NO_COLOR and FORCE_COLOR are honoured (by rich)."""

from __future__ import annotations

import io
import json as json_module
import os
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TextIO

from pio_tf.cli.live import can_be_live
from pio_tf.cli.progress import LiveProgress, TrainingLines, plain_line
from pio_tf.events import Checked, Done, Event, OutputLine, Step, TrainingProgress, Warned

if TYPE_CHECKING:
    from pio_tf.errors import PioTfError

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("-", "dim")}


@dataclass(frozen=True)
class Rows:
    """A result: rows for people, data for programs."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    data: Any
    closing: str = ""


class Terminal:
    """Where a command writes to.

    Args:
        json: the result is written as JSON, and nothing else to standard output.
    """

    def __init__(self, *, json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        import logging

        from rich.console import Console

        # asyncio warns of every packet that SSH still sends into a connection which breaks: we tell that ourselves.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        self._out = out or sys.stdout
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="backslashreplace")  # a training must not end for a letter of its log
        self._talk = Console(file=err or sys.stderr, highlight=False, soft_wrap=True)
        self._json = json
        self._progress = LiveProgress(self._talk) if can_be_live(self._talk) else None
        self._out_is_below = self._progress is not None and _one_terminal(self._out, self._talk.file)
        self._training_lines = TrainingLines()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop_progress()

    def write(self, text: str) -> None:
        """Write a result as it is."""
        self._stop_progress()
        self._out.write(text if text.endswith("\n") else text + "\n")

    def say(self, text: str, *, style: str = "") -> None:
        """Say something about the work, on standard error."""
        if self._progress:
            self._progress.say(text, style=style)
        else:
            self._talk.print(text, style=style, markup=False)

    def done(self, text: str) -> None:
        """Say that something has ended well."""
        self.say(f"✓ {text}" if self._talk.is_terminal else text, style="green")

    def result(self, rows: Rows) -> None:
        """Write a command's result: a table, or JSON."""
        self._stop_progress()
        if self._json:
            self.write(json_module.dumps(rows.data, indent=2, default=str))
            return
        if rows.rows:
            self._table(rows)
        if rows.closing:
            self.write(rows.closing)

    def reporter(self, event: Event) -> None:
        """Draw or write an event of the library."""
        if isinstance(event, OutputLine):
            self._output_line(event)
        elif isinstance(event, Step):
            self._stop_progress()
            self.say(event.message, style="bold")
        elif isinstance(event, Done):
            self._stop_progress()
            self.done(event.message)
        elif isinstance(event, Warned):
            self.say(f"warning: {event.message}", style="yellow")
        elif isinstance(event, Checked):
            self._checked(event)
        elif self._progress:
            self._progress.update(event)
        elif line := self._training_lines.line(event) if isinstance(event, TrainingProgress) else plain_line(event):
            self.say(line)

    def _output_line(self, event: OutputLine) -> None:
        """A remote command's line is part of the result, unless the result is JSON; Terraform's talk is not. On a
        terminal that shows something live it goes above that; to a pipe or a file it goes without further ado."""
        is_talk = self._json or event.source == "terraform"
        if self._progress and (is_talk or self._out_is_below):
            self._progress.write(event.text)
            return
        stream = self._talk.file if is_talk else self._out
        stream.write(event.text + "\n")
        stream.flush()

    def _checked(self, event: Checked) -> None:
        detail = f": {event.detail}" if event.detail else ""
        if self._talk.is_terminal:
            mark, style = _MARKS[event.status]
            self.say(f"{mark} {event.name}{detail}", style=style)
        else:
            self.say(f"{event.name}: {event.status}{detail}")

    def _stop_progress(self) -> None:
        if self._progress:
            self._progress.stop()

    def _table(self, rows: Rows) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(*rows.columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in table.columns:
            column.no_wrap = True
        for row in rows.rows:
            table.add_row(*row)
        console = Console(file=self._out, highlight=False, markup=False)
        # A cell that is cut to fit is of no use: the table takes its width, and a narrow terminal wraps it.
        wide = console.options.update(max_width=10_000)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
        console.print(table)


def _one_terminal(out: IO[str], err: IO[str]) -> bool:
    """Whether both are the same terminal, where a line of one would be written over a line of the other."""
    try:
        return out.isatty() and err.isatty() and os.fstat(out.fileno()).st_rdev == os.fstat(err.fileno()).st_rdev
    except (OSError, ValueError):  # no file behind it
        return False


def show_error(error: PioTfError, *, json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
    """Write an error: what, cause, next step; red where there is a terminal.

    Args:
        json: also as JSON to standard output, with the facts that a person would not read (``details``).
    """
    from rich.console import Console

    console = Console(file=err or sys.stderr, highlight=False, soft_wrap=True)
    first, *rest = str(error).split("\n")
    console.print(f"error: {first}", style="bold red", markup=False)
    for line in rest:
        console.print(line, markup=False)
    if json:
        data = {"what": error.what, "cause": error.cause, "next_step": error.next_step, "exit_code": error.exit_code}
        report = {"version": 1, "error": {**data, "details": error.details}}
        (out or sys.stdout).write(json_module.dumps(report, indent=2, default=str) + "\n")
