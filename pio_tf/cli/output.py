"""What a user sees. Results go to standard output, talk to standard error; a terminal gets a live display, a pipe
plain lines, a CI job the lines that its log understands. NO_COLOR and FORCE_COLOR are honoured."""

from __future__ import annotations

import io
import json as json_module
import os
import signal
import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TextIO

from pio_tf.cli.readers import is_gone, let_go
from pio_tf.cli.surroundings import in_ci, make_console
from pio_tf.cli.talk import Talk
from pio_tf.errors import Interrupted
from pio_tf.events import Checked, Done, Event, OutputLine, Step, Warned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.errors import PioTfError


@dataclass(frozen=True)
class Rows:
    """A result: rows for people, data for programs."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    data: Any
    """As :mod:`pio_tf.cli.schemas` has it."""
    closing: str = ""
    outputs: Mapping[str, object] = field(default_factory=dict)
    """What a CI job hands on to its next steps, by name: text, numbers, true and false."""
    markdown: str = ""
    """For the summary of a CI job, in place of the table."""


class Terminal:
    """Where a command writes to. Used with ``with``: at its end nothing live, and no group of a log, is left open.

    Args:
        json: the result is written as JSON, and nothing else to standard output.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        import logging

        # asyncio warns of every packet that SSH still sends into a connection which breaks: we tell that ourselves.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        self._out = out or sys.stdout
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="backslashreplace")  # a training must not end for a letter of its log
        self._json = json
        self._environ = environ
        self._err = err or sys.stderr
        self._talk = _talk(self._out, self._err, environ)
        self._is_heard = True
        self._unread: list[IO[str]] = []

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._talk.end()

    def pause(self) -> None:
        """Take away what is live."""
        self._talk.pause()

    def write(self, text: str) -> None:
        """Write a result as it is."""
        self._talk.pause()
        text = self._talk.result_text(text)
        self._out.write(text if text.endswith("\n") else text + "\n")

    def write_json(self, data: object) -> None:
        """Write one of many results, as a line of JSON that is there at once."""
        self._out.write(_json_text(data, indent=None))
        self._out.flush()

    def say(self, text: str, *, style: str = "") -> None:
        """Say something about the work, on standard error."""
        self._talk.say(text, style=style)

    def done(self, text: str) -> None:
        """Say that something has ended well."""
        self._talk.done(text)

    def result(self, rows: Rows) -> None:
        """Write a command's result: a table, or JSON."""
        self._talk.pause()
        if self._json:
            self._out.write(_json_text(rows.data))
        else:
            if rows.rows:
                self._table(rows)
            if rows.closing:
                self.write(rows.closing)
        self._talk.result(rows)

    def reporter(self, event: Event) -> None:
        """Draw or write an event of the library.

        What can't be written does not end the work, which may be the stop of machines that cost money; but a training
        whose log nobody reads any more is ended, once.

        Raises:
            Interrupted: nobody reads it.
            OSError: it can't be written for another reason, a full disk for one.
        """
        is_log = isinstance(event, OutputLine) and event.source != "terraform"
        failure: OSError | None = None
        try:
            self._show(event)
        except OSError as error:
            failure = error
            self._unread += let_go(self._out, self._err)
        unread = (self._err if self._json else self._out) in self._unread or (failure is not None and is_gone(failure))
        if not (is_log and self._is_heard and (unread or failure)):
            return
        self._is_heard = False
        if failure is not None and not unread:
            raise failure
        raise Interrupted(
            "nobody reads the training's log any more",
            signal_number=signal.SIGPIPE,
            cause="what read it has closed its end, as `| head` does",
            next_step="to go on without a reader: `pio-tf train --detach`, or send the log to a file",
        ) from failure

    def _show(self, event: Event) -> None:
        if isinstance(event, OutputLine):
            # A remote command's line is part of the result, unless the result is JSON; Terraform's talk is not.
            self._talk.output_line(event, is_talk=self._json or event.source == "terraform")
        elif isinstance(event, Step):
            self._talk.step(event.message)
        elif isinstance(event, Done):
            self._talk.done(event.message)
        elif isinstance(event, Warned):
            self._talk.warned(event.message)
        elif isinstance(event, Checked):
            self._talk.checked(event)
        else:
            self._talk.progress(event)

    def _table(self, rows: Rows) -> None:
        from rich.table import Table

        table = Table(*rows.columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in table.columns:
            column.no_wrap = True
        for row in rows.rows:
            table.add_row(*row)
        console = make_console(self._out, self._environ)
        # A cell that is cut to fit is of no use: the table takes its width, and a narrow terminal wraps it.
        wide = console.options.update(max_width=10_000)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
        with console.capture() as captured:
            console.print(table, soft_wrap=False)
        self._out.write(self._talk.result_text(captured.get()))


def show_error(
    error: PioTfError,
    *,
    json: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Write an error: what, cause, next step; red where there is a terminal.

    Args:
        json: also as JSON to standard output, with the facts that a person would not read (``details``).
    """
    out = out or sys.stdout
    _talk(out, err or sys.stderr, environ).error(error)
    if json:
        data = {"what": error.what, "cause": error.cause, "next_step": error.next_step, "exit_code": error.exit_code}
        # In one line: it may be the last of many.
        out.write(_json_text({"version": 1, "error": {**data, "details": error.details}}, indent=None))


def _talk(out: TextIO, err: TextIO, environ: Mapping[str, str]) -> Talk:
    if not in_ci(environ):
        return Talk(err, out)
    from pio_tf.cli.ci_output import ci_talk

    return ci_talk(err, out, environ)


def _json_text(data: object, *, indent: int | None = 2) -> str:
    # "##[" would be a command for the runner of GitHub Actions, wherever it stands in a line. It can only stand in a
    # string, where this means the same.
    return json_module.dumps(data, indent=indent, default=str).replace("##[", "#\\u0023[") + "\n"
