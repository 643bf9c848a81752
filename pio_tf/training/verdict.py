"""The verdict on a training: whether it left a model, and if not, why.

PIO's exit status alone is no verdict: `pio train` also exits with 0 after ``Training interrupted by …`` and
``WorkflowConfig is empty. Quitting``, and when it could not store the model. A success is exit status 0 *and* the line
``Training completed successfully.``, without an error of the model store.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pio_tf.errors import TrainingFailed
from pio_tf.remote.lines import split_lines
from pio_tf.training.failure_patterns import (
    CERTAIN,
    LIKELY,
    FailurePattern,
    PatternFinder,
    quote_line,
    services_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LAST_LINES = 20
"""Lines that the result keeps."""
NO_RESOURCES = "Initial job has not accepted any resources"
MODEL_NOT_STORED = "model-not-stored"

_MOST = 10
"""Quotes of one kind, of some hundred characters each: a log may be endless."""
_SEARCHED = 4096
"""Characters of a line that are searched: an expression may take long on a line of 64 KiB."""
_LEVELS = "TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL"
_SUCCESS = re.compile(r"Training completed successfully\.\s*$")
# PIO: "[ERROR] [Console$] text"; Spark by itself: "22/02/22 14:48:36 ERROR TaskSchedulerImpl: text"
_LOGGED = re.compile(rf"(?:\[?({_LEVELS})\]?:? |\d[\d/-]+[ T]\d[\d:,.]+ ({_LEVELS}) +)(.*)")
_EXCEPTION = re.compile(r'(Exception in thread "[^"]*" )?((?:\w+\.)*[\w$]*(?:Exception|Error)\b.*)')
# The second alternative is how Python names Java's exceptions: a PySpark engine prints it.
_CAUSED_BY = re.compile(r"(?:\s*Caused by: |: )((?:\w+\.)+[\w$]+.*)")
_FRAME = re.compile(r"\s+at [\w$.<>]+")
# If executor and worker end together, and Spark hears of the executor first, only the second alternative is logged:
# Spark has removed the executor, without a message, when it learns why (TaskSchedulerImpl.executorLost).
_LOST_EXECUTOR = re.compile(
    r"Lost (?:executor (\S+) on (\S+)|an executor (\S+) \(already removed\)): (?!.*killed by driver)(.*)"
)
_SIGNS = ("Training completed successfully.", NO_RESOURCES, "Lost executor ", "Lost an executor ", "Models")
"""One of these is in each line that decides whether a training is a success. Model stores are named `…Models`."""
_ABORTING = re.compile(r"Aborting(?: workflow)?\.")
_FROM_THE_FIRST_ERROR = "read the output from its first ERROR; `pio-tf train --keep-up` keeps the machines for a look"
_FROM_OUTSIDE = "find out why (AWS's events for the machine, its console, `last -x` and dmesg there), then train again"


@dataclass
class _Thrown:
    """An exception with its causes, the deepest last, and the services that its stack names."""

    chain: list[str]
    services: set[str] = field(default_factory=set)

    def add(self, line: str) -> None:
        if cause := _CAUSED_BY.match(line):
            del self.chain[_MOST - 1 :]
            self.chain.append(quote_line(cause[1]))
        self.services |= services_in(line)


class TrainingLog:
    """The log of a training, already without secrets, read in blocks: the facts that decide whether it is a success.

    A failure's cause needs much more of each line. It is searched for once the training has failed.

    Args:
        saved: returns the whole log again, in blocks.
    """

    def __init__(self, saved: Callable[[], Iterable[str]]) -> None:
        self.success = False
        self.no_resources = False
        self._saved = saved
        self._certain = PatternFinder(CERTAIN)
        self._unstored = False
        self._lost_executors: dict[str, str] = {}
        self._lost = 0

    def add(self, text: str) -> None:
        """Read the next lines, each with a newline at its end."""
        if not any(sign in text for sign in _SIGNS):
            return
        for line in split_lines(text):
            if any(sign in line for sign in _SIGNS):
                self._add_line(line[:_SEARCHED])

    def _add_line(self, line: str) -> None:
        if _SUCCESS.search(line):
            self.success = True
        if NO_RESOURCES in line:
            self.no_resources = True
        if (found := self._certain.find(line)) and found.name == MODEL_NOT_STORED:
            self._unstored = True
        # At its end an application loses all its executors, as it should.
        if not self.success and (lost := _LOST_EXECUTOR.search(line)):
            self._note_lost(*lost.groups())

    def _note_lost(self, executor: str | None, host: str | None, removed: str | None, why: str) -> None:
        """Note a lost executor: ``executor`` on ``host``, or one that is ``removed``, which may be noted already."""
        full = len(self._lost_executors) >= _MOST
        if removed and (full or any(name.split()[0] == removed for name in self._lost_executors)):
            return
        self._lost += 1
        if not full:
            self._lost_executors[removed or f"{executor} on {host}"] = quote_line(why, 120)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a success should not hide: executors that Spark lost."""
        if not self._lost:
            return ()
        named = "; ".join(f"{name}: {why}" for name, why in self._lost_executors.items())
        many = f"{self._lost} executors and repeated their" if self._lost > 1 else "1 executor and repeated its"
        return (f"Spark lost {many} work elsewhere ({named})",)

    def failure(self, exit_status: int | None, *, why: str = "") -> TrainingFailed | None:
        """Return the error; None for a success.

        Args:
            exit_status: None if unknown (the driver was restarted, its runner killed).
            why: the reason then, as half a sentence.
        """
        if exit_status == 0 and self.success and not self._unstored:
            return None
        if exit_status is None:
            what = "pio train was cut off" + (f": {why}" if why else "")
        elif exit_status == 0 and self.success:
            what = "pio train said that training completed, but it could not store the model"
        elif exit_status == 0:
            what = "pio train ended without a model: it exited with 0, but never said that training completed"
        elif self.success:
            what = f"pio train said that training completed, but exited with {exit_status}"
        else:
            what = f"pio train failed with exit status {exit_status}"
        diagnosis = _Diagnosis()
        for text in self._saved():
            for line in split_lines(text):
                diagnosis.add(line)
        pattern, cause, next_step = diagnosis.result(exit_status, no_resources=self.no_resources)
        return TrainingFailed(
            what,
            cause=cause,
            next_step=next_step,
            details={
                "exit_status": exit_status,
                "success_line_seen": self.success,
                "sign": pattern,
                "exceptions": diagnosis.exceptions,
                "errors": diagnosis.errors,
                "warnings": list(self.warnings),
                "last_lines": [*diagnosis.last_lines],
            },
        )


class _Diagnosis:
    """The search for the cause of a failure, line by line."""

    def __init__(self) -> None:
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.errors: list[str] = []
        self._certain, self._likely = PatternFinder(CERTAIN), PatternFinder(LIKELY)
        self._matches: dict[str, str] = {}
        self._level = ""
        self._fatal: _Thrown | None = None
        self._logged: _Thrown | None = None
        self._passing: _Thrown | None = None
        self._current: _Thrown | None = None
        self._aborting = ""

    @property
    def exceptions(self) -> list[str]:
        """The exception that ended the training, with its causes."""
        thrown = self._fatal or self._logged
        return list(thrown.chain) if thrown else []

    def add(self, line: str) -> None:
        """Read the next line."""
        self.last_lines.append(line)
        line = line[:_SEARCHED]
        self._follow_errors(line)
        found = self._certain.find(line)
        if found and found.name not in self._matches:
            in_a_stack = self._current is not None and _FRAME.match(line)
            self._matches[found.name] = self._current.chain[-1] if self._current and in_a_stack else quote_line(line)

    def result(self, exit_status: int | None, *, no_resources: bool) -> tuple[str, str, str]:
        """Return a name for the failure ("" without one), its cause, and the next step.

        They are of the first of these: a certain pattern, a likely one in the error that ended the training, that
        error's own words, the meaning of its exit status, the last line.
        """
        for certain in CERTAIN:
            if certain.name in self._matches:
                cause = f"{certain.explain(set())}: {self._matches[certain.name]}"
                return certain.name, cause, certain.next_step
        quote = self._quote()
        if likely := self._likely_pattern():
            pattern, words, services = likely
            deepest = f"; {quote}" if quote and quote not in words else ""
            return pattern.name, f"{pattern.explain(services)}: {words}{deepest}", pattern.next_step
        last = next((quote_line(line) for line in reversed(self.last_lines) if line.strip()), "")
        cause = quote or (f"the last line was: {last}" if last else "no output")
        if exit_status in (137, 143):
            next_step = "a signal killed it: look for the OOM killer in dmesg on the driver, or lower driver.memory"
            return "killed", cause, next_step
        if no_resources:
            next_step = (
                "no worker has the executor's memory free, or none can reach the driver: check the security group"
            )
            return "no-resources", cause, next_step
        return "", cause, _FROM_THE_FIRST_ERROR if exit_status is not None else _FROM_OUTSIDE

    def _follow_errors(self, line: str) -> None:
        if logged := _LOGGED.match(line):
            self._level, self._current = logged[1] or logged[2], None
            if self._level in ("ERROR", "FATAL") and len(self.errors) < _MOST:
                self.errors.append(quote_line(logged[3]))
        elif thrown := _EXCEPTION.match(line):
            self._current = _Thrown([quote_line(thrown[2])], services_in(line))
            if thrown[1]:
                self._fatal = self._fatal or self._current
            elif self._level in ("", "ERROR", "FATAL"):
                self._logged = self._logged or self._current
            else:  # below a warning: Spark usually retries it
                self._passing = self._passing or self._current
        elif line.startswith("Traceback "):  # no line of the log comes before Python's
            self._level = ""
        elif self._current:
            self._current.add(line)
        if not self._aborting and _ABORTING.search(line):
            self._aborting = quote_line(line)

    def _quote(self) -> str:
        """Return the first cause, in the log's words; empty if it names none."""
        if thrown := self._fatal or self._logged:
            return thrown.chain[-1]
        if self.errors:
            return self.errors[0]
        return self._passing.chain[-1] if self._passing else self._aborting

    def _likely_pattern(self) -> tuple[FailurePattern, str, set[str]] | None:
        """Return the pattern, the line that matches it, and the services that its error names."""
        thrown = self._fatal or self._logged
        lines = list(thrown.chain) if thrown else []
        services = set(thrown.services) if thrown else set()
        if self._fatal is None:
            lines += self.errors
            services = services.union(*(services_in(line) for line in self.errors))
        found = {one.name: (one, line, services) for line in reversed(lines) if (one := self._likely.find(line))}
        return next((found[one.name] for one in LIKELY if one.name in found), None)
