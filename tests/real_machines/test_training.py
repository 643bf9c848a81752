"""The main job, on machines that boot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.services import LocalServices
from pio_tf.training.follow_driver import PATIENCE
from tests.real_machines.machine import wait_until
from tests.real_machines.software import engine_files, write_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real_machines.client import Client
    from tests.real_machines.cluster import Cluster
    from tests.real_machines.figures import Figures
    from tests.real_machines.mirror import Mirror
    from tests.real_machines.world import World


@pytest.fixture(scope="module")
def services(world: World, cluster: Cluster) -> Iterator[LocalServices]:
    """Run the services that run all the time, by the names in pio-tf.hcl."""
    with LocalServices(host=str(world.gateway)) as services:
        cluster["driver"].sudo(f"echo '{world.gateway} es hbase hdfs' >>/etc/hosts")
        yield services


def test_a_training_leaves_a_model_and_every_machine_off(
    cluster: Cluster,
    client: Client,
    services: LocalServices,
    mirror: Mirror,
    figures: Figures,
    tmp_path: Path,
) -> None:
    write_archive(mirror.directory, "engine.tgz", engine_files(tmp_path))
    cluster["driver"].run(f"rm -rf engine && curl -sf {mirror.url}/engine.tgz | tar -xz")
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
