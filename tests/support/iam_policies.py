"""IAM's answer to a request, after AWS's documented rules: a denial counts first, then every policy must allow it.

A small simulator, because there is none to take: moto evaluates neither resources nor conditions, and the libraries on
PyPI that do are not maintained. It knows the condition operators that pio-tf's policies use; any other is an error, not
a yes. tests/iam/test_simulator.py holds it against AWS's documentation
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Policy: TypeAlias = Mapping[str, Any]
    Context: TypeAlias = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Resource:
    """The resource of a request; ``*``: the action knows of no resources."""

    arn: str
    context: Context = field(default_factory=dict)
    """Condition keys that are this resource's: its tags, and what is asked for it. Several values: as a tuple."""


@dataclass(frozen=True)
class Request:
    """One action."""

    action: str
    resources: tuple[Resource, ...]
    context: Context = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.action} on {', '.join(one.arn for one in self.resources)}"


def used(policy: Policy, request: Request) -> set[tuple[str, str]] | None:
    """Return sid and action of the statements that allow a request; None if it is not allowed.

    Each resource of a request must be allowed by some statement, and none may be denied.
    """
    found: set[tuple[str, str]] = set()
    for resource in request.resources:
        context = {**request.context, **resource.context}
        fitting = [one for one in policy["Statement"] if _fits(one, request.action, resource.arn, context)]
        if not fitting or any(one["Effect"] == "Deny" for one in fitting):
            return None
        found |= {(one["Sid"], request.action) for one in fitting}
    return found


def allowed(request: Request, *policies: Policy) -> bool:
    """Return whether all policies allow a request: an identity's own, and the permissions boundary that it may have."""
    return all(used(policy, request) is not None for policy in policies)


def _fits(statement: Mapping[str, Any], action: str, arn: str, context: Context) -> bool:
    assert statement["Effect"] in ("Allow", "Deny")
    # Actions know no case.
    return (
        any(_matches(action.lower(), pattern.lower()) for pattern in _values(statement["Action"]))
        and any(_matches(arn, pattern) for pattern in _values(statement["Resource"]))
        and all(
            holds(operator, context.get(key), value)
            for operator, keys in statement.get("Condition", {}).items()
            for key, value in keys.items()
        )
    )


def holds(operator: str, found: str | Sequence[str] | None, wanted: str | Sequence[str]) -> bool:
    """Return whether a condition holds.

    Args:
        found: the key's value, or its values; None: the request has no such key.
    """
    values = _values(wanted)
    if operator == "Null":
        return (found is None) == (values == ["true"])
    if operator.startswith("ForAllValues:"):
        return found is None or all(_compare(operator.partition(":")[2], one, values) for one in _values(found))
    if operator.startswith("ForAnyValue:"):
        return found is not None and any(_compare(operator.partition(":")[2], one, values) for one in _values(found))
    if found is not None:
        assert isinstance(found, str), f"{operator} is not for a key with several values"
        return _compare(operator.removesuffix("IfExists"), found, values)
    return operator.endswith("IfExists") or operator.startswith(("StringNot", "ArnNot"))


def _compare(operator: str, found: str, wanted: Sequence[str]) -> bool:
    """Return whether one value fits any of those that the policy names; a negated operator: none of them."""
    negated = operator.replace("Not", "", 1)
    if negated != operator:
        return not _compare(negated, found, wanted)
    test: Callable[[str, str], bool] = {
        "StringEquals": str.__eq__,
        "StringLike": _matches,
        "Bool": lambda one, other: one.lower() == other.lower(),
        "ArnEquals": _matches_arn,
        "ArnLike": _matches_arn,
    }[operator]
    return any(test(found, one) for one in wanted)


def _matches_arn(found: str, pattern: str) -> bool:
    """Return whether an ARN fits: each of its six parts for itself."""
    parts, patterns = found.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(patterns) == 6 and all(map(_matches, parts, patterns))


def _matches(text: str, pattern: str) -> bool:
    assert "[" not in pattern, "fnmatch would take it for a set"
    return fnmatchcase(text, pattern)


def _values(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
