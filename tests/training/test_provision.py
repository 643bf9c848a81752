"""Provisioning a cluster's machines: all at once, under the run lock, each failure named. On real SSH servers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from pio_tf.errors import ConfigError, Locked, RemoteError
from pio_tf.events import Event, Reporter, silent
from pio_tf.pio.build_info import BUILD_INFO
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client
from tests.pio.java_class import object_class
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
"sh -c cat >"*) cat >~/timer ;;
bash*) cp "$2" ~/script; echo "pio-tf: step spark: 2.4.8" ;;
esac
test ! -e ~/broken || { echo "no space left"; exit 1; }
"""
"""Root's part: it keeps its commands, and does not run them."""


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path("sudo", SUDO, tmp_path, monkeypatch)


def session(cluster: TestCluster, report: Reporter = silent) -> AbstractAsyncContextManager[DriverSession]:
    config = cluster.config(hbase={"hosts": ["hbase"]}, hdfs={"namenode": "hdfs"}, elasticsearch={"hosts": ["es"]})
    return session_of(config, [running(one) for one in OUTPUTS.machines], client=BOB, report=report)


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
async def test_machines_get_their_timer_and_the_driver_knows_which_have_none(cluster: TestCluster) -> None:
    await start_all(cluster)
    (cluster.servers["worker-2"].home / "broken").touch()
    events: list[Event] = []
    async with session(cluster, report=events.append) as driver:
        assert (await driver.state()).followers == frozenset()
        await driver.provision(OUTPUTS, ["master"])
        assert (await driver.state()).followers == {"master", "worker-1"}
    assert f"\nDRIVER={ADDRESSES['driver']}\n" in (cluster.servers["worker-1"].home / "timer").read_text()
    assert not (cluster.driver.home / "timer").exists()
    assert "worker-2 does not stop by itself after its driver, only at the deadline" in str(events)


def spark_is(cluster: TestCluster, version: str) -> None:
    """Let every machine have a Spark that pio-tf has installed."""
    for server in cluster.servers.values():
        link = server.home / "spark"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/opt/spark/{version}")


def built_for(cluster: TestCluster, spark: str) -> None:
    jar = cluster.driver.home / "pio" / "lib" / "pio-assembly-0.14.0.jar"
    jar.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(jar, "w") as archive:
        archive.writestr(BUILD_INFO, object_class({"sparkVersion": spark}))


def session_with(
    cluster: TestCluster, *, version: str | None = None, spark_version: str | None = None
) -> AbstractAsyncContextManager[DriverSession]:
    software = {"pio": {"spark_version": spark_version}} if spark_version else {}
    config = cluster.config(pio={"home": "~/pio"}, spark={"home": "~/spark", "version": version}, software=software)
    return session_of(config, [running(one) for one in OUTPUTS.machines], client=BOB)


@pytest.mark.usefixtures("sudo")
@pytest.mark.parametrize(
    ("built", "cause"),
    [("2.4.8", "the driver's PredictionIO was built for Spark 2.4.8"), (None, "another Spark is installed")],
)
async def test_a_default_does_not_replace_the_spark_of_a_build_of_ones_own(
    cluster: TestCluster, built: str | None, cause: str
) -> None:
    names = await start_all(cluster)
    spark_is(cluster, "2.4.8")
    if built:
        built_for(cluster, built)
    said = r"Spark 2\.1\.3, this pio-tf's default .* would replace 2\.4\.8 on "
    for machines in (names, ["worker-1"]):
        with pytest.raises(ConfigError, match=said) as caught:
            async with session_with(cluster) as driver:
                await driver.provision(OUTPUTS, machines)
        assert caught.value.cause == cause
        assert 'spark.version = "2.4.8"' in caught.value.next_step
        assert caught.value.details["installed"] == dict.fromkeys(machines, "2.4.8")
    assert not any((server.home / "script").exists() for server in cluster.servers.values())


@pytest.mark.usefixtures("sudo")
@pytest.mark.parametrize(
    ("installed", "built", "asked"),
    [
        ("2.4.8", "2.1.3", {}),  # Apache's binary, which can't run on the Spark there
        ("2.4.8", "2.4.8", {"version": "2.4.8"}),
        ("2.4.8", "2.4.8", {"version": "2.1.3"}),
        ("2.1.3", None, {"spark_version": "2.4.8"}),
        ("2.3.4", None, {}),  # of the same json4s
    ],
)
async def test_provision_installs_the_spark_that_fits_or_that_pio_tf_hcl_names(
    cluster: TestCluster, installed: str, built: str | None, asked: dict[str, str]
) -> None:
    names = await start_all(cluster)
    spark_is(cluster, installed)
    if built:
        built_for(cluster, built)
    async with session_with(cluster, **asked) as driver:
        await driver.provision(OUTPUTS, names)
    wanted = asked.get("version") or asked.get("spark_version") or "2.1.3"
    assert f"spark\t{wanted}\t" in (cluster.servers["worker-1"].home / "script").read_text()


@pytest.mark.usefixtures("sudo")
async def test_a_spark_that_pio_tf_has_not_installed_is_no_reason_to_refuse(cluster: TestCluster) -> None:
    names = await start_all(cluster)
    (cluster.driver.home / "spark").symlink_to("/srv/spark-2.4.8")
    async with session_with(cluster) as driver:
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


@pytest.mark.parametrize(
    ("doing", "why"),
    [
        ("provisioning", "the machines are being provisioned by bob"),
        ("engine", "the engine on the driver is being changed or saved by bob"),
    ],
)
async def test_machines_that_another_client_works_on_are_not_stopped(
    cluster: TestCluster, doing: str, why: str
) -> None:
    async with (
        ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote,
        session(cluster) as driver,
        hold_driver_lock(remote, BOB, doing=doing),
    ):
        with pytest.raises(Locked, match=why):
            await driver.prepare_stop()
