"""Trainings without a client: one whose client has left, and one that AWS's schedule starts.

The tests go in the order of the file. Each finds the machines as the one before has left them.
"""

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
    from tests.real_machines.kept import Left
    from tests.real_machines.machine import Machine
    from tests.support.site import Site


def followers(cluster: Cluster) -> list[Machine]:
    """Return the machines that stop after their driver."""
    return [machine for name, machine in cluster.machines.items() if name != "driver"]


def shorten_patience(cluster: Cluster) -> None:
    """Let the machines follow their driver 10 s after it is off, not five minutes, and look every 5 s, not each minute.

    A client writes both again when it trains.
    """
    timer = "/etc/systemd/system/pio-tf-follow-driver.timer"
    for machine in followers(cluster):
        machine.sudo(
            f"sed -i 's/^PATIENCE={PATIENCE}$/PATIENCE=10/' /usr/local/sbin/pio-tf-follow-driver"
            f" && sed -i 's/=1min$/=5s/; s/^AccuracySec=5s$/AccuracySec=1s/' {timer}"
            " && systemctl daemon-reload && systemctl restart pio-tf-follow-driver.timer"
        )


@pytest.fixture(scope="module")
def scheduled(cluster: Cluster, client: Client, noted: dict[str, Left]) -> None:
    """Set a schedule, and let the driver know it. All machines run."""
    # The machines have Java 17: `set` ends with a failed check, once the driver is configured.
    client.run("schedule", "set", "cron(0 3 ? * SUN *)", "--timezone", "Europe/Berlin", exit_code=5)
    shorten_patience(cluster)


@pytest.mark.usefixtures("scheduled")
def test_all_machines_stop_themselves_after_a_training_without_a_client(
    cluster: Cluster, client: Client, figures: Figures
) -> None:
    """Real systemd: a power-off by the SSH user with sudo, and timers.

    The machines show the uptime of this computer: their time of grace is over. Only their patience and the
    time between looks are shortened.
    """
    # Spark's is the one that runs on Debian 12's Java, not the one that pio-tf.hcl names.
    client.run("train", "--detach", "--skip-check", "java")
    for machine in followers(cluster):
        assert machine.run("systemctl is-enabled pio-tf-follow-driver.timer").strip() == "enabled"
    shorten_patience(cluster)
    wait_until(lambda: not cluster["driver"].is_on, timeout=300)
    began = time.monotonic()
    wait_until(lambda: not any(machine.is_on for machine in followers(cluster)), timeout=300)
    figures.add_command("master and workers off, after their driver", time.monotonic() - began)
    for machine in followers(cluster):
        assert "this machine stops" in machine.console()
    assert "it powers itself off" in cluster["driver"].console()
    wait_until(lambda: "running" not in client.run("status")[1])  # AWS learns a moment later that a machine is off
    (ended,) = cluster["driver"].file("/home/ubuntu/.pio-tf/runs").glob("*/ended")
    assert ended.read_text().startswith("exit=0 ")


@pytest.mark.usefixtures("scheduled")
def test_a_scheduled_training_goes_from_stopped_to_stopped_without_a_client(
    aws: LocalAws, cluster: Cluster, client: Client, site: Site, figures: Figures
) -> None:
    driver = cluster["driver"]
    client.run("down")
    assert not any(machine.is_on for machine in cluster.machines.values())
    began = time.monotonic()
    aws.fire_training(site.name)
    wait_until(lambda: driver.is_on)
    wait_until(lambda: not driver.is_on, timeout=300)
    figures.add_command("a scheduled training, from the start to the driver's power-off", time.monotonic() - began)
    wait_until(lambda: not any(machine.is_on for machine in cluster.machines.values()), timeout=300)
    figures.add_command("a scheduled training, from stopped to stopped", time.monotonic() - began)
    assert "the training begins: run " in driver.console()
    assert "it powers itself off" in driver.console()


@pytest.mark.usefixtures("left")
def test_a_client_that_starts_the_machines_finds_both_runs(cluster: Cluster, client: Client) -> None:
    detached, run = json.loads(client.run("runs", "--json")[1])["runs"]
    assert (detached["state"], detached["scheduled"]) == ("succeeded", None)
    assert (run["state"], run["client"]["owner"]) == ("succeeded", "schedule")
    shown = json.loads(client.run("schedule", "show", "--check", "--json")[1])["schedule"]
    assert (shown["run"], shown["last"][:19], shown["driver_knows"]) == (run["id"], run["scheduled"][:19], True)
    assert "Training completed successfully." in client.run("logs", run["id"])[1]
    assert cluster["driver"].run("systemctl is-active pio-tf-scheduled || true").strip() == "inactive"
