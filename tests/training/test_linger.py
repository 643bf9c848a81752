"""A driver that powers itself off once nothing uses it, over real SSH. A stand-in for sudo notes it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import Locked
from pio_tf.training.redact import Redactor
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.driver_runs import DriverRuns, program, renewing
from pio_tf.training.runs.record import Client, RunRecord, new_run_id
from pio_tf.waiting import in_background
from tests.support.background import until
from tests.support.session import session_of
from tests.support.ssh_cluster import put_first_on_path, running

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.remote.ssh import ClusterConnection
    from tests.support.ssh_cluster import TestCluster

ANN = Client("ann", "laptop", 17, "2026-11-23T18:00:00Z")
BOB = Client("bob", "ci", 18, "2026-11-23T18:00:01Z")
SUDO = """#!/bin/bash
case "$*" in
  "-n systemctl poweroff")
    [[ ! -e ~/no-root ]] || { echo "sudo: a password is required" >&2; exit 1; }
    echo off >>~/off
    ;;
  "-n tee -a /var/log/pio-tf.log /dev/console") cat >>~/console ;;
esac
"""
LINGER = 2


@pytest.fixture(autouse=True)
def sudo(tmp_path: Path, no_ssh_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path("sudo", SUDO, tmp_path, monkeypatch)


async def train(remote: ClusterConnection, command: str, *, linger: int | None = LINGER) -> str:
    """Start a run and leave it, as `--detach` does."""
    record = RunRecord(id=new_run_id(), cluster="ur", client=ANN, command=command, engine_dir="/engine")
    async with hold_driver_lock(remote, ANN, doing="preparing", run=record.id, linger=linger) as lock:
        await DriverRuns(remote).prepare(record, command=command, redactor=Redactor(()).in_perl())
        await lock.start(record.id)
    return record.id


def is_off(cluster: TestCluster) -> bool:
    return (cluster.driver.home / "off").exists()


async def goes_off(cluster: TestCluster) -> None:
    await until(lambda: is_off(cluster), within=60)


async def stays_on(cluster: TestCluster, *, seconds: float = LINGER + 3.0) -> None:
    await asyncio.sleep(seconds)
    assert not is_off(cluster)


async def test_the_driver_goes_off_after_a_run_that_no_client_follows_and_no_run_can_begin(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    run = await train(remote, "sleep 5")
    assert (await DriverRuns(remote).one(run)).alive
    await stays_on(cluster)
    await goes_off(cluster)
    assert (await DriverRuns(remote).one(run)).ending is not None
    with pytest.raises(Locked, match="being stopped by the driver itself"):
        await train(remote, "true")
    assert "powers itself off" in (cluster.driver.home / "console").read_text()


async def test_the_driver_goes_off_after_a_run_whose_runner_was_killed(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    run = await train(remote, "sleep 600")
    pid = (cluster.driver.home / ".pio-tf" / "runs" / run / "process").read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    await goes_off(cluster)


async def test_the_driver_goes_off_if_the_client_is_gone_before_its_run_begins(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    async with hold_driver_lock(remote, ANN, doing="preparing", run=new_run_id(), linger=1):
        await stays_on(cluster, seconds=4)
    await goes_off(cluster)


async def test_a_wrong_clock_changes_nothing(cluster: TestCluster, remote: ClusterConnection, tmp_path: Path) -> None:
    date = tmp_path / "programs" / "date"
    date.write_text('#!/bin/bash\nexec /bin/date --date "5 hours ago" "$@"\n')
    date.chmod(0o755)
    await train(remote, "true", linger=4)
    for hours in ("9 hours", "3 days ago"):  # and it jumps
        date.write_text(f'#!/bin/bash\nexec /bin/date --date "{hours}" "$@"\n')
        os.utime(cluster.driver.home / ".pio-tf" / "linger", (0, 0))
        await stays_on(cluster, seconds=1)
    await goes_off(cluster)


async def test_the_driver_stays_on_after_keep_up(cluster: TestCluster, remote: ClusterConnection) -> None:
    await train(remote, "true", linger=0)
    await stays_on(cluster)
    assert (await DriverRuns(remote).state()).linger is None


async def test_a_second_training_with_keep_up_takes_back_the_first_ones_power_off(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    await train(remote, "true")
    async with hold_driver_lock(remote, BOB, doing="preparing", run=new_run_id(), linger=0):
        pass
    await stays_on(cluster)


async def test_up_takes_the_power_off_back_and_says_so(cluster: TestCluster, remote: ClusterConnection) -> None:
    await train(remote, "sleep 2")
    assert await DriverRuns(remote).stay()
    assert not await DriverRuns(remote).stay()
    await stays_on(cluster)


async def test_the_driver_stays_on_while_a_shell_is_open_and_not_longer(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    async with renewing(remote, every=0.3, lasting=1):
        await train(remote, "true")
        await stays_on(cluster)
    await goes_off(cluster)


async def test_a_client_that_waits_for_spark_keeps_the_driver_on_for_longer_than_it_lingers(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    await train(remote, "true", linger=1)
    await DriverRuns(remote).renew(5)
    linger = (await DriverRuns(remote).state()).linger
    assert linger is not None
    await stays_on(cluster, seconds=4)
    await goes_off(cluster)


async def test_a_client_that_waits_for_machines_is_known_for_as_long_as_it_renews(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    runs = DriverRuns(remote)
    await runs.take_over(900)
    assert not (await runs.state()).is_awaited
    config, note = cluster.config(cluster={"start_timeout": "1s"}), cluster.driver.home / ".pio-tf" / "waiting"
    async with (
        session_of(config, [running(cluster.targets()[0])]) as session,
        in_background(session.renew_claims()),
    ):
        await until(note.exists)
        note.unlink()
        await until(note.exists)
    await runs.wait_on(900)
    assert (await runs.state()).is_awaited
    await runs.wait_on(0)
    assert not (await runs.state()).is_awaited


async def test_the_next_training_ends_what_is_left_of_a_lease(cluster: TestCluster, remote: ClusterConnection) -> None:
    await train(remote, "true", linger=4)
    await DriverRuns(remote).renew(3600)
    await asyncio.sleep(1.5)  # the guard has seen it
    await train(remote, "true", linger=1)
    await goes_off(cluster)


async def test_a_follower_that_is_suspended_does_not_keep_the_driver_on(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    run = await train(remote, "head -c 3000000 /dev/zero | tr '\\0' '\\n'", linger=4)
    follower = subprocess.Popen(
        ["/bin/bash", "-c", f"{program()}\nfollow {run} 0"],
        env={"HOME": str(cluster.driver.home), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await goes_off(cluster)  # its output is not read: the pipe is full
        assert follower.poll() is None
    finally:
        os.killpg(follower.pid, signal.SIGKILL)
        follower.communicate()


async def test_a_follower_that_takes_the_log_slowly_keeps_the_driver_on(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    run = await train(remote, "yes 'many words about little' | head -c 12000000", linger=4)
    await until((cluster.driver.home / ".pio-tf" / "runs" / run / "ended").exists)
    follower = subprocess.Popen(
        ["/bin/bash", "-c", f"{program()}\nfollow {run} 0"],
        env={"HOME": str(cluster.driver.home), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        for _ in range(10):  # a part a second, for much longer than the driver lingers
            await asyncio.to_thread(follower.stdout.read, 1 << 20)  # type: ignore[union-attr]
            await asyncio.sleep(1)
        assert not is_off(cluster)
        await asyncio.to_thread(follower.communicate)
        await goes_off(cluster)
    finally:
        if follower.poll() is None:
            os.killpg(follower.pid, signal.SIGKILL)
            follower.communicate()


async def test_a_driver_without_root_says_so_and_is_free_for_others(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    (cluster.driver.home / "no-root").touch()
    await train(remote, "true")
    problem = cluster.driver.home / ".pio-tf" / "linger.problem"
    await until(problem.exists, within=60)
    linger = (await DriverRuns(remote).state()).linger
    assert linger is not None
    assert (linger.seconds, linger.problem) == (LINGER, "sudo: a password is required")
    await train(remote, "true", linger=0)
    (cluster.driver.home / "no-root").unlink()
    await stays_on(cluster)


async def test_a_driver_that_has_restarted_forgets_it(cluster: TestCluster, remote: ClusterConnection) -> None:
    await train(remote, "true", linger=3)
    (cluster.driver.home / ".pio-tf" / "linger").write_text("1 another-boot\n")
    await stays_on(cluster, seconds=5)
    assert (await DriverRuns(remote).state()).linger is None


async def test_what_an_older_pio_tf_starts_changes_nothing(cluster: TestCluster, remote: ClusterConnection) -> None:
    await train(remote, "true", linger=None)
    await stays_on(cluster)
    assert (await DriverRuns(remote).state()).linger is None
