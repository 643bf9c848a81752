"""What is said about the work, on standard error: as it is at a terminal, and as plain lines elsewhere."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, TextIO

from pio_tf.cli.live import can_be_live
from pio_tf.cli.progress import LiveProgress, TrainingLines, plain_line
from pio_tf.cli.surroundings import make_console
from pio_tf.events import Checked, MachineProgress, OutputLine, ResourceProgress, TrainingProgress

if TYPE_CHECKING:
    from pio_tf.cli.output import Rows
    from pio_tf.errors import PioTfError

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("-", "dim")}


class Talk:
    """A terminal gets a live display below its lines, anything else plain lines.

    Args:
        err: where to.
        out: where results go: a line for it is written above what is live where both are one terminal.
    """

    def __init__(self, err: TextIO, out: TextIO) -> None:
        self._console = make_console(err)
        self._out = out
        self._live = LiveProgress(self._console) if can_be_live(self._console) else None
        self._out_is_below = self._live is not None and _one_terminal(out, err)
        self._training_lines = TrainingLines()

    def say(self, text: str, *, style: str = "") -> None:
        """Say something about the work."""
        if self._live:
            self._live.say(text, style=style)
        else:
            self._console.print(text, style=style, markup=False)

    def step(self, message: str) -> None:
        """Say that a stage begins."""
        self.pause()
        self.say(message, style="bold")

    def done(self, message: str) -> None:
        """Say that something has ended well."""
        self.pause()
        self.say(f"✓ {message}" if self._console.is_terminal else message, style="green")

    def warned(self, message: str) -> None:
        """Say what the user should know."""
        self.say(f"warning: {message}", style="yellow")

    def checked(self, check: Checked) -> None:
        """Say what a check has found."""
        detail = f": {check.detail}" if check.detail else ""
        if self._console.is_terminal:
            mark, style = _MARKS[check.status]
            self.say(f"{mark} {check.name}{detail}", style=style)
        else:
            self.say(f"{check.name}: {check.status}{detail}")

    def progress(self, event: ResourceProgress | MachineProgress | TrainingProgress) -> None:
        """Show how far something is."""
        if self._live:
            self._live.update(event)
        elif line := self._training_lines.line(event) if isinstance(event, TrainingProgress) else plain_line(event):
            self.say(line)

    def output_line(self, line: OutputLine, *, is_talk: bool) -> None:
        """A line that a command on a machine, or Terraform, has written. On a terminal that shows something live it
        goes above that; to a pipe or a file it goes without further ado.

        Args:
            is_talk: it goes to standard error; else it is part of the result.
        """
        if self._live and (is_talk or self._out_is_below):
            self._live.write(line.text)
            return
        stream = self._console.file if is_talk else self._out
        stream.write(line.text + "\n")
        stream.flush()

    def result_text(self, text: str) -> str:
        """Text of a result as it may be written to standard output."""
        return text

    def result(self, rows: Rows) -> None:
        """Take note of a command's result."""

    def error(self, error: PioTfError) -> None:
        """Say what has gone wrong: what, cause, next step."""
        self.pause()
        first, *rest = str(error).split("\n")
        self.say(f"error: {first}", style="bold red")
        for line in rest:
            self.say(line)

    def pause(self) -> None:
        """Take away what is live: something else is to be written."""
        if self._live:
            self._live.stop()

    def end(self) -> None:
        """Nothing follows."""
        self.pause()


def _one_terminal(out: IO[str], err: IO[str]) -> bool:
    """Whether both are the same terminal, where a line of one would be written over a line of the other."""
    try:
        return out.isatty() and err.isatty() and os.fstat(out.fileno()).st_rdev == os.fstat(err.fileno()).st_rdev
    except (OSError, ValueError):  # no file behind it
        return False
