"""What is said about the work in a CI job: lines with their time, in groups where the job's log has them.

Nothing is live and nothing is asked there. The training's own lines, which go to standard output unless the result is
JSON, are left as they are: they may be piped, and have times of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, TextIO

from pio_tf.cli import github
from pio_tf.cli.summary import error_summary, result_summary
from pio_tf.cli.surroundings import in_github, in_gitlab
from pio_tf.cli.talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pio_tf.cli.output import Rows
    from pio_tf.errors import PioTfError
    from pio_tf.events import OutputLine


def ci_talk(err: TextIO, out: TextIO, environ: Mapping[str, str]) -> Talk:
    """The one for this CI."""
    if in_github(environ):
        return GitHubTalk(err, out, environ)
    return GitLabTalk(err, out) if in_gitlab(environ) else CiTalk(err, out)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class CiTalk(Talk):
    """Every line with its time, in UTC.

    Args:
        clock: gives the time.
    """

    def __init__(self, err: TextIO, out: TextIO, *, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(err, out)
        self._live = None
        self._clock = clock

    def say(self, text: str, *, style: str = "") -> None:
        """Say something; each of its lines has the time."""
        at = f"{self._clock():%Y-%m-%dT%H:%M:%SZ}"
        for line in text.split("\n"):
            super().say(f"{at} {line}", style=style)

    def output_line(self, line: OutputLine, *, is_talk: bool) -> None:
        """Terraform's lines are talk; a training's stay as they are."""
        if line.source == "terraform":
            self.say(line.text)
        else:
            super().output_line(line, is_talk=is_talk)


class GroupingTalk(CiTalk):
    """A group for each step, and one for the training's log. One group is open at a time."""

    def __init__(self, err: TextIO, out: TextIO, *, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(err, out, clock=clock)
        self._group = ""

    def begin_group(self, title: str) -> None:
        """Write what begins a group."""
        raise NotImplementedError

    def end_group(self) -> None:
        """Write what ends it."""
        raise NotImplementedError

    def step(self, message: str) -> None:
        """A step begins a group, which ends with the next or with whatever is no part of it."""
        self._open("step", message)

    def done(self, message: str) -> None:
        """Beside the training's log, not in it."""
        if self._group == "log":
            self.pause()
        self.say(message, style="green")

    def output_line(self, line: OutputLine, *, is_talk: bool) -> None:
        """A training's lines have a group of their own."""
        if line.source != "terraform" and self._group != "log":
            self._open("log", f"Log of {line.source}" if line.source else "Log")
        super().output_line(line, is_talk=is_talk)

    def pause(self) -> None:
        """What follows belongs to no group."""
        if self._group:
            self.end_group()
            self._group = ""
            self._console.file.flush()

    def end(self) -> None:
        """Nothing follows. Who reads this may be gone, which is no error of the work."""
        with contextlib.suppress(OSError):
            super().end()

    def _open(self, group: str, title: str) -> None:
        self.pause()
        self._out.flush()  # what was written before the group is not to come up in it
        self.begin_group(" ".join(title.split()))
        self._group = group
        self._console.file.flush()


class GitLabTalk(GroupingTalk):
    """Sections of GitLab's job logs. Their marks have to end with the sequence that erases a line."""

    def __init__(self, err: TextIO, out: TextIO, *, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(err, out, clock=clock)
        self._numbers = itertools.count(1)
        self._section = ""

    def begin_group(self, title: str) -> None:
        """``section_start:TIME:NAME``, and the title."""
        self._section = f"pio_tf_{os.getpid()}_{next(self._numbers)}"
        self._mark("section_start", title)

    def end_group(self) -> None:
        """``section_end:TIME:NAME``."""
        self._mark("section_end", "")

    def _mark(self, kind: str, title: str) -> None:
        at = int(self._clock().timestamp())
        self._console.file.write(f"\x1b[0K{kind}:{at}:{self._section}\r\x1b[0K{title}\n")


class GitHubTalk(GroupingTalk):
    """Groups, annotations, a summary and outputs for GitHub Actions.

    Args:
        environ: names the files of the summary and of the outputs.
        argv: the command line; default: this process's.
    """

    def __init__(
        self,
        err: TextIO,
        out: TextIO,
        environ: Mapping[str, str],
        *,
        argv: Sequence[str] | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        super().__init__(err, out, clock=clock)
        self._environ = environ
        self._command = command_name(sys.argv if argv is None else argv)
        self._out_is_file = _is_file(out)

    def begin_group(self, title: str) -> None:
        """``::group::``."""
        self._send("group", title)

    def end_group(self) -> None:
        """``::endgroup::``."""
        self._send("endgroup")

    def say(self, text: str, *, style: str = "") -> None:
        """Lines that quote somebody else's words may not be commands."""
        if github.guard(text) == text:
            super().say(text, style=style)
        else:
            at = f"{self._clock():%Y-%m-%dT%H:%M:%SZ}"
            self._console.file.write(github.guard("\n".join(f"{at} {line}" for line in text.split("\n"))) + "\n")

    def warned(self, message: str) -> None:
        """An annotation, which the log shows as a line."""
        self._send("warning", message)

    def output_line(self, line: OutputLine, *, is_talk: bool) -> None:
        """A training's lines are no commands, whatever they look like."""
        if line.source == "terraform":
            super().output_line(line, is_talk=is_talk)
            return
        text = github.guard(line.text) if is_talk else self.result_text(line.text)
        super().output_line(type(line)(text, line.source), is_talk=is_talk)

    def result_text(self, text: str) -> str:
        """Nor is a line of a result. A file is not read by the runner, and gets it as it is."""
        return text if self._out_is_file else github.guard(text)

    def result(self, rows: Rows) -> None:
        """Summary and outputs."""
        self._append("GITHUB_STEP_SUMMARY", result_summary(self._command, rows))
        self._append("GITHUB_OUTPUT", "".join(github.output_entry(*item) for item in rows.outputs.items()))

    def error(self, error: PioTfError) -> None:
        """The error's lines; an annotation for each line of pio-tf.hcl that it names, else one for all; the summary."""
        super().error(error)
        title = f"{self._command} failed (exit code {error.exit_code})"
        found = github.places(error, self._environ)
        for place in found:
            self._send("error", place.message, file=place.file, line=place.line, title=title)
        if not found:
            self._send("error", str(error), title=title)
        self._append("GITHUB_STEP_SUMMARY", error_summary(self._command, error))
        known = {"error": error.what, **({"run": error.details["run"]} if "run" in error.details else {})}
        self._append("GITHUB_OUTPUT", "".join(github.output_entry(*item) for item in known.items()))

    def _send(self, name: str, message: str = "", **properties: object) -> None:
        self._console.file.write(github.command(name, message, **properties) + "\n")
        self._console.file.flush()

    def _append(self, variable: str, text: str) -> None:
        if problem := github.append(variable, text, self._environ):
            self.say(f"warning: {problem}", style="yellow")


def command_name(argv: Sequence[str]) -> str:
    """``pio-tf plan``, ``pio-tf sandbox start``: the words of a command line that name the command."""
    from pio_tf.cli.app import app

    words = list(itertools.takewhile(lambda word: not word.startswith("-"), argv[1:]))
    length = 2 if words and words[0] in {group.name for group in app.registered_groups} else 1
    return " ".join(["pio-tf", *words[:length]])


def _is_file(stream: IO[str]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # no file descriptor behind it
        return False
