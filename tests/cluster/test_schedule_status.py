"""The schedule of trainings as `status` shows it: what came of its last time, by marks, runs and machines."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from pio_tf.cluster.fleet import FleetView
from pio_tf.cluster.scheduling import ScheduleStatus, Scheduling
from pio_tf.config.recurring_time import parse_recurring_time
from pio_tf.machines.training_schedule import ClusterSchedule
from pio_tf.model import Machine
from pio_tf.training.runs.driver_runs import DriverState
from pio_tf.training.runs.record import Client, RunRecord
from tests.support.builders import make_config

if TYPE_CHECKING:
    from collections.abc import Sequence

SUNDAY = datetime(2026, 11, 29, 2, 0, tzinfo=timezone.utc)
"""Three in Berlin."""
MARK = "abc 2026-11-29T02:00:00Z"
MONDAY = SUNDAY + timedelta(days=1)
SCHEDULE = ClusterSchedule(
    parse_recurring_time("cron(0 3 ? * SUN *)"),
    ZoneInfo("Europe/Berlin"),
    "abc",
    frozenset({"i-0d"}),
    "arn:aws:iam::123456789012:role/scheduler",
    modified=SUNDAY - timedelta(days=30),
)
DRIVER = Machine("driver", "driver", "i-0d", "r5.large", "stopped", "10.20.0.10", None, SUNDAY - timedelta(days=2))
RUN = RunRecord(
    id="20261129T020300Z-3f9c",
    cluster="trial",
    client=Client("schedule", "driver", 7, "2026-11-29T02:03:00Z"),
    command="pio train",
    engine_dir="/opt/engine",
    state="succeeded",
    scheduled="2026-11-29T02:00:00Z",
)


def status(
    *runs: RunRecord,
    schedule: ClusterSchedule = SCHEDULE,
    now: datetime = MONDAY,
    machines: Sequence[Machine] = (DRIVER,),
    driver: DriverState | None = None,
) -> ScheduleStatus:
    context = SimpleNamespace(
        config=make_config(schedule={}),
        now=lambda: now,
        aws=SimpleNamespace(client=lambda _service: None),
        clock=None,
        sleep=None,
    )
    deadline = SimpleNamespace(trainings=SimpleNamespace(find=lambda: schedule))
    scheduling = Scheduling(cast("Any", context), cast("Any", None), cast("Any", deadline))
    found = scheduling.status(FleetView(tuple(machines), now), runs, driver)
    assert found is not None
    return found


def test_a_training_that_succeeded_is_no_problem() -> None:
    found = status(RUN, machines=[replace(DRIVER, scheduled_start=MARK, since=SUNDAY + timedelta(hours=2))])
    assert (found.last, found.run, found.problem, found.stops) == (SUNDAY, RUN.id, "", None)
    assert found.next[0] == SUNDAY + timedelta(days=7)


def test_the_run_tells_the_last_time_once_a_client_has_removed_the_mark() -> None:
    found = status(RUN, machines=[replace(DRIVER, since=MONDAY)])
    assert (found.last, found.run) == (SUNDAY, RUN.id)


def test_a_missed_or_failed_training_is_named_with_its_cause_until_another_one_succeeds() -> None:
    failed = dataclasses.replace(RUN, state="failed", cause="missed: a client uses the machines")
    touched = [replace(DRIVER, since=SUNDAY + timedelta(hours=1))]
    assert status(failed, machines=touched).problem == (
        f"the scheduled training {RUN.id} led to no model: missed: a client uses the machines"
    )
    later = dataclasses.replace(RUN, id="20261129T120300Z-0000", scheduled="", state="succeeded")
    assert status(failed, later, machines=touched).problem == ""


def test_a_time_at_which_aws_did_nothing_is_named() -> None:
    assert "AWS did not start the machines at 2026-11-29 02:00 UTC" in status().problem
    old = dataclasses.replace(RUN, scheduled="2026-11-22T02:00:00Z")
    assert "AWS did not start the machines at 2026-11-29 02:00 UTC" in status(old).problem


def test_marked_machines_that_did_not_start_had_no_capacity_or_ran_already() -> None:
    marked = replace(DRIVER, scheduled_start=MARK)
    assert status(now=SUNDAY + timedelta(minutes=30), machines=[marked]).problem == "", "AWS still tries"
    assert "it had no capacity" in status(now=SUNDAY + timedelta(minutes=63), machines=[marked]).problem
    runs = status(now=SUNDAY + timedelta(minutes=63), machines=[replace(marked, state="running")])
    assert "the machines ran already" in runs.problem
    assert runs.stops == SUNDAY + timedelta(hours=8, minutes=2)


def test_a_driver_without_a_run_of_the_last_time_tells_that_there_was_none() -> None:
    driver, used = DriverState((), None, schedule_token="abc"), replace(DRIVER, state="running", since=MONDAY)
    missed = status(machines=[used], driver=driver).problem
    assert "there was no scheduled training at 2026-11-29 02:00 UTC" in missed
    assert status(machines=[used], driver=driver, now=SUNDAY + timedelta(minutes=30)).problem == "", "it may still come"
    trained = dataclasses.replace(RUN, scheduled="", ended=MONDAY.timestamp())
    assert status(trained, machines=[used], driver=driver).problem == ""
    assert (
        status(dataclasses.replace(trained, ended=SUNDAY.timestamp() - 1), machines=[used], driver=driver).problem
        == missed
    )


@pytest.mark.parametrize(
    ("schedule", "machine"),
    [
        (dataclasses.replace(SCHEDULE, paused=True), DRIVER),
        (dataclasses.replace(SCHEDULE, modified=MONDAY), DRIVER),
        (SCHEDULE, replace(DRIVER, since=MONDAY)),
        (SCHEDULE, replace(DRIVER, since=None)),
    ],
    ids=["paused", "newer", "used-since", "unknown"],
)
def test_what_is_not_known_is_not_claimed(schedule: ClusterSchedule, machine: Machine) -> None:
    assert status(schedule=schedule, machines=[machine]).problem == ""


def test_a_driver_that_does_not_know_the_schedule_is_named() -> None:
    states = {token: DriverState((), None, schedule_token=token) for token in ("abc", "other", "")}
    assert [status(driver=one).driver_knows for one in states.values()] == [True, False, False]
    assert status().driver_knows is None
