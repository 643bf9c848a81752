"""Whether a training ended with a model: PIO's exit status alone does not tell.

`pio train` exits with 0 after ``Training interrupted by …`` and ``WorkflowConfig is empty. Quitting``, too. A success
is exit status 0 *and* the line ``Training completed successfully.``
"""

from __future__ import annotations

import re
from collections import deque

from pio_tf.errors import TrainingFailed

LAST_LINES = 20
"""Lines that are kept for the result."""

_SUCCESS = re.compile(r"Training completed successfully\.\s*$")
_SIGNS = (
    (re.compile(r"Training interrupted by .*"), "the engine stopped it on purpose (--stop-after-read, -prepare, …)"),
    (re.compile(r"WorkflowConfig is empty.*"), "pio was not given an engine to train"),
    (re.compile(r"bin/pio: (No such file or directory|Permission denied)"), "there is no PredictionIO at pio.home"),
    (re.compile(r"cd: .*: (No such file or directory|Permission denied)"), "there is no engine at pio.engine_dir"),
    (re.compile(r"java\.lang\.OutOfMemoryError.*"), "a heap was too small"),
    (re.compile(r"All masters are unresponsive.*"), "the Spark driver could not talk to the master"),
)
_CAUSED_BY = re.compile(r"^\s*Caused by: (.+)")
_EXCEPTION = re.compile(r'^(?:Exception in thread "[^"]*" )((?:\w+\.)+\w*(?:Exception|Error)\b.*)')
_ERROR = re.compile(r"^\[?ERROR\]?:? (.+)")
_ABORTING = re.compile(r"(.*Aborting(?: workflow)?\..*)")
NO_RESOURCES = "Initial job has not accepted any resources"


class TrainingLog:
    """Follows the lines of a training (already without secrets) and keeps what the verdict needs, not the lines."""

    def __init__(self) -> None:
        self.success = False
        self.no_resources = False
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._sign: tuple[str, str] | None = None
        self._quotes: dict[re.Pattern[str], str] = {}

    def add(self, line: str) -> None:
        """Take the next line."""
        self.last_lines.append(line)
        if _SUCCESS.search(line):
            self.success = True
        if NO_RESOURCES in line:
            self.no_resources = True
        if self._sign is None:
            for pattern, meaning in _SIGNS:
                if match := pattern.search(line):
                    self._sign = (match[0].strip(), meaning)
                    break
        for pattern in (_CAUSED_BY, _EXCEPTION, _ERROR, _ABORTING):
            if pattern not in self._quotes and (match := pattern.search(line)):
                self._quotes[pattern] = match[1].strip()

    def failure(self, exit_status: int) -> TrainingFailed | None:
        """The error, or None for a success."""
        if exit_status == 0 and self.success:
            return None
        if exit_status == 0:
            what = "pio train ended without a model: it exited with 0, but never said that training completed"
        elif self.success:
            what = f"pio train said that training completed, but exited with {exit_status}"
        else:
            what = f"pio train failed with exit status {exit_status}"
        return TrainingFailed(
            what,
            cause=self._cause(),
            next_step=self._next_step(exit_status),
            details={"exit_status": exit_status, "success_line_seen": self.success, "last_lines": [*self.last_lines]},
        )

    def _cause(self) -> str:
        if self._sign:
            quote, meaning = self._sign
            return f"{meaning}: {quote}"
        for pattern in (_CAUSED_BY, _EXCEPTION, _ERROR, _ABORTING):
            if pattern in self._quotes:
                return self._quotes[pattern]
        said = next((line.strip() for line in reversed(self.last_lines) if line.strip()), "")
        return f"the last line was: {said}" if said else "it printed nothing"

    def _next_step(self, exit_status: int) -> str:
        meaning = self._sign[1] if self._sign else ""
        if "heap" in meaning:
            return "give more with driver.memory or spark.executor_memory, on larger instance types if need be"
        if "pio.home" in meaning or "pio.engine_dir" in meaning:
            return "install it on the driver (its disk stays), or correct pio-tf.hcl; `pio-tf up` starts the machines"
        if exit_status in (137, 143):
            return "something killed it: look for the OOM killer in dmesg on the driver, or try a smaller driver.memory"
        if self.no_resources:
            return "no worker had the executor's memory free, or none can reach the driver: check the security group"
        return "read the output from its first ERROR on; `pio-tf train --keep-up` leaves the machines to look around"
