"""The main job on machines that boot: with a client, with one that leaves, and on AWS's schedule without any."""

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


@pytest.mark.usefixtures("engine")
def test_a_training_leaves_a_model_and_every_machine_off(cluster: Cluster, client: Client, figures: Figures) -> None:
    # Spark's is the one that runs on Debian 12's Java, not the one that pio-tf.hcl names.
    took, said = client.run("train", "--skip-check", "java")
    figures.add_command("pio-tf train, of machines that run, until they are off", took)
    assert "Training completed successfully." in said
    assert not any(machine.is_on for machine in cluster.machines.values())


@pytest.mark.usefixtures("services")
def test_all_machines_stop_themselves_after_a_training_without_a_client(
    cluster: Cluster, client: Client, figures: Figures
) -> None:
    """Real systemd: a power-off by the SSH user with sudo, and timers. The engine is there from the test before.

    The machines show the uptime of this computer: their time of grace is over. Only their patience is shortened.
    """
    client.run("train", "--detach", "--skip-check", "java")
    followers = [machine for name, machine in cluster.machines.items() if name != "driver"]
    for machine in followers:
        assert machine.run("systemctl is-enabled pio-tf-follow-driver.timer").strip() == "enabled"
        machine.sudo(f"sed -i 's/^PATIENCE={PATIENCE}$/PATIENCE=20/' /usr/local/sbin/pio-tf-follow-driver")
    wait_until(lambda: not cluster["driver"].is_on, timeout=300)
    began = time.monotonic()
    wait_until(lambda: not any(machine.is_on for machine in followers), timeout=300)
    figures.add_command("master and workers off, after their driver", time.monotonic() - began)
    for machine in followers:
        assert "this machine stops" in machine.console()
    assert "it powers itself off" in cluster["driver"].console()
    wait_until(lambda: "running" not in client.run("status")[1])  # AWS learns a moment later that a machine is off
    client.run("up")
    assert "succeeded" in client.run("runs")[1]


@pytest.fixture
def scheduled(cluster: Cluster, client: Client, engine: None) -> None:
    """Set a schedule, let the driver know it, and stop all machines, which run after the test before."""
    # The machines have Java 17: `set` ends with a failed check, once the driver is configured.
    client.run("schedule", "set", "cron(0 3 ? * SUN *)", "--timezone", "Europe/Berlin", exit_code=5)
    for name, machine in cluster.machines.items():
        if name != "driver":
            machine.sudo(f"sed -i 's/^PATIENCE={PATIENCE}$/PATIENCE=20/' /usr/local/sbin/pio-tf-follow-driver")
    client.run("down")
    assert not any(machine.is_on for machine in cluster.machines.values())


@pytest.mark.usefixtures("scheduled")
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
