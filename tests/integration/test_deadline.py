"""The machines stop at their deadline though nobody is left to stop them."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.integration.client import wait_until
from tests.integration.training import TRAINING, behave, bring_up, listed, run_in

if TYPE_CHECKING:
    from tests.integration.conftest import Project

CIDR = "127.77.26.0/24"
SCHEDULE = "pio-tf-trial"


@pytest.fixture(scope="module")
def up(project: Project) -> Project:
    return bring_up(project)


def scheduler(project: Project) -> Any:  # noqa: ANN401 - boto3 makes it
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=project.sandbox.region)
    return session.client("scheduler", endpoint_url=project.sandbox.url)


def bring_forward(project: Project, seconds: float) -> None:
    """As if it had been armed hours ago: the deadline is in so many seconds."""
    client = scheduler(project)
    found = client.get_schedule(Name=SCHEDULE)
    at = datetime.now(tz=timezone.utc) + timedelta(seconds=seconds)
    kept = {key: found[key] for key in ("Name", "FlexibleTimeWindow", "Target", "ActionAfterCompletion", "State")}
    client.update_schedule(**kept, ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})", ScheduleExpressionTimezone="UTC")


def schedules(project: Project) -> list[str]:
    return [one["Name"] for one in scheduler(project).list_schedules()["Schedules"]]


def test_a_client_that_is_killed_leaves_nothing_running_past_the_deadline(up: Project) -> None:
    behave(up, seconds=600)
    with up.start("train", "--for", "2h") as client:
        client.says("AWS stops the machines at")
        client.says(TRAINING)
        run = run_in(client.said)
        status = json.loads(up.run("status", "--json").stdout)
        left = datetime.fromisoformat(status["deadline"]) - datetime.now(tz=timezone.utc)
        assert timedelta(hours=1.5) < left < timedelta(hours=9)
        client.send(signal.SIGKILL)
    assert up.powers() == {"running"}, "nobody has stopped them"
    bring_forward(up, 2)
    assert wait_until(lambda: up.powers() == {"stopped"}, within=60)
    assert wait_until(lambda: schedules(up) == [])
    assert listed(up)[run]["state"] == "unknown"
    up.run("up", "--for", "1h")
    lost = listed(up)[run]
    assert (lost["state"], lost["deadline"]) == ("lost", status["deadline"])
    up.run("down")
    assert schedules(up) == []
