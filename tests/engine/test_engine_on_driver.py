"""The engine's commands as one client runs them: beside other clients, and before a training on AWS's schedule."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.cluster.engine import EngineOnDriver
from pio_tf.cluster.fleet import FleetView
from pio_tf.cluster.objects import ClusterObjects
from pio_tf.config.sizing import Sizing
from pio_tf.errors import ConfigError, Locked
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.driver_session import open_session
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client
from tests.support.builders import OUTPUTS
from tests.support.engine_project import FILES, git, repository, write
from tests.support.session import context_of
from tests.support.ssh_cluster import QUICK, TestCluster, put_first_on_path, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pio_tf.config.schema import Config

BOB = Client("bob", "laptop", 17, "2026-11-23T18:00:00Z")
RUN = "20261123T020000Z-3f9c"
SIZING = Sizing(driver_memory="2g", executor_memory="2g", executor_cores=1, executors=2)
PIO = '#!/bin/sh\nmkdir -p target/scala-2.11 && echo "$*" >target/scala-2.11/ur.jar\n'


def config_of(cluster: TestCluster) -> Config:
    return cluster.config(pio={"engine_dir": "~/engine", "home": "~/pio"})


def engine_of(cluster: TestCluster, *, token: str = "") -> EngineOnDriver:
    """Return the engine of a cluster whose driver EC2 shows as running.

    Args:
        token: of the cluster's schedule; empty: it has none.
    """
    context = context_of(config_of(cluster))
    view = FleetView(tuple(map(running, cluster.targets())), datetime.now(timezone.utc))

    def opener(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of open_session
        return open_session(*arguments, **{**options, "schedule_token": lambda: token})

    session = ClusterObjects(context, opener).driver.session
    fleet: Any = SimpleNamespace(sizing=lambda _machines: SIZING)
    driver: Any = SimpleNamespace(running=lambda outputs: (view, outputs), session=session)
    return EngineOnDriver(context, fleet, driver)


@pytest.fixture
async def other(cluster: TestCluster) -> AsyncIterator[ClusterConnection]:
    """Another client's connection. The driver's host key is pinned from here on."""
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield remote


@pytest.fixture
def sources(cluster: TestCluster) -> Path:
    (write(cluster.driver.home / "pio" / "bin", {"pio": PIO}) / "pio").chmod(0o755)
    return repository(cluster.directory / "my-engine")


@pytest.mark.usefixtures("other")
async def test_a_push_that_builds_leaves_the_commit_to_a_training_on_the_schedule(
    cluster: TestCluster, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_first_on_path("sudo", "#!/bin/sh\ncat >/dev/null\n", cluster.directory, monkeypatch)
    _, log = await asyncio.to_thread(engine_of(cluster, token="t").push, OUTPUTS, sources, build=True)
    assert log is not None
    assert (cluster.driver.home / "engine" / "target" / "scala-2.11" / "ur.jar").read_text() == "build\n"
    record = json.loads((cluster.driver.home / ".pio-tf" / "scheduled" / "record").read_text())
    assert record["engine"]["commit"] == git(sources, "rev-parse", "HEAD")
    assert not record["engine"]["stale_build"]
    assert record["traces"]["engine_factory"] == "com.actionml.RecommendationEngine"


async def test_while_a_run_is_active_the_engine_is_neither_pushed_nor_saved_nor_restored(
    cluster: TestCluster, sources: Path, other: ClusterConnection
) -> None:
    engine = engine_of(cluster)
    await asyncio.to_thread(engine.push, OUTPUTS, sources)
    saved = await asyncio.to_thread(engine.save, OUTPUTS, "")
    write(sources, {"build.sbt": "changed\n"})
    async with hold_driver_lock(other, BOB, doing="preparing", run=RUN):
        for work in (
            lambda: engine.push(OUTPUTS, sources),
            lambda: engine.save(OUTPUTS, ""),
            lambda: engine.restore(OUTPUTS, saved.address, replace=True),
        ):
            with pytest.raises(Locked, match=f"run {RUN} is being prepared by bob"):
                await asyncio.to_thread(work)
        planned, _ = await asyncio.to_thread(lambda: engine.push(OUTPUTS, sources, dry_run=True))
    assert [file.path for file in planned.plan.changed] == ["build.sbt"]
    assert (cluster.driver.home / "engine" / "build.sbt").read_text() == FILES["build.sbt"]
    assert len(list(config_of(cluster).work_dir.glob("engines/*.tar.gz"))) == 1


@pytest.mark.usefixtures("other")
async def test_what_was_saved_last_is_restored_where_nothing_else_is_named(cluster: TestCluster, sources: Path) -> None:
    engine = engine_of(cluster)
    await asyncio.to_thread(engine.push, OUTPUTS, sources)
    saved = await asyncio.to_thread(engine.save, OUTPUTS, "")
    shutil.rmtree(cluster.driver.home / "engine")
    restored = await asyncio.to_thread(engine.restore, OUTPUTS, "")
    assert restored == saved
    assert (cluster.driver.home / "engine" / "build.sbt").read_text() == FILES["build.sbt"]


def test_a_push_of_no_engine_names_the_option_and_the_argument(cluster: TestCluster) -> None:
    with pytest.raises(ConfigError, match="there is no engine to push") as caught:
        engine_of(cluster).push(OUTPUTS, None)
    assert caught.value.cause == "pio-tf.hcl has no pio.engine.source"
