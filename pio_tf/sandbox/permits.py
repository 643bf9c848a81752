"""The part of IAM that a deadline depends on: may EventBridge Scheduler stop an instance with a role?

moto's server checks no permissions. A deadline that the role's policy would not permit on AWS must not stop machines
here either, so this module reads the role's documents. An unknown operator or condition key permits nothing, and a Deny
that may apply denies.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = "scheduler.amazonaws.com"


def may_assume(role_arn: str, *, account: str, region: str) -> bool:
    """Return whether Scheduler may assume the role for a schedule of this account."""
    role = _role(role_arn, account=account, region=region)
    if role is None:
        return False
    context = {"aws:SourceAccount": account}
    return any(
        SERVICE in _list(statement.get("Principal", {}).get("Service")) and _holds(statement, context)
        for statement in _statements(role.assume_role_policy_document)
        if _names(statement, "sts:AssumeRole")
    )


def may_stop(role_arn: str, instance_id: str, *, tags: Mapping[str, str], account: str, region: str) -> bool:
    """Return whether Scheduler may stop this instance with the role."""
    role = _role(role_arn, account=account, region=region)
    if role is None or not may_assume(role_arn, account=account, region=region):
        return False
    arn = f"arn:{get_partition(region)}:ec2:{region}:{account}:instance/{instance_id}"
    context = {f"{kind}:ResourceTag/{key}": value for key, value in tags.items() for kind in ("aws", "ec2")}
    allowed = False
    documents = [*role.policies.values(), *(policy.document for policy in role.managed_policies.values())]
    for statement in (one for document in documents for one in _statements(document)):
        if not _names(statement, "ec2:StopInstances"):
            continue
        if statement.get("Effect") != "Allow":
            return False
        on_it = any(fnmatchcase(arn, pattern) for pattern in _list(statement.get("Resource")))
        allowed = allowed or (on_it and _holds(statement, context))
    return allowed


def _role(arn: str, *, account: str, region: str) -> Any:  # noqa: ANN401 - moto's
    try:
        return iam_backends[account][get_partition(region)].get_role_by_arn(arn)
    except NotFoundException:
        return None


def _statements(document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - moto has them as text, some encoded
    parsed = document if isinstance(document, dict) else json.loads(_plain(document))
    yield from _list(parsed.get("Statement"))


def _plain(document: str) -> str:
    return unquote(document) if document.startswith("%7B") else document


def _names(statement: dict[str, Any], action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in _list(statement.get("Action")))


def _holds(statement: dict[str, Any], context: Mapping[str, str]) -> bool:
    return all(
        operator == "StringEquals" and context.get(key) in _list(wanted)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON has one value or a list
    return [] if value is None else value if isinstance(value, list) else [value]
