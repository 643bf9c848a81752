"""Scheduler's other half: what fires when, and what the role permits."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.sandbox.aws import LocalAws
from tests.support.instances import run_machine
from tests.support.roles import client, make_role

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-west-1"


class Day:
    """The time of day, which a test sets. Later than any day on which this runs, as AWS would want it."""

    def __init__(self) -> None:
        self.now = datetime(2999, 1, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def day() -> Day:
    return Day()


@pytest.fixture(scope="module")
def aws(day: Day) -> Iterator[LocalAws]:
    with LocalAws(transition_seconds=0, now=lambda: day.now) as running:
        yield running


def machine(aws: LocalAws, cluster: str) -> str:
    return str(run_machine(client("ec2", aws.url, REGION), cluster=cluster, tags={})["InstanceId"])


def state(aws: LocalAws, instance_id: str) -> str:
    return next(one.state for one in aws.instances() if one.instance_id == instance_id)


def arm(aws: LocalAws, cluster: str, ids: list[str], at: datetime, role: str) -> Any:  # noqa: ANN401 - a client
    scheduler = client("scheduler", aws.url, REGION)
    DeadlineSchedule(scheduler, cluster=cluster).arm(ids, at, role_arn=role)
    return scheduler


def names(scheduler: Any) -> list[str]:  # noqa: ANN401 - a client
    return [one["Name"] for one in scheduler.list_schedules()["Schedules"]]


def test_machines_stop_at_the_deadline_and_not_before_and_the_schedule_is_gone(aws: LocalAws, day: Day) -> None:
    ids = [machine(aws, "due"), machine(aws, "due")]
    other = machine(aws, "due")
    at = day.now + timedelta(hours=1)
    scheduler = arm(aws, "due", ids, at, make_role(aws.url, REGION, cluster="due"))
    day.now = at - timedelta(seconds=1)
    aws.fire_schedules()
    assert [state(aws, one) for one in ids] == ["running", "running"]
    day.now = at
    aws.fire_schedules()
    assert [state(aws, one) for one in ids] == ["stopped", "stopped"]
    assert state(aws, other) == "running", "a machine that is not in it"
    assert "pio-tf-due" not in names(scheduler)


def test_a_machine_of_another_cluster_fails_the_whole_call_as_on_aws_and_only_its_own_schedule(
    aws: LocalAws, day: Day, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [machine(aws, "mine"), machine(aws, "yours")]
    arm(aws, "mine", ids, day.now + timedelta(hours=1), make_role(aws.url, REGION, cluster="mine"))
    day.now += timedelta(hours=1)
    aws.fire_schedules()
    failed = [record.getMessage() for record in caplog.records if "nothing is stopped" in record.getMessage()]
    assert [text.split(": ")[0] for text in failed] == ["schedule pio-tf-mine", f"schedule pio-tf-mine.{ids[1][-16:]}"]
    assert [state(aws, one) for one in ids] == ["stopped", "running"]


@pytest.mark.parametrize(
    "policy",
    [
        {"Action": "ec2:StartInstances"},
        {"Resource": "arn:aws:ec2:us-east-1:123456789012:instance/*"},
        {"Effect": "Deny"},
        {"Condition": {"StringLike": {"ec2:ResourceTag/pio-tf:cluster": "*"}}},
    ],
    ids=["action", "region", "deny", "condition"],
)
def test_what_the_role_does_not_permit_is_not_done(aws: LocalAws, day: Day, policy: dict[str, Any]) -> None:
    cluster = f"not-{next(iter(policy)).lower()}"
    one = machine(aws, cluster)
    role = make_role(aws.url, REGION, cluster=cluster, **policy)
    arm(aws, cluster, [one], day.now + timedelta(hours=1), role)
    day.now += timedelta(hours=1)
    aws.fire_schedules()
    assert state(aws, one) == "running"


@pytest.mark.parametrize(
    "trust",
    [
        {"Principal": {"Service": "ec2.amazonaws.com"}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}},
    ],
    ids=["service", "account"],
)
def test_a_role_that_scheduler_may_not_take_on_is_refused_at_once(
    aws: LocalAws, day: Day, trust: dict[str, Any]
) -> None:
    cluster = f"trust-{next(iter(trust)).lower()}"
    role = make_role(aws.url, REGION, cluster=cluster, trust=trust)
    scheduler = client("scheduler", aws.url, REGION)
    with pytest.raises(scheduler.exceptions.ValidationException, match="must allow AWS EventBridge Scheduler"):
        scheduler.create_schedule(
            Name="x",
            ScheduleExpression="at(2999-01-01T12:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances", "RoleArn": role, "Input": "{}"},
        )


def test_schedules_of_other_kinds_are_left_alone(aws: LocalAws, day: Day) -> None:
    role = make_role(aws.url, REGION, cluster="other")
    scheduler = client("scheduler", aws.url, REGION)
    for name, expression, target in (
        ("every-day", "rate(1 day)", "ec2:stopInstances"),
        ("start", "at(2000-01-01T00:00:00)", "ec2:startInstances"),
    ):
        scheduler.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": f"arn:aws:scheduler:::aws-sdk:{target}",
                "RoleArn": role,
                "Input": json.dumps({"InstanceIds": []}),
            },
        )
    assert aws.fire_schedules() == 0
    assert {"every-day", "start"} <= set(names(scheduler))


def test_schedules_fire_by_themselves(aws: LocalAws, day: Day) -> None:
    from tests.support.background import wait_until

    one = machine(aws, "alone")
    arm(aws, "alone", [one], day.now + timedelta(minutes=1), make_role(aws.url, REGION, cluster="alone"))
    day.now += timedelta(minutes=1)
    assert wait_until(lambda: state(aws, one) == "stopped")
