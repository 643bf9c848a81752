"""The checks before a training as a whole: all at once, each within its time, and its output."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, NotReady, RemoteError
from pio_tf.events import Checked
from pio_tf.remote.commands import ENDINGS
from pio_tf.training.preflight import CHECKS, CheckResult, Limits, refuse_failed
from tests.support.background import wait_until
from tests.training.preflight_world import World, accepting, world

if TYPE_CHECKING:
    from tests.support.ssh_cluster import TestCluster

__all__ = ["world"]


async def test_a_cluster_that_is_fit_passes_every_check_in_their_order(world: World) -> None:
    results = await world.check()
    assert {name: result.detail for name, result in results.items() if result.status not in ("ok", "skipped")} == {}
    assert tuple(results) == CHECKS
    assert [name for name, result in results.items() if result.status == "skipped"] == ["model", "jdbc"]
    refuse_failed(results.values())


async def test_each_check_is_reported_as_it_ends_and_pio_status_after_all_others(world: World) -> None:
    results = await world.check()
    checked = [event for event in world.events if isinstance(event, Checked)]
    assert sorted(event.name for event in checked) == sorted(CHECKS)
    assert checked[-1] == Checked("pio-status", "ok", "Your system is all ready to go.")
    assert {event.name: (event.status, event.detail) for event in checked} == {
        name: (result.status, result.detail) for name, result in results.items()
    }


async def test_the_driver_is_asked_three_times_in_all(world: World) -> None:
    await world.check()
    assert len(world.cluster.driver.processes) == 3  # its facts, its time, and pio status


async def test_pio_status_runs_beside_the_other_checks_and_is_ended_once_one_of_them_fails(world: World) -> None:
    world.script("pio/bin/pio", "echo $$ >~/pid; exec sleep 60")
    async with accepting() as silent:
        world.blocks = {"elasticsearch": {"hosts": [f"127.0.0.2:{silent}"]}}
        results = await world.check(limits=Limits(answer=2.0))
    assert results["elasticsearch"].status == "failed"
    assert results["pio-status"].status == "skipped"
    pid = int((world.home / "pid").read_text())
    assert await asyncio.to_thread(wait_until, lambda: not Path(f"/proc/{pid}").exists())


async def test_a_failed_check_leaves_pio_status_out_and_the_error_says_all_that_is_to_do(world: World) -> None:
    (world.home / "engine" / "engine.json").unlink()
    world.workers.pop()
    results = await world.check()
    assert results["pio-status"].status == "skipped"
    assert results["pio-status"].detail == "not waited for, because another check failed"
    with pytest.raises(NotReady) as caught:
        refuse_failed(results.values())
    assert caught.value.exit_code == 5
    assert caught.value.what == "not ready to train, 2 checks failed: spark, engine"
    for name in ("spark", "engine"):
        assert f"{name}: {results[name].detail}" in caught.value.cause
        assert f"{name}: {results[name].next_step}" in caught.value.next_step
    assert "--skip-check spark" in caught.value.next_step


def test_warnings_do_not_refuse_a_training() -> None:
    refuse_failed([CheckResult("disk", "warning", "3 GiB free", "make room"), CheckResult("pio", "ok", "~/pio")])


async def test_a_check_that_is_left_out_is_not_made(world: World) -> None:
    world.cluster.driver.forwarded.clear()
    results = await world.check(skip=["elasticsearch", "hdfs", "zookeeper", "pio-status"])
    assert results["elasticsearch"] == CheckResult("elasticsearch", "skipped", "skipped by --skip-check")
    assert results["spark"].status == "ok"
    assert {port for _, port in world.cluster.driver.forwarded} & {
        world.elasticsearch.port,
        world.name_node,
        world.zookeeper,
    } == set()


async def test_a_name_that_no_check_has_is_refused_with_those_that_there_are(world: World) -> None:
    with pytest.raises(ConfigError) as caught:
        await world.check(skip=["elasticsearch", "elastic"])
    assert caught.value.what == "no check is called elastic"
    assert all(name in caught.value.next_step for name in CHECKS)
    assert world.cluster.driver.processes == []


async def test_services_that_hang_end_as_failed_checks_within_their_time_and_at_once(world: World) -> None:
    async with accepting() as silent, accepting("127.0.0.2") as master:
        world.blocks = {"elasticsearch": {"hosts": [f"127.0.0.2:{silent}"]}, "spark": {"master_ui_port": master}}
        began = time.monotonic()
        results = await world.check(limits=Limits(answer=1.0))
        took = time.monotonic() - began
    assert results["elasticsearch"].status == results["spark"].status == "failed"
    assert results["elasticsearch"].detail.endswith(": no answer within 0.5 s")
    assert results["spark"].detail.endswith(": no answer within 1 s")
    assert took < 30
    assert results["disk"].status == "ok"


async def test_all_checks_end_together_if_everything_hangs(world: World) -> None:
    """Even commands that ignore SIGTERM."""
    world.file(".profile", "trap '' TERM\nwhile :; do sleep 1; done\n")
    async with accepting() as port:
        world.blocks = {
            "elasticsearch": {"hosts": [f"127.0.0.2:{port}"]},
            "spark": {"master_ui_port": port},
        }
        world.name_node = world.zookeeper = port
        began = time.monotonic()
        results = await world.check(limits=Limits(together=1.0))
        took = time.monotonic() - began
    ending = sum(seconds for _, seconds in ENDINGS)
    assert took < 1 + ending + 2
    hung = {name for name, result in results.items() if result.detail.endswith("no answer within 1 s")}
    assert hung == {*CHECKS} - {"model", "jdbc", "clock", "pio-status"}
    assert Limits().together + ending <= 20


async def test_a_driver_that_hangs_fails_what_it_was_asked_for_and_nothing_else(world: World) -> None:
    world.file(".profile", "sleep 60\n")
    began = time.monotonic()
    results = await world.check(limits=Limits(driver=1.0))
    assert time.monotonic() - began < 40
    unanswered = [name for name, one in results.items() if one.detail == "no answer within 1 s"]
    assert {"engine", "built", "disk", "java", "spark-version", "pio"} <= set(unanswered)
    assert results["elasticsearch"].status == results["zookeeper"].status == results["spark"].status == "ok"
    assert "profile" in results["engine"].next_step


async def test_a_profile_that_ends_the_shell_is_told_with_what_it_said(world: World) -> None:
    world.file(".profile", "echo 'no login for you' >&2; exit 3\n")
    results = await world.check()
    assert results["engine"].detail == "the driver did not answer all questions: no login for you"
    assert "~/.profile" in results["engine"].next_step


async def test_a_profile_may_talk(world: World) -> None:
    world.file(".profile", "echo Welcome to Ubuntu; echo 'pio-tf\tengine\tmissing'; export JAVA_HOME=$HOME/java\n")
    assert (await world.check())["engine"].status == "ok"


async def test_a_lost_driver_ends_the_checks_with_an_error(world: World, cluster: TestCluster) -> None:
    world.file(".profile", "sleep 60\n")

    async def cut() -> None:
        while not cluster.driver.processes:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        cluster.driver.cut()

    cutting = asyncio.ensure_future(cut())
    with pytest.raises(RemoteError) as caught:
        await world.check()
    await cutting
    assert caught.value.details["kind"] == "connection-lost"
