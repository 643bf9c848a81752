"""What stops the machines without a client: deadlines, the role that they stop with, and idle alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.aws.arns import deadline_role_arn
from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope

_SCHEDULER = "scheduler.amazonaws.com"
_LINKED = "role/aws-service-role/events.amazonaws.com/AWSServiceRoleForCloudWatchEvents"


def sets_deadlines(scope: Scope) -> Iterator[Grant]:
    """The cluster's one schedule, and the one role that it may be given."""
    role = deadline_role_arn(scope.config, account=scope.account)
    if role is None:
        return
    yield Grant(
        sid="Deadline",
        why="When AWS stops the machines: set before they are started, or as soon as they are made.",
        resources=(_schedule(scope),),
        pio_tf=("scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule"),
    )
    yield Grant(
        sid="GiveRoleToDeadline",
        why="The role that Scheduler stops them with, and to Scheduler alone.",
        resources=(role,),
        pio_tf=("iam:PassRole",),
        conditions={"StringEquals": {"iam:PassedToService": _SCHEDULER}},
    )


def removes_deadlines(scope: Scope) -> Iterator[Grant]:
    """Of a start that wants none, or once the machines are gone."""
    if deadline_role_arn(scope.config, account=scope.account) is not None:
        yield Grant(
            sid="RemoveDeadline",
            why="A deadline that nobody counts on, of machines that start without one or are gone.",
            resources=(_schedule(scope),),
            pio_tf=("scheduler:DeleteSchedule",),
        )


def reads_failsafe(scope: Scope) -> Iterator[Grant]:
    """What Terraform refreshes of the role and the alarms."""
    if (role := _own_role(scope)) is not None:
        yield Grant(
            sid="LookAtRole",
            why="The role for deadlines, as it is.",
            resources=(role,),
            terraform=("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"),
        )
    if scope.config.failsafe.idle_alarms:
        yield Grant(
            sid="LookAtAlarms",
            why="The idle alarms, as they are.",
            resources=_alarms(scope),
            terraform=("cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"),
        )


def makes_failsafe(scope: Scope) -> Iterator[Grant]:
    """The role and the alarms, made and changed."""
    if (role := _own_role(scope)) is not None:
        boundary = ("iam:PutRolePermissionsBoundary",) if scope.config.failsafe.permissions_boundary else ()
        yield Grant(
            sid="MakeRole",
            why="The role for deadlines, which may stop the cluster's machines and nothing else.",
            resources=(role,),
            terraform=("iam:CreateRole", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole", *boundary),
        )
    if scope.config.failsafe.idle_alarms:
        yield Grant(
            sid="MakeAlarms",
            why="The idle alarms.",
            resources=_alarms(scope),
            terraform=("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"),
        )
        yield Grant(
            sid="LinkAlarmsToEc2",
            why="The role that CloudWatch stops machines with: AWS makes it with an account's first such alarm.",
            resources=(_global(scope, _LINKED),),
            terraform=("iam:CreateServiceLinkedRole",),
            conditions={"StringEquals": {"iam:AWSServiceName": "events.amazonaws.com"}},
        )


def removes_failsafe(scope: Scope) -> Iterator[Grant]:
    """The role and the alarms, removed."""
    if (role := _own_role(scope)) is not None:
        yield Grant(
            sid="RemoveRole",
            why="The role for deadlines.",
            resources=(role,),
            terraform=("iam:DeleteRole", "iam:DeleteRolePolicy", "iam:ListInstanceProfilesForRole"),
        )
    if scope.config.failsafe.idle_alarms:
        why = "The idle alarms."
        yield Grant(sid="RemoveAlarms", why=why, resources=_alarms(scope), terraform=("cloudwatch:DeleteAlarms",))


def _own_role(scope: Scope) -> str | None:
    """The role that Terraform makes; None where it makes none."""
    named = scope.config.failsafe.role_arn is not None
    return None if named else deadline_role_arn(scope.config, account=scope.account)


def _schedule(scope: Scope) -> str:
    return scope.arn("scheduler", f"schedule/default/pio-tf-{scope.cluster}")


def _alarms(scope: Scope) -> tuple[str, ...]:
    return (scope.arn("cloudwatch", f"alarm:pio-tf/{scope.cluster}/*"),)


def _global(scope: Scope, resource: str) -> str:
    return f"arn:{scope.partition}:iam::{scope.account}:{resource}"
