"""Scheduler's other half: what fires when, and what the role permits."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import InstanceBackend

from pio_tf.config.recurring_time import parse_recurring_time
from pio_tf.errors import SandboxError
from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.machines.training_schedule import ClusterSchedule, TrainingSchedule
from pio_tf.model import SCHEDULED_TAG
from pio_tf.sandbox.aws import LocalAws
from pio_tf.sandbox.ec2_models import incorrect_state
from tests.support.instances import run_machine
from tests.support.places import let_events_publish, make_topic
from tests.support.roles import client, make_role

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-west-1"


class Day:
    """The time of day, which a test sets. Later than any day on which this runs, as AWS would want it."""

    def __init__(self) -> None:
        self.now = datetime(2126, 1, 1, 12, 0, tzinfo=timezone.utc)


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
        {"Condition": {"StringEqualsIgnoreCase": {"ec2:ResourceTag/pio-tf:cluster": "not-condition"}}},
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


SCHEDULE_POLICY = [
    {
        "Effect": "Allow",
        "Action": "ec2:CreateTags",
        "Resource": "*",
        "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": [SCHEDULED_TAG]}},
    },
    {
        "Effect": "Allow",
        "Action": ["ec2:StartInstances", "ec2:StopInstances"],
        "Resource": "*",
        "Condition": {"StringLike": {f"ec2:ResourceTag/{SCHEDULED_TAG}": "?*"}},
    },
]


@dataclass
class Weekly:
    """A stopped machine, and a schedule of it that starts it on Sundays at three in Berlin."""

    aws: LocalAws
    day: Day
    cluster: str
    ids: list[str]
    wanted: ClusterSchedule

    @property
    def schedule(self) -> TrainingSchedule:
        return TrainingSchedule(client("scheduler", self.aws.url, REGION), cluster=self.cluster)

    def put(self, **changes: Any) -> None:  # noqa: ANN401 - as dataclasses.replace has it
        self.wanted = replace(self.wanted, **changes)
        self.schedule.put(self.wanted, max_runtime=3600)
        self.aws.fire_schedules()  # a look at it before it is due

    @property
    def at(self) -> datetime:
        return next(self.wanted.time.after(self.day.now, self.wanted.zone))

    def come(self, moment: datetime) -> None:
        self.day.now = moment
        self.aws.fire_schedules()

    @property
    def states(self) -> set[str]:
        return {state(self.aws, one) for one in self.ids}

    @property
    def marks(self) -> set[str]:
        return {one.tags.get(SCHEDULED_TAG, "") for one in self.aws.instances() if one.instance_id in self.ids}


@pytest.fixture
def weekly(aws: LocalAws, day: Day, request: pytest.FixtureRequest) -> Iterator[Weekly]:
    cluster = f"weekly-{abs(hash(request.node.name)) % 10**8}"
    ids = [machine(aws, cluster), machine(aws, cluster)]
    client("ec2", aws.url, REGION).stop_instances(InstanceIds=ids)
    role = make_role(aws.url, REGION, cluster=cluster, statements=SCHEDULE_POLICY)
    time, zone = parse_recurring_time("cron(0 3 ? * SUN *)"), ZoneInfo("Europe/Berlin")
    one = Weekly(aws, day, cluster, ids, ClusterSchedule(time, zone, "abc", frozenset(ids), role))
    one.put()
    yield one
    one.schedule.remove()


def test_a_recurring_schedule_marks_starts_and_stops_at_its_times_each_week(weekly: Weekly) -> None:
    for _ in range(2):
        at = weekly.at
        assert f"{at.astimezone(weekly.wanted.zone):%a %H:%M}" == "Sun 03:00"
        weekly.come(at - timedelta(seconds=1))
        before = weekly.marks
        weekly.come(at)
        assert weekly.marks == {f"abc {at:%Y-%m-%dT%H:%M:%SZ}"} != before
        assert weekly.states == {"stopped"}
        weekly.come(at + timedelta(minutes=2))
        assert weekly.states == {"running"}
        weekly.come(at + timedelta(minutes=62))
        assert weekly.states == {"stopped"}


def test_a_paused_schedule_neither_marks_nor_starts(weekly: Weekly) -> None:
    at = weekly.at
    weekly.put(paused=True)
    weekly.come(at)
    weekly.come(at + timedelta(minutes=2))
    assert (weekly.marks, weekly.states) == ({""}, {"stopped"})


def test_machines_without_the_mark_are_neither_started_nor_stopped(weekly: Weekly) -> None:
    at, ec2 = weekly.at, client("ec2", weekly.aws.url, REGION)
    weekly.come(at)
    ec2.delete_tags(Resources=weekly.ids, Tags=[{"Key": SCHEDULED_TAG}])
    weekly.come(at + timedelta(minutes=2))
    assert weekly.states == {"stopped"}
    ec2.start_instances(InstanceIds=weekly.ids)
    weekly.come(at + timedelta(minutes=62))
    assert weekly.states == {"running"}


@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        (
            "start_instances",
            EC2ClientError("InsufficientInstanceCapacity", "We currently do not have sufficient capacity"),
        ),
        ("start_instances", incorrect_state("The instance is stopping")),
    ],
    ids=["no-capacity", "stopping"],
)
def test_a_start_that_ec2_refuses_is_retried_for_an_hour(
    weekly: Weekly, monkeypatch: pytest.MonkeyPatch, call: str, refusal: Exception
) -> None:
    def refuse(*_arguments: object) -> None:
        raise refusal

    at = weekly.at
    with monkeypatch.context() as lacking:
        lacking.setattr(InstanceBackend, call, refuse)
        weekly.come(at)
        weekly.come(at + timedelta(minutes=2))
        weekly.come(at + timedelta(minutes=32))
    assert weekly.states == {"stopped"}
    weekly.come(at + timedelta(minutes=33))
    assert weekly.states == {"running"}


def test_a_start_is_given_up_after_an_hour(weekly: Weekly, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise EC2ClientError("InsufficientInstanceCapacity", "We currently do not have sufficient capacity")

    at = weekly.at
    with monkeypatch.context() as lacking:
        lacking.setattr(InstanceBackend, "start_instances", refuse)
        weekly.come(at)
        weekly.come(at + timedelta(minutes=2))
        weekly.come(at + timedelta(minutes=63))
    weekly.come(at + timedelta(minutes=64))
    assert weekly.states == {"stopped"}


def test_a_training_can_come_now_and_stops_so_long_after_as_always(weekly: Weekly) -> None:
    now = weekly.day.now
    weekly.aws.fire_training(weekly.cluster)
    assert weekly.marks == {f"abc {now:%Y-%m-%dT%H:%M:%SZ}"}
    assert weekly.states == {"running"}
    weekly.come(now + timedelta(minutes=61))
    assert weekly.states == {"running"}
    weekly.come(now + timedelta(minutes=62))
    assert weekly.states == {"stopped"}


def test_no_training_comes_of_a_paused_schedule_or_of_none(weekly: Weekly) -> None:
    weekly.put(paused=True)
    for cluster in (weekly.cluster, "none"):
        with pytest.raises(SandboxError, match=f"{cluster} has no active schedule"):
            weekly.aws.fire_training(cluster)


def _tell(aws: LocalAws, topic: str, role: str, text: str, driver: str, **answer: object) -> None:
    """Make a rule for the role's StopInstances calls for the driver that were answered so."""
    detail = {
        "userIdentity": {"sessionContext": {"sessionIssuer": {"arn": [role]}}},
        "requestParameters": {"instancesSet": {"items": {"instanceId": [driver]}}},
        **answer,
    }
    events, name = client("events", aws.url, REGION), f"rule-{next(iter(answer))}"
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.ec2"], "detail": detail}))
    paths = {"machines": "$.detail.requestParameters.instancesSet.items[*].instanceId", "cause": "$.detail.errorCode"}
    target = {"Id": "topic", "Arn": topic, "InputTransformer": {"InputPathsMap": paths, "InputTemplate": text}}
    events.put_targets(Rule=name, Targets=[target])


def test_rules_tell_a_topic_of_machines_that_ran_and_of_a_stop_that_failed(aws: LocalAws, day: Day) -> None:
    sns = client("sns", aws.url, REGION)
    topic = make_topic(sns, client("sqs", aws.url, REGION))
    role = make_role(aws.url, REGION, cluster="told")
    ran = {"instancesSet": {"items": {"previousState": {"name": ["pending", "running"]}}}}
    driver, worker = machine(aws, "told"), machine(aws, "told")
    _tell(aws, topic.arn, role, '"stopped: <machines>"', driver, responseElements=ran)
    _tell(aws, topic.arn, role, '"no: <machines>: <cause>"', driver, errorCode=[{"anything-but": ["Throttled"]}])

    def told_after(*ids: str) -> list[str]:
        arm(aws, "told", list(ids), day.now + timedelta(hours=1), role)
        day.now += timedelta(hours=1)
        aws.fire_schedules()
        return topic.texts()

    assert told_after(driver, worker) == [], "the topic does not let EventBridge publish"
    let_events_publish(sns, topic)
    ec2 = client("ec2", aws.url, REGION)
    ec2.start_instances(InstanceIds=[driver, worker])
    assert told_after(driver, worker) == [f'"stopped: [{driver}]"'], "the driver's own schedule, not the worker's"
    assert told_after(driver, worker) == [], "all were stopped"
    ec2.start_instances(InstanceIds=[driver])
    ec2.modify_instance_attribute(InstanceId=driver, DisableApiStop={"Value": True})
    assert set(told_after(driver)) == {f'"no: [{driver}]: Client.OperationNotPermitted"'}
    ec2.modify_instance_attribute(InstanceId=driver, DisableApiStop={"Value": False})
    ec2.delete_tags(Resources=[driver], Tags=[{"Key": "pio-tf:cluster"}])
    both = ",".join(sorted([driver, worker]))
    refused = {f'"no: [{ids}]: Client.UnauthorizedOperation"' for ids in (both, driver)}
    assert set(told_after(driver, worker)) == refused
