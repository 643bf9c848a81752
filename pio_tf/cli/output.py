"""The output of a command: results to standard output, everything about the work to standard error."""

from __future__ import annotations

import contextlib
import enum
import errno
import io
import json as json_module
import logging
import os
import select
import signal
import stat
import sys
from typing import IO, TYPE_CHECKING, Any, TextIO

from msgspec.structs import replace

from pio_tf.cli.folded_log import FoldedLog
from pio_tf.cli.printable import printable, printable_event
from pio_tf.cli.resource_names import resource_name
from pio_tf.cli.wrap import wrap_words
from pio_tf.errors import Interrupted
from pio_tf.events import (
    Checked,
    Done,
    DownloadProgress,
    Event,
    OutputLine,
    OutputLines,
    ResourceProgress,
    Step,
    TrainingProgress,
    Warned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from pio_tf.cli.results.base import CommandResult, Table
    from pio_tf.errors import PioTfError

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("-", "dim")}
_READER_GONE = (errno.EPIPE, errno.EIO)  # a pipe's reader, a terminal


class Verbosity(enum.Enum):
    """How much a command says about its work."""

    QUIET = enum.auto()
    """Warnings and errors only."""
    NORMAL = enum.auto()
    VERBOSE = enum.auto()
    """Also AWS calls, and resources that Terraform only reads."""


class Output:
    """A terminal gets a live display, a pipe plain lines, a CI job the lines that its log understands.

    NO_COLOR and FORCE_COLOR are honoured. Used with ``with``, it leaves nothing live, and no group of a log open.

    Args:
        json: whether the result is written as JSON, and nothing else to standard output.
        command: the name of the command, for a CI job's summary.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        verbosity: Verbosity = Verbosity.NORMAL,
        command: str = "pio-tf",
        out: TextIO | None = None,
        err: TextIO | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        from pio_tf.cli.ci_output import job_log
        from pio_tf.cli.live import DownloadLines, LiveProgress, TrainingLines, can_be_live

        # asyncio warns of every packet that SSH still sends into a broken connection, which pio-tf reports itself.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        self._out = out or sys.stdout
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="backslashreplace")  # a letter of a log must not end a training
        self._err = err or sys.stderr
        self._json = json
        self._verbosity = verbosity
        self._environ = environ
        self._console = make_console(self._err, environ)
        self._job = job_log(environ, command)
        self._group = ""
        """The open group of the job's log: ``step`` or ``log``; empty: none."""
        is_live = self._job is None and can_be_live(self._console)
        self._live = LiveProgress(self._console) if is_live else None
        self._out_is_below = is_live and _one_terminal(self._out, self._err)
        self._training_lines = TrainingLines()
        self._download_lines = DownloadLines()
        self._folded_log = FoldedLog() if self._out_is_below and verbosity is not Verbosity.VERBOSE else None
        self._checks_follow = False
        self._is_heard = True
        self._unread: list[IO[str]] = []
        if verbosity is Verbosity.VERBOSE:
            _log_to(self)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):  # a reader that is gone is no error of the work
            self.pause()

    def pause(self) -> None:
        """Take away the live display, and close the group of the log: something else is to be written."""
        if self._live:
            self._live.stop()
        if self._job and self._group:
            self._write(self._job.end_group())
            self._group = ""

    # Results

    def write(self, text: str) -> None:
        """Write a result as it is."""
        self.pause()
        with self._delivering():
            self._out.write(self._result_text(text if text.endswith("\n") else text + "\n"))

    def write_line(self, result: CommandResult) -> None:
        """Write one of many results, as a line of JSON that is flushed at once."""
        self._out.write(_json_text(result.model_dump(), indent=None))
        self._out.flush()

    def result(self, result: CommandResult) -> None:
        """Write a command's result: a table, or JSON."""
        self.pause()
        if self._json:
            with self._delivering():
                self._out.write(_json_text(result.model_dump()))
        else:
            table, closing = result.table(), result.closing()
            if table.rows:
                self._table(table)
            if closing:
                console = self._result_console()
                self.write(wrap_words(closing, console.width) if console.is_terminal else closing)
        if self._job:
            self._job_says(self._job.result(result))

    def error(self, error: PioTfError) -> None:
        """Write an error: what failed, its cause and the next step; as JSON also its details, for programs."""
        self.pause()
        first, *rest = str(error).split("\n")
        self._line(first, mark="error: ", style="bold red")
        for line in rest:
            self._line(line)
        if self._job:
            self._write(printable(self._job.error(error)))
            self._job_says(self._job.error_summary(error))
        if self._json:
            from pio_tf.cli.results.base import ErrorData, ErrorResult

            # In one line: it may be the last of many.
            self.write_line(ErrorResult(error=ErrorData.model_validate(error)))

    # The work

    def leave_checks_to_result(self) -> None:
        """Show no check as it ends, if the command's result shows all of them on the same terminal."""
        self._checks_follow = self._out_is_below and not self._json

    def say(self, text: str) -> None:
        """Say something about the work, unless it is to be quiet."""
        if self._verbosity is not Verbosity.QUIET:
            self._line(text)

    def done(self, text: str) -> None:
        """Say that something has ended well, unless it is to be quiet."""
        if self._verbosity is not Verbosity.QUIET:
            self._show(Done(text))

    def ask(self, lines: list[str]) -> None:
        """Write what the user has to know for an answer."""
        self.pause()
        for line in lines:
            self._line(line)

    def reporter(self, event: Event) -> None:
        """Draw or write an event of the library.

        A failure to write does not end the work, which may be the stop of machines that cost money. If nothing reads
        the log of a training any more, that ends the training, once.

        Raises:
            Interrupted: nothing reads the log.
            OSError: the log can't be written for another reason, such as a full disk.
        """
        if self._verbosity is Verbosity.QUIET and not _matters(event):
            return
        is_log = isinstance(event, OutputLine | OutputLines) and event.source != "terraform"
        failure: OSError | None = None
        try:
            self._show(event)
        except OSError as error:
            failure = error
            self._unread += discard_unread(self._out, self._err)
        unread = (self._err if self._json else self._out) in self._unread or (
            failure is not None and failure.errno in _READER_GONE
        )
        if not (is_log and self._is_heard and (unread or failure)):
            return
        self._is_heard = False
        if failure is not None and not unread:
            raise failure
        raise Interrupted(
            "nothing reads the training's log any more",
            signal_number=signal.SIGPIPE,
            cause="its reader has closed the pipe, as `| head` does",
            next_step="to train without a reader, use `pio-tf train --detach` or send the log to a file",
        ) from failure

    def _show(self, event: Event) -> None:
        event = printable_event(event)
        match event:
            case OutputLine():
                self._output_line(event)
            case OutputLines():
                self._output_lines(event)
            case Step():
                self.pause()
                if self._job and self._job.has_groups:
                    self._open_group("step", event.message)
                elif event.usually:
                    self._line(f" (usually {event.usually})", style="bold", mark=event.message)
                else:
                    self._line(event.message, style="bold")
            case Done():
                if self._group != "step":  # beside the log of a training, not in it
                    self.pause()
                mark = "✓ " if self._console.is_terminal and not self._job else ""
                self._line(event.message, mark=mark, style="green")
            case Warned():
                if self._job and (annotation := self._job.warning(event.message)):
                    self._write(annotation)
                else:
                    self._line(event.message, mark="warning: ", style="bold yellow")
            case Checked():
                self._checked(event)
            case _:
                self._progress(event)

    def _checked(self, event: Checked) -> None:
        if self._checks_follow:
            return
        detail = f": {event.detail}" if event.detail else ""
        if self._console.is_terminal:
            mark, style = _MARKS[event.status]
            self._line(f"{event.name}{detail}", mark=f"{mark} ", style=style)
        else:
            self._line(f"{event.name}: {event.status}{detail}")

    def _progress(self, event: Any) -> None:  # noqa: ANN401 - progress of a resource, a machine, a download or a training
        from pio_tf.cli.live import plain_line

        if isinstance(event, ResourceProgress) and self._verbosity is not Verbosity.VERBOSE:
            event = replace(event, address=resource_name(event.address))
        if self._live:
            self._live.update(event)
            return
        if isinstance(event, TrainingProgress):
            line = self._training_lines.line(event)
        elif isinstance(event, DownloadProgress):
            line = self._download_lines.line(event)
        else:
            line = plain_line(event, verbose=self._verbosity is Verbosity.VERBOSE)
        if line:
            self._line(line)

    def _output_line(self, line: OutputLine) -> None:
        """Write a line that a machine or Terraform has printed.

        A machine's line is part of the result, unless the result is JSON. It is written as it is: it may be piped, and
        has a time of its own.
        """
        from_terraform = line.source == "terraform"
        to_err = self._json or from_terraform
        text = line.text
        if self._folded_log and not from_terraform:
            folded = self._folded_log.line(text)
            if folded is None:
                return
            text = folded
        if self._job:
            if from_terraform:
                self._line(text)
                return
            if self._job.has_groups and self._group != "log":
                self._open_group("log", f"Log of {line.source}" if line.source else "Log")
            if to_err or not _is_file(self._out):
                text = self._job.guard(text)
        if self._live and (to_err or self._out_is_below):
            self._live.write(text)
            return
        stream = self._err if to_err else self._out
        stream.write(text + "\n")
        stream.flush()

    def _output_lines(self, lines: OutputLines) -> None:
        """Write lines of a log at once, unless they are shortened, or drawn above what is live."""
        if self._folded_log or (self._live and (self._json or self._out_is_below)):
            for line in lines.lines():
                self._output_line(line)
        else:
            self._output_line(OutputLine(lines.text.removesuffix("\n"), lines.source))

    def _line(self, text: str, *, style: str = "", mark: str = "") -> None:
        """Write a line about the work.

        Args:
            style: of the mark before it; without one, of all of it. A colour that is read well on a dark terminal may
                not be on a light one: prose has none.
        """
        from pio_tf.cli.live import styled_text, terminal_size

        text = mark + printable(text)
        if self._live:
            columns, _ = terminal_size(self._console)
            self._live.say(wrap_words(text, columns), style=style, styled=len(mark))
            return
        if self._job:
            text = self._job.stamp(text)
            if (guarded := self._job.guard(text)) != text:
                self._write(guarded + "\n")
                return
            mark = ""  # behind the time
        self._console.print(styled_text(text, style, len(mark)))

    def _open_group(self, group: str, title: str) -> None:
        assert self._job is not None  # noqa: S101 - for the type checker
        self.pause()
        self._out.flush()  # keep earlier output out of the group
        self._write(self._job.begin_group(" ".join(title.split())))
        self._group = group

    def _write(self, text: str) -> None:
        if text:
            self._err.write(text)
            self._err.flush()

    def _job_says(self, problems: list[str]) -> None:
        for problem in problems:
            self._line(problem, mark="warning: ", style="bold yellow")

    def _result_text(self, text: str) -> str:
        """Return text as it may be written to standard output. A CI system reads it, unless it goes to a file."""
        text = printable(text)
        return text if self._job is None or _is_file(self._out) else self._job.guard(text)

    def _result_console(self) -> Console:
        from pio_tf.cli.live import terminal_size

        console = make_console(self._out, self._environ)
        if console.is_terminal:
            console.width, _ = terminal_size(console)
        return console

    def _table(self, table: Table) -> None:
        from rich.table import Table as RichTable

        console = self._result_console()
        if console.is_terminal and not table.wraps:
            table = table.narrowed(console.width)
        drawn = RichTable(*table.columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        wraps = table.wraps and console.is_terminal
        for column in drawn.columns:
            column.no_wrap = not (wraps and column is drawn.columns[-1])
        for row in table.rows:
            drawn.add_row(*map(printable, row))
        if not wraps:
            # A cell that is cut to fit is of no use: the table takes its width, and a narrow terminal wraps it.
            wide = console.options.update(max_width=10_000)
            console.width = max(console.width, console.measure(drawn, options=wide).maximum)
        with self._delivering():
            with console.capture() as captured:
                console.print(drawn, soft_wrap=False)
            self._out.write(self._result_text(captured.get()))

    @contextlib.contextmanager
    def _delivering(self) -> Iterator[None]:
        """Write a result. The work is done: if it can't be written, that is a warning, and the exit code stands."""
        try:
            yield
            self._out.flush()
        except OSError as error:
            discard(self._out)
            if error.errno not in _READER_GONE:
                with contextlib.suppress(OSError):
                    self._line(f"could not write the result: {error.strerror}", mark="warning: ", style="bold yellow")


def make_console(file: IO[str], environ: Mapping[str, str] = os.environ) -> Console:
    """Return a console that never breaks a line.

    It has colours on a terminal outside CI, and with FORCE_COLOR; never with NO_COLOR. Either counts if it is not
    empty, whatever its value.
    """
    from rich.console import Console

    from pio_tf.cli.ci_output import in_ci

    class PatientConsole(Console):
        """rich would end the program where nothing reads its output: amid a stop, machines would keep running."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    plain = bool(environ.get("NO_COLOR")) or (in_ci(environ) and not environ.get("FORCE_COLOR"))
    return PatientConsole(
        file=file,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        color_system=None if plain else "auto",
        force_terminal=False if plain and in_ci(environ) else None,
    )


def discard(*streams: IO[str]) -> None:
    """Send streams to /dev/null, so that writing to them is no error."""
    for stream in streams:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def discard_unread(*streams: IO[str]) -> list[IO[str]]:
    """Discard streams that have no reader (``pio-tf train | head -1``), and return them."""
    unread = []
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):  # no file descriptor behind it
            poll = select.poll()
            poll.register(stream.fileno(), 0)  # errors and hang-ups are reported always
            if poll.poll(0):
                unread.append(stream)
    discard(*unread)
    return unread


def _matters(event: Event) -> bool:
    """Return whether an event is shown with ``--quiet``."""
    return isinstance(event, Warned) or (isinstance(event, Checked) and event.status in ("warning", "failed"))


def _log_to(output: Output) -> None:
    """Show the calls to AWS, by name only: their parameters may hold secrets."""

    class Calls(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg.startswith("Making request for") and isinstance(record.args, tuple):
                operation: Any = record.args[0]
                output.say(f"AWS: {operation.service_model.service_name} {operation.name}")

    logger = logging.getLogger("botocore.endpoint")
    logger.setLevel(logging.DEBUG)
    logger.handlers = [Calls()]


def _one_terminal(out: IO[str], err: IO[str]) -> bool:
    """Return whether both are the same terminal, where a line of one would be written over a line of the other."""
    try:
        return out.isatty() and err.isatty() and os.fstat(out.fileno()).st_rdev == os.fstat(err.fileno()).st_rdev
    except (OSError, ValueError):  # no file behind it
        return False


def _is_file(stream: IO[str]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # no file descriptor behind it
        return False


def _json_text(data: object, *, indent: int | None = 2) -> str:
    # "##[" would be a command for the runner of GitHub Actions, anywhere in a line. It can only stand in a
    # string, where this means the same.
    return json_module.dumps(data, indent=indent, default=str).replace("##[", "#\\u0023[") + "\n"
