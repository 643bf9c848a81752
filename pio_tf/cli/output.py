"""What a user sees. Results go to standard output, talk to standard error; a terminal gets a live display, a pipe
or a CI log gets plain lines. NO_COLOR and FORCE_COLOR are honoured (by rich)."""

from __future__ import annotations

import json as json_module
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from pio_tf.events import (
    Checked,
    Done,
    Event,
    MachineProgress,
    OutputLine,
    ResourceProgress,
    Step,
    TrainingProgress,
    Warned,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from pio_tf.errors import PioTfError

_DONE_WORDS = {"create": "created", "update": "changed", "delete": "removed", "read": "read", "refresh": "refreshed"}
_DOING_WORDS = {"create": "creating", "update": "changing", "delete": "removing", "read": "reading"}


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
        from rich.console import Console

        self._out = out or sys.stdout
        self._talk = Console(file=err or sys.stderr, highlight=False, soft_wrap=True)
        self._json = json
        self._progress = _LiveProgress(self._talk) if self._talk.is_terminal else None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def write(self, text: str) -> None:
        """Write a result as it is."""
        self._out.write(text if text.endswith("\n") else text + "\n")

    def say(self, text: str, *, style: str = "") -> None:
        """Say something about the work, on standard error."""
        self._talk.print(text, style=style, markup=False)

    def done(self, text: str) -> None:
        """Say that something has ended well."""
        self.say(f"✓ {text}" if self._talk.is_terminal else text, style="green")

    def result(self, rows: Rows) -> None:
        """Write a command's result: a table, or JSON."""
        if self._progress:
            self._progress.stop()
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
            self.say(event.message, style="bold")
        elif isinstance(event, Done):
            self.done(event.message)
        elif isinstance(event, Warned):
            self.say(f"warning: {event.message}", style="yellow")
        elif isinstance(event, Checked):
            self.say(f"{event.name}: {event.status}: {event.detail}")
        elif isinstance(event, TrainingProgress):
            pass
        elif self._progress:
            self._progress.update(event)
        elif line := plain_line(event):
            self.say(line)

    def _output_line(self, event: OutputLine) -> None:
        """A remote command's line is part of the result, unless the result is JSON; Terraform's talk is not."""
        if self._progress:
            self._progress.stop()
        stream = self._talk.file if self._json or event.source == "terraform" else self._out
        stream.write(event.text + "\n")
        stream.flush()

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


def plain_line(event: ResourceProgress | MachineProgress) -> str:
    """One line for a log; an empty one for what a log need not hold (refreshes, beginnings that end soon)."""
    if isinstance(event, MachineProgress):
        return f"{event.machine}: {event.detail}"
    if event.action in ("refresh", "read") or event.status == "started":
        return ""
    if event.status == "running":
        return f"{event.address}: {_DOING_WORDS.get(event.action, event.action)} … {event.elapsed_seconds:.0f}s"
    word = _DONE_WORDS.get(event.action, event.action) if event.status == "done" else f"{event.action} failed"
    return f"{event.address}: {word} after {event.elapsed_seconds:.0f}s"


class _LiveProgress:
    """What is going on now, redrawn in place; what has ended is printed above it and stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._active: dict[str, tuple[str, float]] = {}

    def update(self, event: ResourceProgress | MachineProgress) -> None:
        key = event.machine if isinstance(event, MachineProgress) else event.address
        ended = event.ready if isinstance(event, MachineProgress) else event.status in ("done", "failed")
        if isinstance(event, ResourceProgress) and event.action in ("refresh", "read") and ended:
            self._active.pop(key, None)
            return
        if ended:
            self._active.pop(key, None)
            failed = isinstance(event, ResourceProgress) and event.status == "failed"
            self._console.print(
                ("✗ " if failed else "✓ ") + plain_line(event), style="red" if failed else "green", markup=False
            )
            return
        detail = event.detail if isinstance(event, MachineProgress) else _DOING_WORDS.get(event.action, event.action)
        _, since = self._active.get(key, ("", time.monotonic()))
        self._active[key] = (detail, since)
        self._start()

    def stop(self) -> None:
        self._active.clear()
        if self._live:
            self._live.stop()
            self._live = None

    def _start(self) -> None:
        from rich.live import Live

        if self._live is None:
            # Standard output is the result's, and may be a pipe: rich must not take it over.
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _render(self) -> RenderableType:
        from rich.text import Text

        now = time.monotonic()
        height = max(3, self._console.height - 4)
        lines = [f"  {key}  {detail}  {now - since:.0f}s" for key, (detail, since) in self._active.items()]
        if len(lines) > height:
            lines = [*lines[: height - 1], f"  … and {len(lines) - height + 1} more"]
        return Text("\n".join(lines), style="cyan", no_wrap=True, overflow="ellipsis")


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
