"""Reads the events of ``terraform plan -json`` and ``apply -json``, and tells a reporter of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pio_tf.events import ResourceProgress, Step, Warned
from pio_tf.infra.diagnostics import Diagnostic
from pio_tf.json_text import parse_json

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
            told = _told(parse_json(line))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            if line.strip():
                self.other_lines.append(line)
            return
        if isinstance(told, Diagnostic):
            self._diagnostic(told)
        elif told is not None:
            self._reporter(told)

    def _diagnostic(self, diagnostic: Diagnostic) -> None:
        if diagnostic in self.diagnostics:  # a plan file's warnings come again with its apply, one for each resource
            return
        self.diagnostics.append(diagnostic)
        if diagnostic.severity == "warning":
            self._reporter(Warned(str(diagnostic)))


def _told(event: Mapping[str, Any]) -> Diagnostic | ResourceProgress | Step | None:
    """What a line tells, None for what nobody needs to know. Raises, as Python does, for what is no event."""
    kind = event["type"]
    if kind == "diagnostic":
        return Diagnostic.from_json(event.get("diagnostic") or {})
    if kind in _STATUS:
        hook = event.get("hook") or {}
        return ResourceProgress(
            address=str((hook.get("resource") or {}).get("addr", "")),
            action="refresh" if kind.startswith("refresh") else str(hook.get("action", "")),
            status=_STATUS[kind],
            elapsed_seconds=float(hook.get("elapsed_seconds") or 0),
            id=str(hook.get("id_value") or "") if kind == "apply_complete" else "",
        )
    if kind in ("log", "state_lock_acquire") and "state lock" in str(event.get("@message", "")):
        return Step(str(event["@message"]))
    return None
