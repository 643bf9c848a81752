"""EventBridge schedules that run when they are due. moto only stores schedules, and checks no permissions.

This module supports the schedules of pio-tf: ``at(…)`` in UTC, the target ``ec2:stopInstances``, removal after
completion. It ignores others. It never retries, because the sandbox's EC2 has no temporary failures.

A deadline that the role's policy would not permit on AWS must not stop machines here either, so this module reads the
role's documents. An unknown operator or condition key permits nothing, and a Deny that may apply denies.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, scheduler_backends
from moto.utilities.utils import get_partition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger("pio_tf.sandbox")

_STOP = ":scheduler:::aws-sdk:ec2:stopInstances"

_create, _update = EventBridgeSchedulerBackend.create_schedule, EventBridgeSchedulerBackend.update_schedule
SERVICE = "scheduler.amazonaws.com"


def fire_due(now: datetime) -> int:
    """Run every schedule that is due, and return their number. The caller must hold the lock of EC2's requests."""
    fired = 0
    for account, region, group, schedule in list(_schedules()):
        at = _moment(schedule)
        if at is None or at > now or schedule.state != "ENABLED":
            continue
        fired += 1
        if schedule.action_after_completion == "DELETE":
            group.schedules.pop(schedule.name, None)
        else:
            schedule.state = "DISABLED"  # a one-time schedule fires once
        _stop_instances(account, region, schedule)
    return fired


def _schedules() -> Iterator[tuple[str, str, Any, Any]]:
    for account, regions in list(scheduler_backends.items()):
        for region, backend in list(regions.items()):
            for group in list(backend.schedule_groups.values()):
                for schedule in list(group.schedules.values()):
                    yield account, region, group, schedule


def _moment(schedule: Any) -> datetime | None:  # noqa: ANN401 - moto's
    """Return the time of a schedule; None if this module does not support it."""
    if not str(schedule.target.get("Arn", "")).endswith(_STOP) or schedule.schedule_expression_timezone != "UTC":
        return None
    try:
        return datetime.strptime(f"{schedule.schedule_expression}Z", "at(%Y-%m-%dT%H:%M:%S)%z")
    except ValueError:
        return None


def _stop_instances(account: str, region: str, schedule: Any) -> None:  # noqa: ANN401 - moto's
    backend = ec2_backends[account][region]
    ids = json.loads(schedule.target["Input"])["InstanceIds"]
    role = schedule.target["RoleArn"]
    for instance_id in ids:
        tags = dict(backend.tags.get(instance_id, {}))
        if not may_stop(role, instance_id, tags=tags, account=account, region=region):
            logger.warning("schedule %s: %s may not stop %s: nothing is stopped", schedule.name, role, instance_id)
            return
    try:
        backend.stop_instances(ids)
    except EC2ClientError as error:  # one instance that cannot be stopped fails the whole call, as on AWS
        logger.warning("schedule %s: %s", schedule.name, error)
    else:
        logger.info("schedule %s stopped %s", schedule.name, ", ".join(ids))


def create_schedule(backend: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as moto's
    """Create a schedule as moto does, after AWS's check of the role."""
    _check_role(backend, kwargs["target"])
    return _create(backend, *args, **kwargs)


def update_schedule(backend: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as moto's
    """Update a schedule as moto does, after AWS's check of the role."""
    _check_role(backend, kwargs["target"])
    return _update(backend, *args, **kwargs)


def _check_role(backend: Any, target: dict[str, Any]) -> None:  # noqa: ANN401 - moto's
    if not may_assume(target["RoleArn"], account=backend.account_id, region=backend.region_name):
        raise ValidationException(
            message="The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        )


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
    if isinstance(document, str):
        document = json.loads(unquote(document) if document.startswith("%7B") else document)
    yield from _list(document.get("Statement"))


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
