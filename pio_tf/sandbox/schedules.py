"""EventBridge schedules that run when they are due. moto only stores schedules.

This module supports the schedules of pio-tf: ``at(…)`` in UTC, the target ``ec2:stopInstances``, removal after
completion. It ignores others. It refuses a call for which AWS would lack permission: see
:mod:`pio_tf.sandbox.permits`. It never retries, because the sandbox's EC2 has no temporary failures.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, scheduler_backends

from pio_tf.sandbox.permits import may_assume, may_stop

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("pio_tf.sandbox")

_STOP = ":scheduler:::aws-sdk:ec2:stopInstances"


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


_create, _update = EventBridgeSchedulerBackend.create_schedule, EventBridgeSchedulerBackend.update_schedule


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
