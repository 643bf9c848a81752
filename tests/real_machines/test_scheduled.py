"""A training on AWS's schedule, on machines that boot: from stopped to stopped, without any client."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.cluster import Cluster as Facade
from pio_tf.config.load import load_config
from pio_tf.model import SCHEDULED_TAG
from pio_tf.training.driver_session import open_session
from pio_tf.training.follow_driver import PATIENCE
from tests.real_machines.machine import wait_until
from tests.support.site import ec2

if TYPE_CHECKING:
    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.figures import Figures
    from tests.support.site import Site

TOKEN = "a-token"
EARLIER = timedelta(minutes=2)
"""The time between the mark and the start."""


def opener(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of open_session
    """Open sessions that know the schedule's token."""
    return open_session(*arguments, **{**options, "schedule_token": lambda: TOKEN})


@pytest.fixture
def ready(cluster: Cluster, client: Client, site: Site, engine: None) -> None:
    """Leave on the driver what a scheduled training needs, and stop all machines."""
    Facade(load_config(site.directory / "pio-tf.hcl", environ={}), open_session=opener).push_config()
    for name, machine in cluster.machines.items():
        if name != "driver":
            machine.sudo(f"sed -i 's/^PATIENCE={PATIENCE}$/PATIENCE=20/' /usr/local/sbin/pio-tf-follow-driver")
    client.run("down")
    assert not any(machine.is_on for machine in cluster.machines.values())


def start_as_scheduler_does(site: Site) -> str:
    """Mark all machines, and start them. Return the time in the mark."""
    due = f"{datetime.now(timezone.utc) - EARLIER:%Y-%m-%dT%H:%M:%SZ}"
    ids = [instance["InstanceId"] for instance in site.instances().values()]
    ec2(site.url).create_tags(Resources=ids, Tags=[{"Key": SCHEDULED_TAG, "Value": f"{TOKEN} {due}"}])
    ec2(site.url).start_instances(InstanceIds=ids)
    return due


@pytest.mark.usefixtures("ready")
def test_a_scheduled_training_goes_from_stopped_to_stopped_without_a_client(
    cluster: Cluster, client: Client, site: Site, figures: Figures
) -> None:
    driver = cluster["driver"]
    began = time.monotonic()
    due = start_as_scheduler_does(site)
    wait_until(lambda: driver.is_on)
    wait_until(lambda: not driver.is_on, timeout=300)
    figures.add_command("a scheduled training, from the start to the driver's power-off", time.monotonic() - began)
    wait_until(lambda: not any(machine.is_on for machine in cluster.machines.values()), timeout=300)
    figures.add_command("a scheduled training, from stopped to stopped", time.monotonic() - began)
    assert "the training begins: run " in driver.console()
    assert "it powers itself off" in driver.console()

    client.run("up")
    (run,) = (run for run in json.loads(client.run("runs", "--json")[1])["runs"] if run["scheduled"])
    assert (run["state"], run["scheduled"], run["client"]["owner"]) == ("succeeded", due, "schedule")
    assert "Training completed successfully." in client.run("logs", run["id"])[1]
    assert driver.run("systemctl is-active pio-tf-scheduled || true").strip() == "inactive"
    _, said = client.run("down")
    assert f"run {run['id']} succeeded" in said
    (judged,) = (one for one in json.loads(client.run("runs", "--json")[1])["runs"] if one["id"] == run["id"])
    assert judged["proofs"]
