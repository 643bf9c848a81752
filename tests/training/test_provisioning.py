"""Machines that could not prepare themselves, and preparing them again, on real SSH servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import Event, MachineProgress
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training import provisioning
from pio_tf.training.boot_watch import BootWatch
from pio_tf.training.readiness import ready_cluster
from tests.support.ssh_cluster import QUICK, TestCluster, put_first_on_path
from tests.support.ssh_servers import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = "~/state"
REASON = 'spark-2.4.8: http://mirror/spark.tgz: "curl": (7) nobody'


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def fail(cluster: TestCluster, machine: str, *, boot: str) -> None:
    home = cluster.servers[machine].home
    (home / "state").mkdir(parents=True)
    said = {"step": "downloads", "reason": REASON, "role": "worker", "when": "2024-01-01T00:00:00Z", "boot_id": boot}
    (home / "state" / "failed.json").write_text(json.dumps(said) + "\n")


async def test_nobody_waits_for_a_machine_that_has_given_up(cluster: TestCluster) -> None:
    for name in ("master", "worker-1"):
        await cluster.servers[name].start()
    fail(cluster, "worker-1", boot=boot_id())
    config = cluster.config(spark={"master_ui_port": free_port()})
    targets = cluster.targets("driver", "master", "worker-1")

    watch = BootWatch(limit=60, state=STATE)
    with pytest.raises(NotReady) as caught:
        async with ready_cluster(config, targets, patience=QUICK, watch=watch):
            pass

    assert caught.value.what == "worker-1 could not prepare itself: step downloads failed"
    assert caught.value.cause == REASON
    assert "pio-tf provision worker-1" in caught.value.next_step


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a `sudo` that runs its command as this user."""
    return put_first_on_path("sudo", '#!/bin/bash\n[ "$1" = -n ] && shift\nexec "$@"\n', tmp_path, monkeypatch)


async def provision(cluster: TestCluster, script: str) -> tuple[provisioning.ProvisionedMachine, list[Event]]:
    events: list[Event] = []
    async with ClusterConnection(cluster.config(), cluster.targets()) as remote:
        return await provisioning.provision(remote, "driver", script, reporter=events.append), events


async def test_the_steps_of_a_script_are_seen_as_they_come(cluster: TestCluster, root: Path) -> None:
    script = "echo noise\necho 'pio-tf: step java: done (1 s)'\necho 'pio-tf: step spark: 2.4.8 (3 s)' >&2\n"
    prepared, events = await provision(cluster, script)
    said = [event.detail for event in events if isinstance(event, MachineProgress) and event.detail.startswith("step")]
    assert said == ["step java: done (1 s)", "step spark: 2.4.8 (3 s)"]
    assert prepared.machine == "driver"


async def test_the_script_is_nobody_elses_to_read_and_gone_afterwards(cluster: TestCluster, root: Path) -> None:
    kept = cluster.driver.home / "kept"
    await provision(cluster, f'stat -c %a "$0" > {kept}\necho "$0" >> {kept}\n')
    mode, path = kept.read_text().split()
    assert mode == "600"
    assert not Path(path).exists()


async def test_a_script_that_fails_tells_what_it_said_last(cluster: TestCluster, root: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        await provision(cluster, "echo 'tar: no space left on device'\nexit 9\n")
    assert caught.value.what == "driver: the script ended with 9"
    assert "tar: no space left on device" in caught.value.cause
    assert "pio-tf provision driver" in caught.value.next_step


async def test_without_root_nothing_is_tried(cluster: TestCluster, root: Path) -> None:
    root.write_text("#!/bin/bash\necho 'sudo: a password is required' >&2\nexit 1\n")
    with pytest.raises(RemoteError, match="could not provision driver: its user may not become root") as caught:
        await provision(cluster, f"touch {cluster.driver.home}/tried\n")
    assert caught.value.cause == "sudo: a password is required"
    assert not (cluster.driver.home / "tried").exists()


async def test_machines_without_the_script_have_no_names(cluster: TestCluster, root: Path) -> None:
    hosts: Mapping[str, str] = {"driver": "127.0.0.1"}
    async with ClusterConnection(cluster.config(), cluster.targets()) as remote:
        await provisioning.complete_hosts(remote, ["driver"], hosts)
