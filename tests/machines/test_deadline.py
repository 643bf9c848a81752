"""The deadline's schedule, on the local AWS; and what AWS may answer that the local one never does."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest
from botocore.stub import Stubber

from pio_tf.aws.session import Aws
from pio_tf.errors import AwsError
from pio_tf.machines.deadline_schedule import (
    LOOK_EVERY,
    DeadlineSchedule,
    DeadlineUpdater,
    ScheduledDeadline,
    whole_minute,
)
from tests.machines.conftest import REGION
from tests.support.background import wait_until
from tests.support.roles import make_role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.awsrequest import AWSPreparedRequest

    from pio_tf.events import Event
    from pio_tf.sandbox.aws import LocalAws
    from tests.machines.conftest import MakeConfig

Client: TypeAlias = Any
"""Of botocore."""
Stubbed: TypeAlias = tuple[Client, Stubber]
Json: TypeAlias = Any
NOON = datetime(2999, 1, 1, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/pio-tf/pio-tf-x-eu-west-1"
NO_ROLE = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."


class Time:
    """Seconds that pass while a client sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def scheduler(local_config: MakeConfig) -> Client:
    return Aws(local_config()).client("scheduler")


def schedule(scheduler: Client, cluster: str, *, passing: Time | None = None) -> DeadlineSchedule:
    passing = passing or Time()
    return DeadlineSchedule(scheduler, cluster=cluster, clock=lambda: passing.now, sleep=passing.sleep)


@pytest.fixture
def stubbed(make_config: MakeConfig) -> Iterator[Stubbed]:
    client = Aws(make_config()).client("scheduler")
    with Stubber(client) as stub:
        yield client, stub


def kept(**changes: Json) -> dict[str, Any]:
    """Return GetSchedule's answer about a deadline at noon for one machine."""
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances",
        "RoleArn": ROLE,
        "Input": json.dumps({"InstanceIds": ["i-1"]}),
        "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185},
        **changes.pop("Target", {}),
    }
    return {
        "Name": "pio-tf-x",
        "GroupName": "default",
        "Description": "Stops the machines of pio-tf's cluster x",
        "ScheduleExpression": "at(2999-01-01T12:00:00)",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "ActionAfterCompletion": "DELETE",
        "Target": target,
        **changes,
    }


def test_one_schedule_stops_all_these_machines_once_and_then_removes_itself(
    scheduler: Client, local_aws: LocalAws
) -> None:
    role = make_role(local_aws.url, REGION, cluster="once")
    armed = schedule(scheduler, "once").arm(["i-2", "i-1"], NOON, role_arn=role)
    assert (armed.at, set(armed.ids)) == (NOON, {"i-1", "i-2"})
    found = scheduler.get_schedule(Name="pio-tf-once")
    assert found["ScheduleExpression"] == "at(2999-01-01T12:00:00)"
    assert (found["State"], found["ScheduleExpressionTimezone"]) == ("ENABLED", "UTC")
    assert found["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert found["ActionAfterCompletion"] == "DELETE"
    assert found["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"
    assert json.loads(found["Target"]["Input"]) == {"InstanceIds": ["i-1", "i-2"]}
    assert found["Target"]["RoleArn"] == role


def test_each_machine_has_a_schedule_of_its_own_which_stays_after_it_has_fired(
    scheduler: Client, local_aws: LocalAws
) -> None:
    ids = ["i-00000000000000001", "i-00000000000000002"]
    one = schedule(scheduler, "own")
    armed = one.arm(ids, NOON, role_arn=make_role(local_aws.url, REGION, cluster="own"))

    def own() -> list[tuple[str, str, list[str]]]:
        found = [scheduler.get_schedule(Name=f"pio-tf-own.{instance_id[-16:]}") for instance_id in ids]
        return [
            (
                each["ScheduleExpression"],
                each["ActionAfterCompletion"],
                json.loads(each["Target"]["Input"])["InstanceIds"],
            )
            for each in found
        ]

    assert own() == [("at(2999-01-01T12:00:00)", "NONE", [instance_id]) for instance_id in ids]
    assert one.release(armed, NOON - HOUR)
    assert own() == [("at(2999-01-01T11:00:00)", "NONE", [instance_id]) for instance_id in ids]
    assert one.remove(ids)
    assert not scheduler.list_schedules(NamePrefix="pio-tf-own")["Schedules"]


def test_no_schedule_of_a_destroyed_cluster_is_left_not_even_of_machines_that_were_terminated_before(
    scheduler: Client, local_aws: LocalAws
) -> None:
    role = make_role(local_aws.url, REGION, cluster="gone")
    schedule(scheduler, "gone-b").arm(["i-1", "i-2"], NOON, role_arn=role)
    one = schedule(scheduler, "gone")
    one.arm(["i-00000000000000001", "i-00000000000000002"], NOON, role_arn=role)
    one.arm(["i-00000000000000001", "i-00000000000000003"], NOON, role_arn=role)
    assert one.remove_all()
    assert not one.remove_all()
    left = scheduler.list_schedules(NamePrefix="pio-tf-gone")["Schedules"]
    assert {found["Name"] for found in left} == {"pio-tf-gone-b", "pio-tf-gone-b.i-1", "pio-tf-gone-b.i-2"}


def refuse_an_own_deadline(stub: Stubber, code: str) -> None:
    """Let AWS take the deadline of i-1 and i-2, but refuse the first machine's own."""
    two = {"Input": json.dumps({"InstanceIds": ["i-1", "i-2"]})}
    stub.add_response("get_schedule", kept(Target=two))
    stub.add_response("update_schedule", {"ScheduleArn": "arn"})
    stub.add_response("get_schedule", kept(Target=two))
    stub.add_client_error("update_schedule", code)


def test_a_machine_without_its_own_deadline_does_not_start(stubbed: Stubbed) -> None:
    client, stub = stubbed
    refuse_an_own_deadline(stub, "ServiceQuotaExceededException")
    with pytest.raises(AwsError, match="arming each machine's own deadline"):
        schedule(client, "x").arm(["i-1", "i-2"], NOON, role_arn=ROLE)


def updater(scheduler: Client, cluster: str, role: str, find: Callable[[], list[str]]) -> DeadlineUpdater:
    one = schedule(scheduler, cluster)
    return DeadlineUpdater(one, NOON, ids=["i-1"], find=find, role_arn=role, report=lambda _event: None)


def test_a_machine_that_terraform_creates_is_armed_before_terraform_reports_it(
    scheduler: Client, local_aws: LocalAws
) -> None:
    role = make_role(local_aws.url, REGION, cluster="new")
    with updater(scheduler, "new", role, lambda: ["i-1", "i-2"]) as arming:
        arming.expect()
        assert wait_until(lambda: (found := schedule(scheduler, "new").find()) is not None and "i-2" in found.ids)


def test_a_machine_that_ec2_does_not_show_is_armed_when_terraform_reports_it(
    scheduler: Client, local_aws: LocalAws
) -> None:
    looked: list[str] = []

    def find() -> list[str]:
        looked.append("looked")
        raise AwsError("throttled")

    role = make_role(local_aws.url, REGION, cluster="shown")
    with updater(scheduler, "shown", role, find) as arming:
        arming.expect()
        assert wait_until(lambda: bool(looked))
        arming.add("i-2")
        assert wait_until(lambda: schedule(scheduler, "shown").find() is not None)
    found = schedule(scheduler, "shown").find()
    assert found is not None
    assert found.ids == {"i-1", "i-2"}


def test_machines_that_ec2_shows_are_not_looked_for_again(scheduler: Client, local_aws: LocalAws) -> None:
    shown = ["i-1"]

    def find() -> list[str]:
        shown.append(f"i-{len(shown) + 1}")  # one more each time
        return shown

    role = make_role(local_aws.url, REGION, cluster="looked")
    with updater(scheduler, "looked", role, find) as arming:
        arming.expect()
        arming.expect()
        assert wait_until(lambda: (found := schedule(scheduler, "looked").find()) is not None and len(found.ids) == 3)
        time.sleep(LOOK_EVERY + 0.5)
    assert shown == ["i-1", "i-2", "i-3"]


def test_a_machine_that_joins_needs_no_schedule_for_the_others(scheduler: Client, local_aws: LocalAws) -> None:
    role = make_role(local_aws.url, REGION, cluster="joined")
    one = schedule(scheduler, "joined")
    mine = one.arm(["i-1", "i-2"], NOON, role_arn=role)
    with requests_of(scheduler) as asked:
        mine = one.arm(["i-1", "i-2", "i-3"], NOON, role_arn=role, mine=mine)
    assert asked == ["GET", "PUT", "GET", "POST"], "the cluster's, read back; and the new machine's own"
    assert own_schedules(scheduler, "joined") == {"i-1": NOON, "i-2": NOON, "i-3": NOON}
    one.arm(mine.ids, NOON + HOUR, role_arn=role, mine=mine)
    assert set(own_schedules(scheduler, "joined").values()) == {NOON + HOUR}, "another time is every machine's"


def test_a_machine_that_joins_after_another_client_has_released_arms_all_again(
    scheduler: Client, local_aws: LocalAws
) -> None:
    role = make_role(local_aws.url, REGION, cluster="rejoined")
    one = schedule(scheduler, "rejoined")
    mine = one.arm(["i-1", "i-2"], NOON, role_arn=role)
    schedule(scheduler, "rejoined").release(mine, NOON - HOUR)
    assert own_schedules(scheduler, "rejoined") == {"i-1": NOON - HOUR, "i-2": NOON - HOUR}
    one.arm(["i-1", "i-2", "i-3"], NOON, role_arn=role, mine=mine)
    assert own_schedules(scheduler, "rejoined") == {"i-1": NOON, "i-2": NOON, "i-3": NOON}


def test_machines_that_join_a_single_one_get_schedules_with_it(scheduler: Client, local_aws: LocalAws) -> None:
    role = make_role(local_aws.url, REGION, cluster="second")
    one = schedule(scheduler, "second")
    mine = one.arm(["i-1"], NOON, role_arn=role)
    assert own_schedules(scheduler, "second") == {}
    one.arm(["i-1", "i-2"], NOON, role_arn=role, mine=mine)
    assert own_schedules(scheduler, "second") == {"i-1": NOON, "i-2": NOON}


def own_schedules(scheduler: Client, cluster: str) -> dict[str, datetime]:
    """Return when each machine's own schedule stops it."""
    found = scheduler.list_schedules(NamePrefix=f"pio-tf-{cluster}.")["Schedules"]
    whole = [scheduler.get_schedule(Name=one["Name"], GroupName="default") for one in found]
    return {
        json.loads(one["Target"]["Input"])["InstanceIds"][0]: datetime.strptime(
            f"{one['ScheduleExpression']}Z", "at(%Y-%m-%dT%H:%M:%S)%z"
        )
        for one in whole
    }


@contextmanager
def requests_of(client: Client) -> Iterator[list[str]]:
    """Yield the methods of a client's requests in the block."""
    asked: list[str] = []

    def hear(request: AWSPreparedRequest, **_event: object) -> None:
        asked.append(str(request.method))

    client.meta.events.register("before-send", hear, unique_id="requests")
    yield asked
    client.meta.events.unregister("before-send", hear, unique_id="requests")


def test_the_schedules_of_many_machines_are_written_at_the_same_time(scheduler: Client, local_aws: LocalAws) -> None:
    at_once = Barrier(4, timeout=120)  # broken if the calls come one after the other

    def wait(request: AWSPreparedRequest, **_event: object) -> None:
        if request.method == "POST" and "." in urlsplit(request.url).path:
            at_once.wait()

    scheduler.meta.events.register("before-send", wait)
    ids = [f"i-{number:017x}" for number in range(40)]
    role = make_role(local_aws.url, REGION, cluster="many")
    schedule(scheduler, "many").arm(ids, NOON, role_arn=role)
    found = scheduler.get_paginator("list_schedules").paginate(NamePrefix="pio-tf-many.")
    assert len([one for page in found for one in page["Schedules"]]) == 40


def test_a_policy_of_before_each_machine_had_a_schedule_still_arms_the_cluster(stubbed: Stubbed) -> None:
    client, stub = stubbed
    refuse_an_own_deadline(stub, "AccessDeniedException")
    said: list[Event] = []
    one = DeadlineSchedule(client, cluster="x", reporter=said.append)
    assert one.arm(["i-1", "i-2"], NOON, role_arn=ROLE).at == NOON
    (warned,) = map(str, said)
    assert "a machine that AWS can't stop would keep the others running" in warned
    assert "scheduler:UpdateSchedule" in warned


def test_a_later_deadline_stands_and_an_earlier_one_is_moved(scheduler: Client, local_aws: LocalAws) -> None:
    role = make_role(local_aws.url, REGION, cluster="moved")
    one = schedule(scheduler, "moved")
    one.arm(["i-1"], NOON, role_arn=role)
    assert one.arm(["i-1", "i-2"], NOON - HOUR, role_arn=role).at == NOON
    found = one.find()
    assert found is not None
    assert (found.at, set(found.ids)) == (NOON, {"i-1", "i-2"}), "the machines are the new ones all the same"
    assert one.arm(["i-1"], NOON + HOUR, role_arn=role).at == NOON + HOUR
    assert schedule(scheduler, "moved").find() == one.arm(["i-1"], NOON, role_arn=role)


def test_it_is_removed_once_and_its_absence_is_no_error(scheduler: Client, local_aws: LocalAws) -> None:
    one = schedule(scheduler, "removed")
    one.arm(["i-1"], NOON, role_arn=make_role(local_aws.url, REGION, cluster="removed"))
    assert one.remove()
    assert one.find() is None
    assert not one.remove()


def test_it_is_let_go_by_bringing_it_forward_and_removes_itself_then(scheduler: Client, local_aws: LocalAws) -> None:
    one = schedule(scheduler, "released")
    armed = one.arm(["i-1"], NOON, role_arn=make_role(local_aws.url, REGION, cluster="released"))
    left = one.release(armed, NOON - HOUR - timedelta(seconds=30))
    assert left is not None
    assert left == one.find()
    assert (left.at, left.ids, left.released) == (NOON - HOUR, frozenset({"i-1"}), True)
    found = scheduler.get_schedule(Name="pio-tf-released")
    assert (found["State"], found["ActionAfterCompletion"]) == ("ENABLED", "DELETE")
    assert found["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"] == 60, "a late stop would hit the next start"


def test_letting_go_never_postpones(scheduler: Client, local_aws: LocalAws) -> None:
    one = schedule(scheduler, "soon")
    armed = one.arm(["i-1"], NOON, role_arn=make_role(local_aws.url, REGION, cluster="soon"))
    released = replace(armed, released=True)
    assert one.release(armed, NOON + HOUR) == released == one.find()
    left = one.find()
    assert left is not None
    assert one.release(left, NOON + 2 * HOUR) == released == one.find()


def test_a_deadline_that_another_client_has_written_since_is_not_released(
    scheduler: Client, local_aws: LocalAws
) -> None:
    role = make_role(local_aws.url, REGION, cluster="rearmed")
    one = schedule(scheduler, "rearmed")
    before = one.arm(["i-1"], NOON, role_arn=role)
    assert schedule(scheduler, "rearmed").arm(["i-1"], NOON, role_arn=role) == before, (
        "only when it was written differs"
    )
    assert one.release(before, NOON - HOUR) is None
    assert one.find() == before


def test_a_release_moves_no_machines_own_deadline_that_another_client_has_set_meanwhile(
    scheduler: Client, local_aws: LocalAws
) -> None:
    role = make_role(local_aws.url, REGION, cluster="slow")
    slow, quick = schedule(scheduler, "slow"), schedule(scheduler, "slow")
    before = slow.arm(["i-1", "i-2"], NOON, role_arn=role)
    armed: list[ScheduledDeadline] = []

    def arm_first(request: AWSPreparedRequest, **_event: object) -> None:
        if not armed and urlsplit(request.url).path.endswith(".i-1"):
            armed.append(before)  # once
            armed.append(quick.arm(["i-1", "i-2"], NOON + HOUR, role_arn=role))

    scheduler.meta.events.register("before-send", arm_first)
    assert slow.release(before, NOON - HOUR) is None
    assert len(armed) == 2
    for name in ("pio-tf-slow", "pio-tf-slow.i-1", "pio-tf-slow.i-2"):
        assert scheduler.get_schedule(Name=name)["ScheduleExpression"] == "at(2999-01-01T13:00:00)", name


def test_what_was_let_go_counts_for_nobody_who_arms(scheduler: Client, local_aws: LocalAws) -> None:
    role = make_role(local_aws.url, REGION, cluster="again")
    one = schedule(scheduler, "again")
    one.release(one.arm(["i-1"], NOON + HOUR, role_arn=role), NOON)
    assert one.arm(["i-1"], NOON - HOUR, role_arn=role) == one.find()
    left = one.find()
    assert left is not None
    assert (left.at, left.released) == (NOON - HOUR, False)


def test_there_may_be_nothing_to_let_go_or_nothing_any_more(stubbed: Stubbed) -> None:
    client, stub = stubbed
    stub.add_response("get_schedule", kept())
    before = schedule(client, "x").find()
    assert before is not None
    stub.add_client_error("get_schedule", "ResourceNotFoundException")
    assert schedule(client, "x").release(before, NOON) is None
    stub.add_response("get_schedule", kept())
    stub.add_client_error("update_schedule", "ResourceNotFoundException")
    assert schedule(client, "x").release(before, NOON - HOUR) is None
    stub.add_response("get_schedule", kept())
    stub.add_client_error("update_schedule", "AccessDeniedException")
    with pytest.raises(AwsError, match="scheduler:UpdateSchedule"):
        schedule(client, "x").release(before, NOON - HOUR)
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(("late", "waits"), [(-1, 0), (0, 90), (60, 30), (90, 0)])
def test_a_deadline_whose_time_has_just_come_is_waited_for_before_another_one_is_armed(
    scheduler: Client, local_aws: LocalAws, late: int, waits: int
) -> None:
    """Wait: AWS is about to stop the machines. The local AWS carries out nothing in the year 2999."""
    role = make_role(local_aws.url, REGION, cluster=f"due{late}")
    time = Time()
    said: list[Event] = []
    one = DeadlineSchedule(
        scheduler,
        cluster=f"due{late}",
        reporter=said.append,
        now=lambda: NOON + timedelta(seconds=late + time.now),
        clock=lambda: time.now,
        sleep=time.sleep,
    )
    one.arm(["i-1"], NOON, role_arn=role)
    assert one.arm(["i-1"], NOON + HOUR, role_arn=role, if_due_wait=True).at == NOON + HOUR
    assert time.now == waits
    assert len(said) == (1 if waits else 0)


def test_who_extends_a_deadline_of_machines_that_run_does_not_wait_until_they_are_stopped(
    scheduler: Client, local_aws: LocalAws
) -> None:
    time = Time()
    one = DeadlineSchedule(scheduler, cluster="last", now=lambda: NOON, clock=lambda: time.now, sleep=time.sleep)
    role = make_role(local_aws.url, REGION, cluster="last")
    one.arm(["i-1"], NOON, role_arn=role)
    assert one.arm(["i-1"], NOON + HOUR, role_arn=role).at == NOON + HOUR
    assert time.now == 0


def test_a_deadline_that_has_come_and_removed_itself_is_not_waited_for(stubbed: Stubbed) -> None:
    client, stub = stubbed
    time = Time()
    stub.add_response("get_schedule", kept())
    stub.add_client_error("get_schedule", "ResourceNotFoundException")
    stub.add_response("create_schedule", {"ScheduleArn": "arn"})
    stub.add_response("get_schedule", kept(ScheduleExpression="at(2999-01-01T13:00:00)"))
    one = DeadlineSchedule(client, cluster="x", now=lambda: NOON, clock=lambda: time.now, sleep=time.sleep)
    assert one.arm(["i-1"], NOON + HOUR, role_arn=ROLE, if_due_wait=True).at == NOON + HOUR
    assert time.now == 2
    stub.assert_no_pending_responses()


def test_a_deadline_is_a_whole_minute_and_never_earlier_than_asked_for() -> None:
    berlin = timezone(timedelta(hours=2))
    assert whole_minute(datetime(2026, 1, 1, 14, 30, 0, 1, tzinfo=berlin)) == datetime(
        2026, 1, 1, 12, 31, tzinfo=timezone.utc
    )
    assert whole_minute(NOON) == NOON


def test_a_role_that_was_just_made_is_waited_for_a_minute_and_no_longer(scheduler: Client, local_aws: LocalAws) -> None:
    time = Time()
    with pytest.raises(AwsError) as refused:
        schedule(scheduler, "nobody", passing=time).arm(["i-1"], NOON, role_arn=ROLE)
    assert NO_ROLE in refused.value.cause
    assert "pio-tf apply" in refused.value.next_step
    assert 60 <= time.now < 70
    made: list[str] = []

    class MakesIt(Time):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if not made and self.now > 10:
                made.append(make_role(local_aws.url, REGION, cluster="late"))

    role = ROLE.replace("-x-", "-late-")
    assert schedule(scheduler, "late", passing=MakesIt()).arm(["i-1"], NOON, role_arn=role).at == NOON
    assert made == [role]


@pytest.mark.parametrize(
    ("code", "operation", "message", "permission"),
    [
        ("AccessDeniedException", "create_schedule", "", "scheduler:CreateSchedule"),
        (
            "AccessDeniedException",
            "create_schedule",
            "User: u is not authorized to perform: iam:PassRole on resource: r",
            "iam:PassRole",
        ),
        ("AccessDeniedException", "get_schedule", "", "scheduler:GetSchedule"),
    ],
)
def test_a_missing_permission_is_named_with_the_way_round_it(
    stubbed: Stubbed, code: str, operation: str, message: str, permission: str
) -> None:
    client, stub = stubbed
    if operation != "get_schedule":
        stub.add_client_error("get_schedule", "ResourceNotFoundException")
    stub.add_client_error(operation, code, message)
    with pytest.raises(AwsError) as refused:
        schedule(client, "x").arm(["i-1"], NOON, role_arn=ROLE)
    assert f"add {permission} to the policy" in refused.value.next_step
    assert "--no-deadline" in refused.value.next_step


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"State": "DISABLED"}, "State"),
        ({"ScheduleExpression": "at(2999-01-01T13:00:00)"}, "ScheduleExpression"),
        ({"Target": {"Input": '{"InstanceIds": []}'}}, "Input"),
        ({"Target": {"RoleArn": "arn:aws:iam::123456789012:role/x"}}, "RoleArn"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:startInstances"}}, "Arn"),
    ],
)
def test_what_reads_back_as_something_else_is_not_armed(stubbed: Stubbed, changes: dict[str, Any], named: str) -> None:
    client, stub = stubbed
    stub.add_client_error("get_schedule", "ResourceNotFoundException")
    stub.add_response("create_schedule", {"ScheduleArn": "arn"})
    for _ in range(5):
        stub.add_response("get_schedule", kept(**changes))
    with pytest.raises(AwsError, match="not armed") as refused:
        schedule(client, "x").arm(["i-1"], NOON, role_arn=ROLE)
    assert refused.value.details["differ"] == [named]


def test_what_reads_back_late_is_armed(stubbed: Stubbed) -> None:
    client, stub = stubbed
    stub.add_client_error("get_schedule", "ResourceNotFoundException")
    stub.add_response("create_schedule", {"ScheduleArn": "arn"})
    stub.add_client_error("get_schedule", "ResourceNotFoundException")
    stub.add_response("get_schedule", kept())
    assert schedule(client, "x").arm(["i-1"], NOON, role_arn=ROLE).at == NOON


def test_another_client_that_comes_in_between_makes_an_update_of_it(stubbed: Stubbed) -> None:
    client, stub = stubbed
    stub.add_client_error("get_schedule", "ResourceNotFoundException")
    stub.add_client_error("create_schedule", "ConflictException")
    stub.add_response("update_schedule", {"ScheduleArn": "arn"})
    stub.add_response("get_schedule", kept())
    assert schedule(client, "x").arm(["i-1"], NOON, role_arn=ROLE).at == NOON
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "changes",
    [
        {"State": "DISABLED"},
        {"ScheduleExpression": "rate(1 day)"},
        {"Target": {"Input": "{}"}},
        {"Target": {"Input": "x"}},
    ],
)
def test_a_schedule_that_somebody_has_made_something_else_of_is_no_deadline(
    stubbed: Stubbed, changes: dict[str, Any]
) -> None:
    client, stub = stubbed
    stub.add_response("get_schedule", kept(**changes))
    assert schedule(client, "x").find() is None
