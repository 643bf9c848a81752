"""Reads the events of ``terraform plan -json`` and ``apply -json``, and tells a reporter of them."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pio_tf.events import ResourceProgress, Step, Warned
from pio_tf.infra.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.events import Reporter

_Status: TypeAlias = Literal["started", "running", "done", "failed"]
_STATUS: dict[str, _Status] = {
    "refresh_start": "started",
    "refresh_complete": "done",
    "apply_start": "started",
    "apply_progress": "running",
    "apply_complete": "done",
    "apply_errored": "failed",
}
_KEPT_LINES = 40


class EventReader:
    """Takes Terraform's lines one by one. Keeps its diagnostics and its last lines that are no events, nothing else."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.diagnostics: list[Diagnostic] = []
        self.other_lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def read(self, line: str) -> None:
        """One line of Terraform's output."""
        try:
            event = json.loads(line)
            kind = event["type"]
        except (ValueError, KeyError, TypeError):
            if line.strip():
                self.other_lines.append(line)
            return
        if kind == "diagnostic":
            self._diagnostic(Diagnostic.from_json(event.get("diagnostic") or {}))
        elif kind in _STATUS:
            self._progress(kind, event.get("hook") or {})
        elif kind in ("log", "state_lock_acquire") and "state lock" in str(event.get("@message", "")):
            self._reporter(Step(str(event["@message"])))

    def _diagnostic(self, diagnostic: Diagnostic) -> None:
        if diagnostic in self.diagnostics:  # a plan file's warnings come again with its apply, one for each resource
            return
        self.diagnostics.append(diagnostic)
        if diagnostic.severity == "warning":
            self._reporter(Warned(str(diagnostic)))

    def _progress(self, kind: str, hook: Mapping[str, Any]) -> None:
        self._reporter(
            ResourceProgress(
                address=str((hook.get("resource") or {}).get("addr", "")),
                action="refresh" if kind.startswith("refresh") else str(hook.get("action", "")),
                status=_STATUS[kind],
                elapsed_seconds=float(hook.get("elapsed_seconds") or 0),
            )
        )
