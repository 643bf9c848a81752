"""IAM's answer to a request, for policies that only allow: every resource of a request must be allowed by a statement.

What it knows of conditions is what pio-tf's policies use; anything else is an error, not a yes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Resource:
    """What a request touches; ``*``: the action knows of no resources."""

    arn: str
    context: Mapping[str, str] = field(default_factory=dict)
    """Condition keys that are this resource's: its tags, and what is asked for it."""


@dataclass(frozen=True)
class Request:
    """One action."""

    action: str
    resources: tuple[Resource, ...]
    context: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.action} on {', '.join(one.arn for one in self.resources)}"


def used(policy: Mapping[str, Any], request: Request) -> set[tuple[str, str]] | None:
    """Sid and action of the statements that allow it; None: it is not allowed."""
    found: set[tuple[str, str]] = set()
    for resource in request.resources:
        context = {**request.context, **resource.context}
        sids = {one["Sid"] for one in policy["Statement"] if _allows(one, request.action, resource.arn, context)}
        if not sids:
            return None
        found |= {(sid, request.action) for sid in sids}
    return found


def _allows(statement: Mapping[str, Any], action: str, arn: str, context: Mapping[str, str]) -> bool:
    assert statement["Effect"] == "Allow"
    return (
        action in statement["Action"]
        and any(_matches(arn, pattern) for pattern in statement["Resource"])
        and all(
            _holds(operator, context.get(key), value)
            for operator, keys in statement.get("Condition", {}).items()
            for key, value in keys.items()
        )
    )


def _holds(operator: str, found: str | None, wanted: str | list[str]) -> bool:
    values = [wanted] if isinstance(wanted, str) else wanted
    if operator == "Null":
        return (found is None) == (values == ["true"])
    if operator == "StringEquals":
        return found in values
    assert operator == "StringLike", operator
    return found is not None and any(_matches(found, value) for value in values)


def _matches(text: str, pattern: str) -> bool:
    assert "[" not in pattern, "fnmatch would take it for a set"
    return fnmatchcase(text, pattern)
