"""A training on AWS's schedule in the sandbox: its machines start, train and stop without any client."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.cluster import Cluster
from pio_tf.config.load import load_config
from pio_tf.model import SCHEDULED_TAG
from pio_tf.training.driver_session import open_session
from tests.integration.training import bring_up, listed
from tests.support.background import wait_until

if TYPE_CHECKING:
    from tests.support.sandbox_project import Project

CIDR = "127.77.77.128/25"
TOKEN = "a-token"


def opener(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of open_session
    """Open sessions that know the schedule's token."""
    return open_session(*arguments, **{**options, "schedule_token": lambda: TOKEN})


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a stopped cluster whose driver knows a schedule, and lingers for five seconds after a training."""
    bring_up(project)
    project.config.write_text(project.config.read_text().replace('linger = "1h"', 'linger = "5s"'))
    config = load_config(project.config, environ=project.environment)
    Cluster(config, environ=project.environment, open_session=opener).push_config()
    project.run("down")
    return project


def start_as_scheduler_does(project: Project) -> str:
    """Mark all machines, and start them. Return the time in the mark."""
    due = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    found = project.ec2.describe_instances()["Reservations"]
    ids = [one["InstanceId"] for reservation in found for one in reservation["Instances"]]
    project.ec2.create_tags(Resources=ids, Tags=[{"Key": SCHEDULED_TAG, "Value": f"{TOKEN} {due}"}])
    project.ec2.start_instances(InstanceIds=ids)
    return due


def driver_is(project: Project, state: str) -> bool:
    found = project.ec2.describe_instances(InstanceIds=[project.instance("driver")])["Reservations"]
    return found[0]["Instances"][0]["State"]["Name"] == state


def test_a_scheduled_training_needs_no_client_and_the_next_one_finds_it(project: Project) -> None:
    due = start_as_scheduler_does(project)
    assert wait_until(lambda: driver_is(project, "running"), within=300)
    assert wait_until(lambda: driver_is(project, "stopped"), within=300)
    said = project.run("up").stderr
    (run,) = (one for one in listed(project).values() if one["scheduled"])
    assert (run["state"], run["scheduled"], run["client"]["owner"]) == ("succeeded", due, "schedule"), said
    assert "Training completed successfully." in project.run("logs", run["id"]).stdout
    assert f"run {run['id']} succeeded" in project.run("down").stderr
    judged = json.loads(project.run("runs", "--json").stdout)["runs"][-1]
    assert [proof["held"] for proof in judged["proofs"]][:3] == [True, True, True]
