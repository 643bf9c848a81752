"""The machines stop without any client: at their deadline, or without one, once they have been idle."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.integration.training import TRAINING, behave, bring_up, listed, run_in, spark_in
from tests.support.background import wait_until
from tests.support.places import Topic, let_events_publish, make_topic
from tests.support.sandbox_project import sandbox_client

if TYPE_CHECKING:
    from tests.support.sandbox_project import Project

CIDR = "127.77.26.0/24"
ALARM_SPEED = 3600
"""The master's alarm takes a day, which is 24 s so."""
SCHEDULE = "pio-tf-trial"


@pytest.fixture(scope="module")
def topic(project: Project) -> Topic:
    """Return a topic that lets EventBridge publish."""
    sns = sandbox_client(project.sandbox, "sns")
    made = make_topic(sns, sandbox_client(project.sandbox, "sqs"))
    let_events_publish(sns, made)
    return made


@pytest.fixture(scope="module")
def up(project: Project, topic: Topic) -> Project:
    """Make a cluster without idle alarms, of machines with 96 processors.

    Five minutes are a twelfth of a second for the alarms: even in that, an idle JVM uses less than 1 % of so many.
    """
    text = project.config.read_text().replace('"t3.medium"', '"m5.24xlarge"')
    notify = f'notify {{\n  sns_topic = "{topic.arn}"\n}}\n'
    project.config.write_text(f"{text}\nfailsafe {{\n  idle_alarms = false\n}}\n{notify}")
    return bring_up(project, spark=False)


def client(project: Project, service: Literal["scheduler", "cloudwatch"]) -> Any:  # noqa: ANN401 - boto3 makes it
    return sandbox_client(project.sandbox, service)


def bring_forward(project: Project, seconds: float) -> None:
    """Move the deadline to this many seconds from now, as if it had been armed hours ago."""
    scheduler = client(project, "scheduler")
    found = scheduler.get_schedule(Name=SCHEDULE)
    at = datetime.now(tz=timezone.utc) + timedelta(seconds=seconds)
    kept = {key: found[key] for key in ("Name", "FlexibleTimeWindow", "Target", "ActionAfterCompletion", "State")}
    scheduler.update_schedule(
        **kept, ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})", ScheduleExpressionTimezone="UTC"
    )


def schedules(project: Project) -> list[str]:
    return [one["Name"] for one in client(project, "scheduler").list_schedules()["Schedules"]]


def seen(project: Project) -> set[str]:
    """Return the states of the machines, as the sandbox has last seen them."""
    return {project.seen(name) for name in ("driver", "master", "worker-1")}


def alarms(project: Project) -> set[str]:
    """Return the alarms that CloudWatch watches."""
    found = client(project, "cloudwatch").describe_alarms()["MetricAlarms"]
    return {one["AlarmName"] for one in found}


def test_a_client_that_is_killed_leaves_nothing_running_past_the_deadline_and_aws_tells_it(
    up: Project, topic: Topic
) -> None:
    behave(up, pauseSeconds=600)
    with up.start("train", "--for", "2h") as training:
        training.says("AWS stops the machines at")
        training.says(TRAINING)
        run = run_in(training.said)
        status = json.loads(up.run("status", "--json").stdout)
        left = datetime.fromisoformat(status["deadline"]) - datetime.now(tz=timezone.utc)
        assert timedelta(hours=1.5) < left < timedelta(hours=9)
        training.send(signal.SIGKILL)
    assert up.powers() == {"running"}, "no client has stopped them"
    bring_forward(up, 2)
    assert wait_until(lambda: seen(up) == {"stopped"}, within=180)
    assert up.powers() == {"stopped"}
    assert wait_until(lambda: SCHEDULE not in schedules(up)), "those of the machines stay, to show what they missed"
    told = topic.texts()
    assert told
    for text in told:
        assert text.startswith('"pio-tf: trial (us-east-1): the deadline stopped machines that were running: [i-')
        assert up.instance("driver") in text
    assert listed(up)[run]["state"] == "unknown"
    up.run("up", "--for", "1h")
    lost = listed(up)[run]
    assert (lost["state"], lost["deadline"]) == ("lost", status["deadline"])
    up.run("down")
    found = client(up, "scheduler").get_schedule(Name=SCHEDULE)["ScheduleExpression"]
    let_go = datetime.strptime(f"{found}+0000", "at(%Y-%m-%dT%H:%M:%S)%z") - datetime.now(tz=timezone.utc)
    assert timedelta(minutes=14) < let_go < timedelta(minutes=17), "in case another client is just starting machines"


def test_machines_that_nobody_uses_and_nothing_else_would_stop_are_stopped_by_their_idle_alarms(up: Project) -> None:
    with spark_in(up):
        up.run("up", "--no-deadline")
    assert (alarms(up), SCHEDULE in schedules(up), up.powers()) == (set(), False, {"running"})
    with up.edited("idle_alarms = false", 'idle_after = "24h"'):  # as long as the master's
        up.run("apply")
        assert alarms(up) == {f"pio-tf/trial/{name}/idle" for name in ("driver", "master", "worker-1")}
        assert wait_until(lambda: seen(up) == {"stopped"}, within=300)
        assert up.powers() == {"stopped"}
        assert up.states() == {"stopped"}
