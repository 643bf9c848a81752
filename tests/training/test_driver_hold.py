"""The driver's lock while Terraform changes or removes machines, over real SSH: a thread holds it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

import pytest

from pio_tf.cluster.fleet import FleetView
from pio_tf.cluster.objects import ClusterObjects
from pio_tf.errors import Locked
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client
from tests.support.session import context_of
from tests.support.ssh_cluster import QUICK, TestCluster, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pio_tf.cluster.driver import Driver
    from pio_tf.config.schema import Config
    from pio_tf.training.driver_session import DriverSession, SessionOpener

BOB = Client("bob", "laptop", 17, "2026-11-23T18:00:00Z")
RUN = "20261123T020000Z-3f9c"


def driver_of(config: Config, open_session: SessionOpener | None = None) -> Driver:
    return ClusterObjects(context_of(config), open_session).driver


def view_of(cluster: TestCluster) -> FleetView:
    return FleetView(tuple(map(running, cluster.targets())), datetime.now(timezone.utc))


@pytest.fixture
async def other(cluster: TestCluster) -> AsyncIterator[ClusterConnection]:
    """Another client's connection. The driver's host key is pinned from here on."""
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield remote


async def take(cluster: TestCluster, held: ExitStack, *, removal: bool = False) -> None:
    """Take the lock as an apply does, or as a destruction does."""

    def lock(session: DriverSession) -> Any:  # noqa: ANN401 - a context manager of either
        return session.hold_for_removal() if removal else session.hold_for_change()

    await asyncio.to_thread(held.enter_context, driver_of(cluster.config()).hold(view_of(cluster), lock))


@pytest.mark.parametrize(("removal", "why"), [(False, "the machines are being changed by"), (True, "being stopped by")])
async def test_no_run_begins_while_machines_change_or_go(
    cluster: TestCluster, other: ClusterConnection, *, removal: bool, why: str
) -> None:
    held = ExitStack()
    await take(cluster, held, removal=removal)
    with pytest.raises(Locked, match=why):
        async with hold_driver_lock(other, BOB, doing="preparing", run=RUN):
            pass
    await asyncio.to_thread(held.close)
    async with hold_driver_lock(other, BOB, doing="preparing", run=RUN):
        pass


@pytest.mark.parametrize("removal", [False, True])
async def test_no_machine_changes_or_goes_while_a_run_is_prepared(
    cluster: TestCluster, other: ClusterConnection, *, removal: bool
) -> None:
    async with hold_driver_lock(other, BOB, doing="preparing", run=RUN):
        with pytest.raises(Locked, match=f"run {RUN} is being prepared by bob"):
            await take(cluster, ExitStack(), removal=removal)


async def test_a_removal_need_not_wait_for_a_client_that_stops_the_machines(
    cluster: TestCluster, other: ClusterConnection
) -> None:
    async with hold_driver_lock(other, BOB, doing="stopping"):
        held = ExitStack()
        await take(cluster, held, removal=True)
        await asyncio.to_thread(held.close)


@pytest.mark.usefixtures("other")
async def test_a_change_that_restarts_the_driver_ends_the_lock_without_an_error(cluster: TestCluster) -> None:
    held = ExitStack()
    await take(cluster, held)
    await cluster.driver.stop()
    began = time.monotonic()
    await asyncio.to_thread(held.close)
    assert time.monotonic() - began < 3


def test_ctrl_c_ends_the_wait_for_the_lock_which_is_then_released(tmp_path: Path) -> None:
    calls, answers = list[str](), threading.Event()

    @asynccontextmanager
    async def late(*_setup: object, **_how: object) -> AsyncIterator[DriverSession]:
        await asyncio.to_thread(answers.wait, 10)
        yield cast("DriverSession", None)

    @asynccontextmanager
    async def lock(_session: DriverSession) -> AsyncIterator[None]:
        calls.append("taken")
        try:
            yield
        finally:
            calls.append("released")

    cluster = TestCluster(tmp_path, 22, {})
    driver = driver_of(cluster.config(), late)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), driver.hold(FleetView((), datetime.now(timezone.utc)), lock):
        pytest.fail("the lock was not taken")
    answers.set()
    for _ in range(100):
        if "released" not in calls:
            time.sleep(0.05)
    assert calls == ["taken", "released"]
