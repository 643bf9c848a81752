"""Provisioning a cluster's machines: all at once, under the run lock, each failure named. On real SSH servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import Locked, RemoteError
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client
from tests.support.session import session_of
from tests.support.ssh_cluster import ADDRESSES, QUICK, TestCluster, put_first_on_path, running
from tests.training.preflight_world import OUTPUTS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from pio_tf.training.driver_session import DriverSession

BOB = Client("bob", "laptop", 17, "2026-11-23T18:00:00Z")
SUDO = """\
#!/bin/bash
shift
case $* in
true) exit 0 ;;
*rollback*) echo "pio-tf: step rollback: $*" ;;
bash*) cp "$2" ~/script; echo "pio-tf: step spark: 2.4.8" ;;
esac
test ! -e ~/broken || { echo "no space left"; exit 1; }
"""
"""Root's part: it keeps its commands, and does not run them."""


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path("sudo", SUDO, tmp_path, monkeypatch)


def session(cluster: TestCluster) -> AbstractAsyncContextManager[DriverSession]:
    config = cluster.config(hbase={"hosts": ["hbase"]}, hdfs={"namenode": "hdfs"}, elasticsearch={"hosts": ["es"]})
    return session_of(config, [running(one) for one in OUTPUTS.machines], client=BOB)


async def start_all(cluster: TestCluster) -> list[str]:
    for name in ("master", "worker-1", "worker-2"):
        await cluster.servers[name].start()
    # Their host keys are known from here on: AWS is not asked for a console.
    async with ClusterConnection(cluster.config(), cluster.targets(*ADDRESSES), retry=QUICK) as remote:
        await remote.reach(ADDRESSES)
    return [one.name for one in OUTPUTS.machines]


@pytest.mark.usefixtures("sudo")
async def test_every_machine_gets_the_script_of_its_role(cluster: TestCluster) -> None:
    names = await start_all(cluster)
    async with session(cluster) as driver:
        done = await driver.provision(OUTPUTS, names)
    assert [one.machine for one in done] == ["driver", "master", "worker-1", "worker-2"]
    scripts = {name: (cluster.servers[name].home / "script").read_text() for name in ADDRESSES}
    assert "\nROLE='driver'\n" in scripts["driver"]
    assert "hadoop\t2.7.7" in scripts["driver"]
    assert "hadoop\t" not in scripts["worker-1"].partition("\nset -euo pipefail")[0]
    assert f"\nMASTER_HOST='{ADDRESSES['master']}'\n" in scripts["worker-1"]
    assert f"{ADDRESSES['worker-2']} spark-worker-2" in scripts["master"]


@pytest.mark.usefixtures("sudo")
async def test_a_machine_that_fails_is_named_and_the_others_are_done(cluster: TestCluster) -> None:
    names = await start_all(cluster)
    (cluster.servers["worker-1"].home / "broken").touch()
    with pytest.raises(RemoteError, match="worker-1: the script ended with 1") as caught:
        async with session(cluster) as driver:
            await driver.provision(OUTPUTS, names)
    assert "no space left" in caught.value.cause
    assert (cluster.servers["worker-2"].home / "script").exists()


@pytest.mark.usefixtures("sudo")
async def test_all_machines_that_fail_are_named(cluster: TestCluster) -> None:
    names = await start_all(cluster)
    for name in ("worker-1", "worker-2"):
        (cluster.servers[name].home / "broken").touch()
    with pytest.raises(RemoteError, match="could not provision 2 machines: worker-1, worker-2"):
        async with session(cluster) as driver:
            await driver.provision(OUTPUTS, names)


@pytest.mark.usefixtures("sudo")
async def test_a_rollback_runs_no_other_script(cluster: TestCluster) -> None:
    await start_all(cluster)
    async with session(cluster) as driver:
        await driver.provision(OUTPUTS, ["driver"], component="spark")
    assert not (cluster.driver.home / "script").exists()


@pytest.mark.usefixtures("sudo")
async def test_while_a_run_is_active_nothing_is_provisioned(cluster: TestCluster) -> None:
    async with (
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote,
        session(cluster) as driver,
        hold_driver_lock(remote, BOB, doing="preparing", run="20261123T020000Z-3f9c"),
    ):
        with pytest.raises(Locked, match="run 20261123T020000Z-3f9c is being prepared by bob"):
            await driver.provision(OUTPUTS, ["driver"])
    assert not (cluster.driver.home / "script").exists()


async def test_while_machines_are_provisioned_they_are_not_stopped(cluster: TestCluster) -> None:
    async with (
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote,
        session(cluster) as driver,
        hold_driver_lock(remote, BOB, doing="provisioning"),
    ):
        with pytest.raises(Locked, match="the machines are being provisioned by bob"):
            await driver.prepare_stop()
