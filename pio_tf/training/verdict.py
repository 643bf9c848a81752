"""Whether a training ended with a model, and why not: PIO's exit status alone does not tell.

`pio train` exits with 0 after ``Training interrupted by …`` and ``WorkflowConfig is empty. Quitting``, too, and when it
could not store the model. A success is exit status 0 *and* the line ``Training completed successfully.``, without an
error of the model store.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from pio_tf.errors import TrainingFailed
from pio_tf.training.failure_patterns import CERTAIN, LIKELY, FailurePattern, Finder, services_in, shown, told

LAST_LINES = 20
"""Lines that are kept for the result."""
NO_RESOURCES = "Initial job has not accepted any resources"
MODEL_NOT_STORED = "model-not-stored"

_MOST = 10
"""Quotes of one kind that are kept, of no more than some hundred characters each: a log may be endless."""
_LOOKED_AT = 4096
"""Characters of a line that are searched: an expression may take long on a line of 64 KiB."""
_LEVELS = "TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL"
_SUCCESS = re.compile(r"Training completed successfully\.\s*$")
# PIO: "[ERROR] [Console$] text"; Spark by itself: "22/02/22 14:48:36 ERROR TaskSchedulerImpl: text"
_LOGGED = re.compile(rf"(?:\[?({_LEVELS})\]?:? |\d[\d/-]+[ T]\d[\d:,.]+ ({_LEVELS}) +)(.*)")
_EXCEPTION = re.compile(r'(Exception in thread "[^"]*" )?((?:\w+\.)*[\w$]*(?:Exception|Error)\b.*)')
# The second is Python's way to name Java's: a PySpark engine has it.
_CAUSED_BY = re.compile(r"(?:\s*Caused by: |: )((?:\w+\.)+[\w$]+.*)")
_FRAME = re.compile(r"\s+at [\w$.<>]+")
# The second is all that is said where executor and worker end together, and Spark hears of the executor first: it has
# removed it, without a word, when it learns why (TaskSchedulerImpl.executorLost).
_LOST_EXECUTOR = re.compile(
    r"Lost (?:executor (\S+) on (\S+)|an executor (\S+) \(already removed\)): (?!.*killed by driver)(.*)"
)
_ABORTING = re.compile(r"Aborting(?: workflow)?\.")
_FROM_THE_FIRST_ERROR = (
    "read the output from its first ERROR on; `pio-tf train --keep-up` leaves the machines to look around"
)
_FROM_OUTSIDE = "find out why (AWS's events for the machine, its console, `last -x` and dmesg there), then train again"


@dataclass
class _Thrown:
    """An exception with its causes, the deepest last, and the services that its stack speaks of."""

    chain: list[str]
    services: set[str] = field(default_factory=set)

    def add(self, line: str) -> None:
        cause = _CAUSED_BY.match(line)
        if cause and len(self.chain) < _MOST:
            self.chain.append(shown(cause[1]))
        elif cause:
            self.chain[-1] = shown(cause[1])
        self.services |= services_in(line)


@dataclass(frozen=True)
class Diagnosis:
    """Why a training failed, as far as its log tells. ``sign`` is the name of one in the tables, or empty."""

    sign: str
    cause: str
    next_step: str


class TrainingLog:
    """Follows the lines of a training (already without secrets) and keeps what the verdict needs, not the lines."""

    def __init__(self) -> None:
        self.success = False
        self.no_resources = False
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._certain, self._likely = Finder(CERTAIN), Finder(LIKELY)
        self._signs: dict[str, str] = {}
        self._level = ""
        self._errors: list[str] = []
        self._fatal: _Thrown | None = None
        self._logged: _Thrown | None = None
        self._passing: _Thrown | None = None
        self._current: _Thrown | None = None
        self._aborting = ""
        self._lost_executors: dict[str, str] = {}
        self._lost = 0

    def add(self, line: str) -> None:
        """Take the next line."""
        self.last_lines.append(line)
        line = line[:_LOOKED_AT]
        if _SUCCESS.search(line):
            self.success = True
        if NO_RESOURCES in line:
            self.no_resources = True
        self._follow_errors(line)
        sign = self._certain.find(line)
        if sign and sign.name not in self._signs:
            in_a_stack = self._current is not None and _FRAME.match(line)
            self._signs[sign.name] = self._current.chain[-1] if self._current and in_a_stack else shown(line)
        # At its end an application loses all its executors, as it should.
        if not self.success and (lost := _LOST_EXECUTOR.search(line)):
            self._note_lost(*lost.groups())

    def _note_lost(self, executor: str | None, host: str | None, removed: str | None, why: str) -> None:
        """An executor, by its id, with its host or without; ``removed``: it may have been told before."""
        full = len(self._lost_executors) >= _MOST
        if removed and (full or any(who.split()[0] == removed for who in self._lost_executors)):
            return
        self._lost += 1
        if not full:
            self._lost_executors[removed or f"{executor} on {host}"] = shown(why, 120)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a success should not hide, each in a sentence: executors that were lost on the way."""
        if not self._lost:
            return ()
        named = "; ".join(f"{who}: {why}" for who, why in self._lost_executors.items())
        many = f"{self._lost} executors" if self._lost > 1 else "an executor"
        return (f"Spark lost {many} on the way, and did their work again elsewhere ({named})",)

    def failure(self, exit_status: int | None, *, why: str = "") -> TrainingFailed | None:
        """The error, or None for a success.

        Args:
            exit_status: None where nobody knows it (the driver was restarted, its runner killed).
            why: then the reason, as half a sentence.
        """
        unstored = MODEL_NOT_STORED in self._signs
        if exit_status == 0 and self.success and not unstored:
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
        diagnosis = self.diagnosis(exit_status)
        thrown = self._fatal or self._logged
        return TrainingFailed(
            what,
            cause=diagnosis.cause,
            next_step=diagnosis.next_step,
            details={
                "exit_status": exit_status,
                "success_line_seen": self.success,
                "sign": diagnosis.sign,
                "exceptions": list(thrown.chain) if thrown else [],
                "errors": list(self._errors),
                "warnings": list(self.warnings),
                "last_lines": [*self.last_lines],
            },
        )

    def diagnosis(self, exit_status: int | None) -> Diagnosis:
        """The first of these that there is: a certain sign, a likely one in the error that ended the training, that
        error's own words, what its exit status tells, the last line."""
        for sign in CERTAIN:
            if sign.name in self._signs:
                return Diagnosis(sign.name, f"{told(sign, set())}: {self._signs[sign.name]}", sign.next_step)
        quote = self._quote()
        if likely := self._likely_sign():
            sign, words, services = likely
            deepest = f"; {quote}" if quote and quote not in words else ""
            return Diagnosis(sign.name, f"{told(sign, services)}: {words}{deepest}", sign.next_step)
        said = next((shown(line) for line in reversed(self.last_lines) if line.strip()), "")
        last = f"the last line was: {said}" if said else "it printed nothing"
        if exit_status in (137, 143):
            next_step = "something killed it: look for the OOM killer in dmesg on the driver, or try a smaller "
            return Diagnosis("killed", quote or last, f"{next_step}driver.memory")
        if self.no_resources:
            next_step = "no worker had the executor's memory free, or none can reach the driver: check the security "
            return Diagnosis("no-resources", quote or last, f"{next_step}group")
        return Diagnosis("", quote or last, _FROM_THE_FIRST_ERROR if exit_status is not None else _FROM_OUTSIDE)

    def _follow_errors(self, line: str) -> None:
        if logged := _LOGGED.match(line):
            self._level, self._current = logged[1] or logged[2], None
            if self._level in ("ERROR", "FATAL") and len(self._errors) < _MOST:
                self._errors.append(shown(logged[3]))
        elif thrown := _EXCEPTION.match(line):
            self._current = _Thrown([shown(thrown[2])], services_in(line))
            if thrown[1]:
                self._fatal = self._fatal or self._current
            elif self._level in ("", "ERROR", "FATAL"):
                self._logged = self._logged or self._current
            else:  # below a warning: what is tried again, as a rule
                self._passing = self._passing or self._current
        elif line.startswith("Traceback "):  # Python's has no line in the log before it
            self._level = ""
        elif self._current:
            self._current.add(line)
        if not self._aborting and _ABORTING.search(line):
            self._aborting = shown(line)

    def _quote(self) -> str:
        """The first cause, in the log's words; empty where it names none."""
        if thrown := self._fatal or self._logged:
            return thrown.chain[-1]
        if self._errors:
            return self._errors[0]
        return self._passing.chain[-1] if self._passing else self._aborting

    def _likely_sign(self) -> tuple[FailurePattern, str, set[str]] | None:
        """The sign, the line that has it, and the services which that error speaks of."""
        thrown = self._fatal or self._logged
        lines = list(thrown.chain) if thrown else []
        services = set(thrown.services) if thrown else set()
        if self._fatal is None:
            lines += self._errors
            services = services.union(*(services_in(line) for line in self._errors))
        found = {sign.name: (sign, line, services) for line in reversed(lines) if (sign := self._likely.find(line))}
        return next((found[sign.name] for sign in LIKELY if sign.name in found), None)
