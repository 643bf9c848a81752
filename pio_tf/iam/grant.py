"""One statement of a policy, with who makes the calls and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.iam.scope import Conditions

Maker: TypeAlias = Literal["terraform", "pio-tf"]


@dataclass(frozen=True)
class Grant:
    """Some calls on some resources.

    Args:
        sid: letters and digits, unique in a policy.
        why: what they are for, in one sentence.
        resources: ARNs.
        terraform: actions that Terraform makes: its AWS provider, or its backend for the state.
        newer: of these, the ones that only later versions of the provider make (4 to 6).
        pio_tf: actions that pio-tf itself makes.
        conditions: all of them must hold.
    """

    sid: str
    why: str
    resources: tuple[str, ...]
    terraform: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    pio_tf: tuple[str, ...] = ()
    conditions: Conditions = field(default_factory=dict)

    @property
    def makers(self) -> Mapping[str, tuple[Maker, ...]]:
        """Who makes each call, by action."""
        ours, theirs = set(self.pio_tf), {*self.terraform, *self.newer}
        return {
            action: (*(("terraform",) if action in theirs else ()), *(("pio-tf",) if action in ours else ()))
            for action in sorted(ours | theirs)
        }

    @property
    def statement(self) -> dict[str, Any]:
        """As a policy document has it."""
        statement: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.makers),
            "Resource": list(self.resources),
        }
        if self.conditions:
            statement["Condition"] = {
                operator: {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
                for operator, keys in self.conditions.items()
            }
        return statement
