"""CI jobs: how pio-tf knows them, and what their logs understand.

Nothing is live and nothing is asked in a CI job. Lines of a training that go to standard output stay as they are.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf import ci_job
from pio_tf.cli import github

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pio_tf.cli.results.base import CommandResult
    from pio_tf.errors import PioTfError

_ROWS = 200
_CHARACTERS = 50_000
"""The most characters of an error in a summary. GitHub takes 1 MiB a step, and shows nothing of a longer summary."""


def in_github(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is a step of GitHub Actions, or of a compatible system."""
    return ci_job.is_true(environ, "GITHUB_ACTIONS")


def in_ci(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is a CI job."""
    return ci_job.in_ci(environ)


def can_ask(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a person can answer a question: at a terminal, and outside CI."""
    return not in_ci(environ) and sys.stdin is not None and sys.stdin.isatty()


def _now() -> datetime:
    return datetime.now(timezone.utc)


class JobLog:
    """The log of a CI job that pio-tf knows nothing about: each line has its time, in UTC, and that is all."""

    has_groups = False

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock

    def stamp(self, text: str) -> str:
        """Return the lines with their time."""
        at = f"{self._clock():%Y-%m-%dT%H:%M:%SZ}"
        return "\n".join(f"{at} {line}" for line in text.split("\n"))

    def begin_group(self, title: str) -> str:
        """Return the line that begins a group of lines."""
        raise NotImplementedError

    def end_group(self) -> str:
        """Return the line that ends the group."""
        raise NotImplementedError

    def guard(self, text: str) -> str:
        """Return the lines such that none of them is a command to the CI system."""
        return text

    def warning(self, _message: str) -> str:
        """Return the line of an annotation; empty: there are none."""
        return ""

    def error(self, _error: PioTfError) -> str:
        """Return annotations for a command that has failed."""
        return ""

    def result(self, _result: CommandResult) -> list[str]:
        """Hand the result on to the job's summary and its next steps. Return the problems with that."""
        return []

    def error_summary(self, _error: PioTfError) -> list[str]:
        """Hand the error on to the job's summary and its next steps. Return the problems with that."""
        return []


class GitLabLog(JobLog):
    """A job of GitLab CI: sections. Their marks have to end with the sequence that erases a line."""

    has_groups = True

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(clock)
        self._numbers = itertools.count(1)
        self._section = ""

    def begin_group(self, title: str) -> str:
        self._section = f"pio_tf_{os.getpid()}_{next(self._numbers)}"
        return self._mark("section_start", title)

    def end_group(self) -> str:
        return self._mark("section_end", "")

    def _mark(self, kind: str, title: str) -> str:
        return f"\x1b[0K{kind}:{int(self._clock().timestamp())}:{self._section}\r\x1b[0K{title}\n"


class GitHubLog(JobLog):
    """A step of GitHub Actions: groups, annotations, a summary and outputs.

    Args:
        environ: names the files of the summary and of the outputs.
        command: the name of the command.
    """

    has_groups = True

    def __init__(self, environ: Mapping[str, str], command: str, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(clock)
        self._environ = environ
        self._command = command

    def begin_group(self, title: str) -> str:
        return github.command("group", title)

    def end_group(self) -> str:
        return github.command("endgroup")

    def guard(self, text: str) -> str:
        return github.guard(text)

    def warning(self, message: str) -> str:
        return github.command("warning", message)

    def error(self, error: PioTfError) -> str:
        """Return an annotation for each line of pio-tf.hcl that the error names; if it names none, one."""
        title = f"{self._command} failed (exit code {error.exit_code})"
        places = github.places(error, self._environ)
        if not places:
            return github.command("error", str(error), title=title)
        return "".join(
            github.command("error", place.message, file=place.file, line=place.line, title=title) for place in places
        )

    def result(self, result: CommandResult) -> list[str]:
        return self._append(result_summary(self._command, result), result.outputs())

    def error_summary(self, error: PioTfError) -> list[str]:
        known = {"error": error.what, **({"run": error.details["run"]} if "run" in error.details else {})}
        return self._append(error_summary(self._command, error), known)

    def _append(self, summary: str, outputs: Mapping[str, object]) -> list[str]:
        entries = "".join(github.output_entry(*item) for item in outputs.items())
        problems = (
            github.append("GITHUB_STEP_SUMMARY", summary, self._environ),
            github.append("GITHUB_OUTPUT", entries, self._environ),
        )
        return [problem for problem in problems if problem]


def job_log(environ: Mapping[str, str], command: str) -> JobLog | None:
    """Return the log of this CI job; None outside CI."""
    if in_github(environ):
        return GitHubLog(environ, command)
    if ci_job.is_true(environ, "GITLAB_CI"):
        return GitLabLog()
    return JobLog() if in_ci(environ) else None


def result_summary(command: str, result: CommandResult) -> str:
    """Return a result as Markdown: heading, table and closing line; empty if there is neither of the last two."""
    if markdown := result.markdown():
        return f"{markdown.rstrip()}\n\n"
    table, closing = result.table(), result.closing()
    if not (table.rows or closing):
        return ""
    parts = [f"### {_escape(command)}"]
    if table.rows:
        lines = [table.columns, ["---"] * len(table.columns), *table.rows[:_ROWS]]
        parts.append("\n".join(_row(line) for line in lines))
    if len(table.rows) > _ROWS:
        parts.append(f"… and {len(table.rows) - _ROWS} more")
    if closing:
        parts.append(_escape(closing))
    return "\n\n".join(parts) + "\n\n"


def error_summary(command: str, error: PioTfError) -> str:
    """Return an error as Markdown: heading, what failed, cause, next step."""
    text = str(error)
    if len(text) > _CHARACTERS:
        text = text[:_CHARACTERS] + " …"
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall(r"`{3,}", text))])
    return f"### {_escape(command)} failed (exit code {error.exit_code})\n\n{fence}text\n{text}\n{fence}\n\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join('<br>'.join(_escape(cell).splitlines()) for cell in cells)} |"


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)
