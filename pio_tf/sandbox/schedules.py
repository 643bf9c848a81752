"""EventBridge schedules that run when they are due. moto only stores schedules, and checks no permissions.

This module supports the schedules of pio-tf: deadlines, which are ``at(…)`` in UTC and may be removed after completion,
and the schedules of trainings, which are ``cron(…)`` in a time zone. It ignores others. A start that EC2 refuses is
retried, as on AWS, though every few seconds and not less and less often. A stop is not, because the sandbox's EC2 has
no temporary failures of stops.

A call that the role's policy would not permit on AWS must not happen here either, so this module reads the role's
documents. An unknown operator or condition key permits nothing, and a Deny that may apply denies.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, scheduler_backends
from moto.utilities.utils import get_partition

from pio_tf.config.recurring_time import find_zone, parse_recurring_time
from pio_tf.errors import SandboxError
from pio_tf.sandbox.event_rules import as_list, tell_stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

logger = logging.getLogger("pio_tf.sandbox")

_TARGET: Final = ":scheduler:::aws-sdk:ec2:"
_SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"
_RETRY_SECONDS: Final = 5

_create, _update = EventBridgeSchedulerBackend.create_schedule, EventBridgeSchedulerBackend.update_schedule
SERVICE = "scheduler.amazonaws.com"


@dataclass(frozen=True)
class _Call:
    """A call that a schedule makes.

    Args:
        scheduled: the time of the schedule that has come.
        at: when it is made.
    """

    account: str
    region: str
    schedule: str
    target: Mapping[str, Any]
    scheduled: datetime
    at: datetime

    @property
    def action(self) -> str:
        """Its name in EC2's API, such as ``stopInstances``."""
        return str(self.target["Arn"]).rpartition(":")[2]

    @property
    def gives_up_at(self) -> datetime:
        """When it is not retried any more."""
        age = self.target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 0)
        return self.scheduled + timedelta(seconds=age if self.action == "startInstances" else 0)


@dataclass
class Firing:
    """The schedules of one local AWS, as time passes. A caller must hold the lock of EC2's requests."""

    _looked: dict[str, datetime] = field(default_factory=dict)
    """When each recurring schedule was last looked at, by its ARN."""
    _calls: list[_Call] = field(default_factory=list)
    """The calls to be made."""

    def fire_due(self, now: datetime) -> int:
        """Run every schedule that is due, and return their number."""
        due = [*self._one_time(now), *self._recurring(now)]
        self._calls += due
        ready = [one for one in self._calls if one.at <= now]
        self._calls = [one for one in self._calls if one.at > now]
        for call in ready:
            if not _make(call) and now < call.gives_up_at:
                self._calls.append(replace(call, at=now + timedelta(seconds=_RETRY_SECONDS)))
        return len(due)

    def fire_training(self, cluster: str, now: datetime) -> None:
        """Let the next training of a cluster's schedule come now, with the time between its calls left out.

        The stop comes so long after it as on AWS.

        Raises:
            SandboxError: the cluster has no schedule, or a paused one.
        """
        active = {one[3].name: one for one in _schedules() if one[3].state == "ENABLED"}
        try:
            parts = [active[f"pio-tf-{cluster}.{what}"] for what in ("mark", "start", "stop")]
        except KeyError:
            raise SandboxError(f"{cluster} has no active schedule of trainings") from None
        marked = _next(parts[0], now)
        lasts = _next(parts[2], marked) - marked
        for one, after in zip(parts, (timedelta(0), timedelta(0), lasts), strict=True):
            account, region, _, schedule = one
            self._calls.append(_Call(account, region, schedule.name, dict(schedule.target), now, now + after))
        self.fire_due(now)

    def _one_time(self, now: datetime) -> Iterator[_Call]:
        for account, region, group, schedule in list(_schedules()):
            at = _moment(schedule)
            if at is None or at > now or schedule.state != "ENABLED":
                continue
            if schedule.action_after_completion == "DELETE":
                group.schedules.pop(schedule.name, None)
            else:
                schedule.state = "DISABLED"  # a one-time schedule fires once
            yield _Call(account, region, schedule.name, dict(schedule.target), at, now)

    def _recurring(self, now: datetime) -> Iterator[_Call]:
        for account, region, _, schedule in _schedules():
            if not schedule.schedule_expression.startswith("cron") or _TARGET not in schedule.target["Arn"]:
                continue
            before = self._looked.get(schedule.arn, now)
            self._looked[schedule.arn] = now
            try:
                time = parse_recurring_time(schedule.schedule_expression)
                at = time.last_until(now, find_zone(schedule.schedule_expression_timezone))
            except ValueError as error:
                logger.warning("schedule %s: %s", schedule.name, error)
                continue
            if at is not None and before < at and schedule.state == "ENABLED":
                yield _Call(account, region, schedule.name, dict(schedule.target), at, now)


def _schedules() -> Iterator[tuple[str, str, Any, Any]]:
    for account, regions in list(scheduler_backends.items()):
        for region, backend in list(regions.items()):
            for group in list(backend.schedule_groups.values()):
                for schedule in list(group.schedules.values()):
                    yield account, region, group, schedule


def _moment(schedule: Any) -> datetime | None:  # noqa: ANN401 - moto's
    """Return the time of a deadline; None if this module does not support the schedule."""
    is_stop = str(schedule.target.get("Arn", "")).endswith(f"{_TARGET}stopInstances")
    if not is_stop or schedule.schedule_expression_timezone != "UTC":
        return None
    try:
        return datetime.strptime(f"{schedule.schedule_expression}Z", "at(%Y-%m-%dT%H:%M:%S)%z")
    except ValueError:
        return None


def _next(found: tuple[str, str, Any, Any], moment: datetime) -> datetime:
    expression, zone = found[3].schedule_expression, found[3].schedule_expression_timezone
    return next(parse_recurring_time(expression).after(moment, find_zone(zone)))


def _make(call: _Call) -> bool:
    """Make a call. Return False if EC2 refuses it."""
    text = call.target["Input"].replace(_SCHEDULED_TIME, f"{call.scheduled:%Y-%m-%dT%H:%M:%SZ}")
    arguments, role = json.loads(text), call.target["RoleArn"]
    ids: Sequence[str] = arguments.get("InstanceIds") or arguments.get("Resources") or []
    tags = {tag["Key"]: tag["Value"] for tag in arguments.get("Tags", [])}
    backend = ec2_backends[call.account][call.region]
    action = f"ec2:{call.action[0].upper()}{call.action[1:]}"

    def tell(states: Mapping[str, str], *, error: str = "") -> None:
        if action == "ec2:StopInstances":
            tell_stop(call.account, call.region, role=role, states=states, error=error)

    for instance_id in ids:
        own = dict(backend.tags.get(instance_id, {}))
        if not may_act(role, action, instance_id, tags=own, new_tags=tags, account=call.account, region=call.region):
            what = "stopped" if action == "ec2:StopInstances" else "done"
            logger.warning(
                "schedule %s: %s may not %s %s: nothing is %s", call.schedule, role, action, instance_id, what
            )
            tell(dict.fromkeys(ids, ""), error="Client.UnauthorizedOperation")
            return True
    before = {one.id: one.state for one in backend.all_instances() if one.id in ids}
    try:
        if action == "ec2:StopInstances":
            backend.stop_instances(ids)
        elif action == "ec2:StartInstances":
            backend.start_instances(ids)
        elif action == "ec2:CreateTags":
            backend.create_tags(ids, tags)
    except EC2ClientError as error:  # one instance that cannot be stopped fails the whole call, as on AWS
        logger.warning("schedule %s: %s", call.schedule, error)
        tell(dict.fromkeys(ids, ""), error=f"Client.{error.code}")
        return False
    logger.info("schedule %s: %s %s", call.schedule, action, ", ".join(ids))
    tell(before)
    return True


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
        SERVICE in as_list(statement.get("Principal", {}).get("Service")) and _holds(statement, context)
        for statement in _statements(role.assume_role_policy_document)
        if _names(statement, "sts:AssumeRole")
    )


def may_act(
    role_arn: str,
    action: str,
    instance_id: str,
    *,
    tags: Mapping[str, str],
    account: str,
    region: str,
    new_tags: Mapping[str, str] | None = None,
) -> bool:
    """Return whether Scheduler may call an action of EC2 on this instance with the role.

    Args:
        tags: the instance's.
        new_tags: those that the call sets.
    """
    role = _role(role_arn, account=account, region=region)
    if role is None or not may_assume(role_arn, account=account, region=region):
        return False
    arn = f"arn:{get_partition(region)}:ec2:{region}:{account}:instance/{instance_id}"
    context: dict[str, str | list[str]] = {
        f"{kind}:ResourceTag/{key}": value for key, value in tags.items() for kind in ("aws", "ec2")
    }
    context["aws:TagKeys"] = list(new_tags or ())
    allowed = False
    documents = [*role.policies.values(), *(policy.document for policy in role.managed_policies.values())]
    for statement in (one for document in documents for one in _statements(document)):
        if not _names(statement, action):
            continue
        if statement.get("Effect") != "Allow":
            return False
        on_it = any(fnmatchcase(arn, pattern) for pattern in as_list(statement.get("Resource")))
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
    yield from as_list(document.get("Statement"))


def _names(statement: dict[str, Any], action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in as_list(statement.get("Action")))


def _holds(statement: dict[str, Any], context: Mapping[str, str | list[str]]) -> bool:
    return all(
        _matches(operator, context.get(key), as_list(wanted))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _matches(operator: str, found: str | list[str] | None, wanted: list[Any]) -> bool:
    if operator == "StringEquals":
        return found in wanted
    if operator == "StringLike":
        return isinstance(found, str) and any(fnmatchcase(found, pattern) for pattern in wanted)
    return operator == "ForAllValues:StringEquals" and isinstance(found, list) and set(found) <= set(wanted)
