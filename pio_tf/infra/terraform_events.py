"""The events of ``terraform plan -json`` and ``apply -json``, passed on to a reporter."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pio_tf.events import ResourceProgress, Step, Warned
from pio_tf.infra.terraform_errors import Diagnostic
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


class EventReader:
    """A reader of Terraform's lines, which collects its diagnostics and its last lines that are no events."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.diagnostics: list[Diagnostic] = []
        self.other_lines: deque[str] = deque(maxlen=40)

    def read(self, line: str) -> None:
        """Read one line of Terraform's output."""
        try:
            event = _parse(parse_json(line))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            if line.strip():
                self.other_lines.append(line)
            return
        if isinstance(event, Diagnostic):
            if event in self.diagnostics:  # an apply repeats its plan's warnings, once for each resource
                return
            self.diagnostics.append(event)
            if event.severity == "warning":
                self._reporter(Warned(str(event)))
        elif event is not None:
            self._reporter(event)


def _parse(event: Mapping[str, Any]) -> Diagnostic | ResourceProgress | Step | None:
    """Return what a line reports; None for an event that users need not see. Any error means that it is no event."""
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
