"""The main job, on machines that boot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.training.follow_driver import PATIENCE
from tests.real_machines.machine import wait_until

if TYPE_CHECKING:
    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.figures import Figures


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
    _, said = client.run("status")
    assert "running" not in said
    client.run("up")
    assert "succeeded" in client.run("runs")[1]
    client.run("down")
