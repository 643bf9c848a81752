"""What breaks a rule, and the refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pio_tf.errors import GuardRefused
from pio_tf.infra.guard import Removal, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.infra.policy.rules import Rule


@dataclass(frozen=True)
class Finding:
    """One thing in a plan that breaks a rule."""

    rule: Rule
    address: str
    """Terraform's, of the resource; empty where it is not about one."""
    message: str
    file: str
    """pio-tf.hcl, from the working directory where it is below that."""
    line: int | None
    """Of what in that file is closest to the cause, counted from 1; None where it says nothing of it."""
    waived: str
    """The reason of its waiver; empty where there is none."""
    removal: Removal | None = field(default=None, repr=False)
    """Where the rule is one against removals."""

    @property
    def place(self) -> str:
        """``pio-tf.hcl:12``."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rule": self.rule.id,
            "name": self.rule.name,
            "severity": self.rule.severity,
            "address": self.address,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "waived": self.waived or None,
        }


def refuse(findings: Sequence[Finding]) -> None:
    """Let a plan pass only if it breaks no rule, or none that is not waived.

    Raises:
        GuardRefused: it names each finding, and what to do.
    """
    refused = [finding for finding in findings if not finding.waived]
    if not refused:
        return
    removals = [finding.removal for finding in refused if finding.removal]
    others = [finding for finding in refused if not finding.removal]
    error = refusal(removals) if removals else None
    details: dict[str, object] = {**(error.details if error else {}), "findings": [one.data for one in refused]}
    if error and not others:
        raise GuardRefused(error.what, cause=error.cause, next_step=error.next_step, details=details)
    rules = sorted({finding.rule.id: finding.rule for finding in others}.values(), key=lambda rule: rule.id)
    breaks = f"break {', '.join(f'{rule.id} {rule.name}' for rule in rules)}"
    what = error.what.replace(": refused,", f" and {breaks}: refused,") if error else ""
    raise GuardRefused(
        what or f"the plan would {breaks}: refused, nothing was changed",
        cause="\n".join([*([error.cause] if error else []), *(f"{one.place}: {one.message}" for one in others)]),
        next_step="; ".join(
            [*([error.next_step] if error else []), *(rule.what_to_do for rule in rules), _waive(rules[0].id)]
        ),
        details=details,
    )


def _waive(rule_id: str) -> str:
    return f'or, where it is meant to be so, say why in pio-tf.hcl: guard {{ waive "{rule_id}" {{ reason = "…" }} }}'
