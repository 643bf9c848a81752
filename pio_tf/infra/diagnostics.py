"""Terraform's diagnostics: what it says went wrong, and what a user can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pio_tf.durations import duration
from pio_tf.errors import Locked, TerraformError
from pio_tf.infra.advice import next_step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Diagnostic:
    """One error or warning of Terraform's."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    file: str = ""
    line: int = 0

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Diagnostic:
        """From the object in ``-json`` output."""
        place = raw.get("range") or {}
        return cls(
            severity=str(raw.get("severity", "error")),
            summary=str(raw.get("summary", "")),
            detail=str(raw.get("detail", "")),
            address=str(raw.get("address", "")),
            file=str(place.get("filename", "")),
            line=int((place.get("start") or {}).get("line", 0)),
        )

    @property
    def text(self) -> str:
        """Summary and detail."""
        return "\n".join(part for part in (self.summary, self.detail) if part)

    def __str__(self) -> str:
        """``module.driver.aws_eip.this[0] (modules/driver/main.tf:32): summary: detail``, on one line."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{self.address} ({place})" if self.address and place else self.address or place
        said = ": ".join(" ".join(part.split()) for part in (self.summary, self.detail) if part)
        return f"{where}: {said}" if where else said


_HELD = "resource temporarily unavailable"
"""What the kernel says of a file that another process has locked."""
DESTROY_PREVENTED = "Instance cannot be destroyed"
"""Summary of Terraform's error for ``prevent_destroy``."""


def failure(
    doing: str,
    diagnostics: Sequence[Diagnostic],
    *,
    exit_code: int,
    directory: str,
    unfinished: bool = False,
    now: datetime | None = None,
    advise: Callable[[str], str | None] = next_step,
) -> TerraformError | Locked:
    """The error for a Terraform command that failed.

    Args:
        doing: the command in words: ``terraform apply``.
        diagnostics: what it said.
        exit_code: how it ended.
        directory: of the stack, for advice.
        unfinished: whether it was changing things: some may be done, and the next apply goes on from there.
        now: for the age of a lock.
        advise: the next step for an error's text, where it is a known one.
    """
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    for diagnostic in errors:
        if "releasing" in diagnostic.summary:
            continue  # its own lock, which it has named there, and could not give back
        if "state lock" in diagnostic.summary or "state lock" in diagnostic.detail[:200]:
            locked = _locked(diagnostic, now or datetime.now(timezone.utc), directory)
            if locked is not None:
                return locked
    # An interruption is told beside whatever it interrupted: the other errors are the news.
    telling = [diagnostic for diagnostic in errors if diagnostic.summary != "execution halted"] or errors
    steps = _next_steps(telling, advise)
    if not steps:
        command = doing.partition(" ")[2] or "plan"
        by_hand = "plan" if command in ("apply", "destroy") else command
        steps.append(f"mend what the cause names; Terraform tells more by hand: terraform -chdir={directory} {by_hand}")
    if unfinished:
        steps.append("then run it again: what was made so far is in the state, and the rest will follow")
    return TerraformError(
        f"{doing} failed" if telling else f"{doing} ended with exit code {exit_code}",
        cause="\n".join(dict.fromkeys(str(diagnostic) for diagnostic in telling)),
        next_step="; ".join(steps).replace("{directory}", directory),
        details={
            "exit_code": exit_code,
            "diagnostics": [
                {"summary": item.summary, "detail": item.detail, "address": item.address, "file": item.file}
                | ({"line": item.line} if item.line else {})
                for item in telling
            ],
        },
    )


def diagnostics_in_text(text: str) -> list[Diagnostic]:
    """From the plain output of a command that knows no ``-json`` (init): each ``Error:`` with what follows it."""
    found = []
    for part in re.split(r"^(?=(?:Error|Warning): )", _undecorated(text), flags=re.MULTILINE):
        match = re.match(r"(Error|Warning): ([^\n]*)\n?(.*)", part, flags=re.DOTALL)
        if match:
            place = re.search(r"^\s*on (\S+) line (\d+)", match[3], flags=re.MULTILINE)
            found.append(
                Diagnostic(
                    severity=match[1].lower(),
                    summary=match[2].strip(),
                    detail=match[3].strip(),
                    file=place[1] if place else "",
                    line=int(place[2]) if place else 0,
                )
            )
    return found


def _undecorated(text: str) -> str:
    """Without the colours and the frame that Terraform draws."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return re.sub(r"^[╷│╵] ?", "", text, flags=re.MULTILINE)


def _next_steps(errors: Sequence[Diagnostic], advise: Callable[[str], str | None]) -> list[str]:
    steps = (advise(diagnostic.text) for diagnostic in errors)
    return list(dict.fromkeys(step for step in steps if step is not None))


def _locked(diagnostic: Diagnostic, now: datetime, directory: str) -> Locked | None:
    """Terraform prints who holds the lock; None where it failed to lock for another reason."""
    fields = dict(
        re.findall(r"^\s*(ID|Path|Operation|Who|Version|Created|Info):[ \t]*(.*?)[ \t]*$", diagnostic.detail, re.M)
    )
    if "ID" not in fields:
        return _held_by_nobody_knows_whom() if _HELD in diagnostic.detail else None
    who, operation = fields.get("Who", "unknown"), fields.get("Operation", "").removeprefix("OperationType").lower()
    created = fields.get("Created", "")
    age = _age(created, now)
    return Locked(
        "somebody else is working on this cluster: Terraform's state is locked",
        cause=f"{operation or 'a run'} by {who}, since {created or 'unknown'}{f' ({age} ago)' if age else ''}, "
        f"lock {fields['ID']}",
        next_step="wait until it is done. If that run is dead for certain: "
        f"`terraform -chdir={directory} force-unlock {fields['ID']}`",
        details={"id": fields["ID"], "who": who, "operation": operation, "created": created},
    )


def _held_by_nobody_knows_whom() -> Locked:
    """A local state is locked, but the file beside it that says by whom was removed."""
    return Locked(
        "somebody else is working on this cluster: Terraform's state is locked",
        cause="a process of this computer holds the lock; by whom was in .terraform.tfstate.lock.info, which is gone",
        next_step="wait until it is done: `ps aux | grep -i terraform` shows it. The lock ends with the process",
        details={"id": ""},
    )


def _age(created: str, now: datetime) -> str:
    match = re.match(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)", created)
    if not match:
        return ""
    then = datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    return duration((now - then).total_seconds())
