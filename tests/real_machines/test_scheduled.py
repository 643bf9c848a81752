"""A training on AWS's schedule, on machines that boot: from stopped to stopped, without any client."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.training.follow_driver import PATIENCE
from tests.real_machines.machine import wait_until

if TYPE_CHECKING:
    from pio_tf.sandbox.aws import LocalAws
    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.figures import Figures
    from tests.support.site import Site


@pytest.fixture
def ready(cluster: Cluster, client: Client, engine: None) -> None:
    """Set a schedule, let the driver know it, and stop all machines."""
    # The machines have Java 17: `set` ends with a failed check, once the driver is configured.
    client.run("schedule", "set", "cron(0 3 ? * SUN *)", "--timezone", "Europe/Berlin", exit_code=5)
    for name, machine in cluster.machines.items():
        if name != "driver":
            machine.sudo(f"sed -i 's/^PATIENCE={PATIENCE}$/PATIENCE=20/' /usr/local/sbin/pio-tf-follow-driver")
    client.run("down")
    assert not any(machine.is_on for machine in cluster.machines.values())


@pytest.mark.usefixtures("ready")
def test_a_scheduled_training_goes_from_stopped_to_stopped_without_a_client(
    aws: LocalAws, cluster: Cluster, client: Client, site: Site, figures: Figures
) -> None:
    driver = cluster["driver"]
    began = time.monotonic()
    aws.fire_training(site.name)
    wait_until(lambda: driver.is_on)
    wait_until(lambda: not driver.is_on, timeout=300)
    figures.add_command("a scheduled training, from the start to the driver's power-off", time.monotonic() - began)
    wait_until(lambda: not any(machine.is_on for machine in cluster.machines.values()), timeout=300)
    figures.add_command("a scheduled training, from stopped to stopped", time.monotonic() - began)
    assert "the training begins: run " in driver.console()
    assert "it powers itself off" in driver.console()

    client.run("up")
    (run,) = (run for run in json.loads(client.run("runs", "--json")[1])["runs"] if run["scheduled"])
    assert (run["state"], run["client"]["owner"]) == ("succeeded", "schedule")
    shown = json.loads(client.run("schedule", "show", "--check", "--json")[1])["schedule"]
    assert (shown["run"], shown["last"][:19], shown["driver_knows"]) == (run["id"], run["scheduled"][:19], True)
    assert "Training completed successfully." in client.run("logs", run["id"])[1]
    assert driver.run("systemctl is-active pio-tf-scheduled || true").strip() == "inactive"
    _, said = client.run("down")
    assert f"run {run['id']} succeeded" in said
    (judged,) = (one for one in json.loads(client.run("runs", "--json")[1])["runs"] if one["id"] == run["id"])
    assert judged["proofs"]
