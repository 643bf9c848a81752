"""The live view of a training: Spark's pages asked through the driver's SSH connection."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from pio_tf.events import Event, TrainingProgress
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.spark_pages import PORTS, SELDOM, TIMEOUT, watch
from tests.support.background import until
from tests.support.spark_pages import DRIVER, MASTER, Application, executor, job, master, pages, stage
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.ssh_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

OURS = "app-20260131100000-0003"
DEADLINE = datetime(2026, 1, 31, 14, tzinfo=timezone.utc)
OK = b"HTTP/1.1 200 OK\r\n\r\n"
NONSENSE = {
    "html": OK + b"<html>",
    "object": OK + b"{}",
    "ids": OK + b'[1, null, {}, {"id": "../x y\\r\\n"}]',
    "deep": OK + b"[" * 100_000,
    "numbers": OK + b'[{"id": "app-1", "jobId": -1, "status": "RUNNING", "stageIds": 7, "name": [1]}]',
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:4440/\r\n\r\n",
    "bytes": b"\xff\xfe",
}


class Watched:
    """A watch that runs, and what it has told."""

    def __init__(self, events: list[TrainingProgress], task: asyncio.Task[None]) -> None:
        self.events = events
        self.task = task

    async def until(self, holds: Callable[[TrainingProgress], bool]) -> TrainingProgress:
        """Return the first event from now on, or the last one before, that fits."""
        await until(lambda: self.task.done() or bool(self.events and holds(self.events[-1])))
        assert not self.task.done()
        return self.events[-1]


@asynccontextmanager
async def watched(
    cluster: TestCluster, *, ui_port: int, master_port: int, interval: float = 0.02, heartbeat: float = 30.0
) -> AsyncIterator[Watched]:
    events: list[TrainingProgress] = []

    def keep(event: Event) -> None:
        assert isinstance(event, TrainingProgress)
        events.append(event)

    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        task = asyncio.ensure_future(
            watch(
                remote,
                run="run-7",
                started=1000.0,
                driver_ip=DRIVER,
                ui_port=ui_port,
                master_ip=MASTER,
                master_ui_port=master_port,
                deadline=lambda: DEADLINE,
                reporter=keep,
                interval=interval,
                heartbeat=heartbeat,
                clock=lambda: 1075.0,
            )
        )
        try:
            yield Watched(events, task)
        finally:
            began = time.monotonic()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert time.monotonic() - began < TIMEOUT / 2


def ui_ports() -> int:
    """Return the first of the free ports in a row that the progress looks at."""
    return free_port((DRIVER, MASTER))


@pytest.fixture
def ours() -> Application:
    """Return our application: jobs 0 and 1 have ended, 2 runs: one of its three stages has ended, two are active."""
    return Application(
        OURS,
        jobs=[job(2, stages=(3, 4, 5), stages_done=1), job(1, "SUCCEEDED"), job(0, "FAILED")],
        stages=[
            stage(5, tasks=10, done=1),
            stage(4, name="collect at\nURAlgorithm.scala:12", tasks=20, done=7),
            stage(3, "COMPLETE", done=20),
        ],
        executors=[executor("driver"), executor("0"), executor("1"), executor("2", active=False)],
    )


async def test_what_spark_counts_is_told(cluster: TestCluster, ours: Application) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(OURS, busy=2)
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            told = await view.until(lambda event: event.jobs is not None)
    assert told == TrainingProgress(
        run="run-7",
        elapsed_seconds=75.0,
        deadline=DEADLINE,
        jobs_done=2,
        jobs=3,
        stages_done=1,
        stages=3,
        tasks_done=8,
        tasks=30,
        stage="collect at URAlgorithm.scala:12",
        executors=2,
    )
    assert view.events[0] == TrainingProgress("run-7", 75.0, DEADLINE)
    assert {(DRIVER, ui_port), (MASTER, master_port)} <= set(cluster.driver.forwarded)


async def test_only_what_runs_is_asked_for_however_many_jobs_there_were(
    cluster: TestCluster, ours: Application
) -> None:
    ours.jobs = [job(number, "SUCCEEDED") for number in range(777)]
    ours.stages = []
    began = time.monotonic()
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(OURS)
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            told = await view.until(lambda event: event.jobs is not None)
            assert (told.jobs_done, told.jobs, told.stages, told.tasks, told.stage) == (777, 777, None, None, "")
            first = len(ui.asked)
            ours.jobs += [job(777, "SUCCEEDED"), job(778, "SUCCEEDED")]
            await view.until(lambda event: event.jobs == 779)
    whole = f"/api/v1/applications/{OURS}"
    assert not {f"{whole}/jobs", f"{whole}/stages", f"{whole}/allexecutors"} & set(ui.asked)
    assert first < 40
    assert ui.asked.count(f"{whole}/executors") <= 1 + (time.monotonic() - began) / SELDOM


async def test_nothing_is_told_while_nothing_changes(cluster: TestCluster, ours: Application) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(OURS)
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            await view.until(lambda event: event.jobs is not None)
            told, asked = len(view.events), len(ui.asked)
            await until(lambda: len(ui.asked) > asked + 3)
            assert len(view.events) == told
            ours.stages[0]["numCompleteTasks"] += 1
            await view.until(lambda event: event.tasks_done == 9)
            assert len(view.events) == told + 1


async def test_a_sign_of_life_is_told_all_the_same(cluster: TestCluster, ours: Application) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(OURS)
        async with watched(cluster, ui_port=ui_port, master_port=master_port, heartbeat=0.1) as view:
            told = await view.until(lambda event: event.jobs is not None)
            first = len(view.events)
            await until(lambda: len(view.events) >= first + 2)
            assert view.events[first:] == [told] * len(view.events[first:])


async def test_an_application_that_appears_late_is_found(cluster: TestCluster, ours: Application) -> None:
    ui_port = ui_ports()
    async with pages(MASTER) as (spark, master_port):
        spark.master = master(idle=2)
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            await until(lambda: len(spark.asked) > 2)
            assert view.events == [TrainingProgress("run-7", 75.0, DEADLINE)]
            assert (DRIVER, ui_port) not in cluster.driver.forwarded
            spark.master = master(OURS, busy=2, idle=1, dead=1)
            told = await view.until(lambda event: event.executors == 2)
            assert told.jobs is None
            async with pages(DRIVER, ui_port) as (ui, _):
                ui.application = ours
                await view.until(lambda event: event.jobs == 3)


async def test_a_page_is_left_alone_while_spark_may_still_put_it_up(cluster: TestCluster, ours: Application) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(idle=2)
        asked = ui.asked = spark.asked
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            await until(lambda: bool(asked))
            before, spark.master = len(asked), master(OURS, busy=2)
            await view.until(lambda event: event.jobs == 3)
        assert [event.executors for event in view.events if event.jobs is None] == [None, 2]
        assert asked[before : before + 3] == ["/json/", "/json/", "/api/v1/applications"]
        assert set(asked[:before]) == {"/json/"}


async def test_after_the_application_has_ended_nothing_is_claimed(cluster: TestCluster, ours: Application) -> None:
    async with pages(MASTER) as (spark, master_port), pages(DRIVER) as (ui, ui_port):
        ui.application, spark.master = ours, master(OURS, busy=2)
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            await view.until(lambda event: event.jobs == 3)
            ui.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
            asked = len(spark.asked)
            await until(lambda: len(spark.asked) > asked + 1)
            assert view.events[-1].jobs == 3  # the master still has it
            spark.master = master(idle=2)
            told = await view.until(lambda event: event.jobs is None)
            assert (told.executors, told.stage) == (None, "")


def ports_in_a_row(count: int) -> int:
    """Return the first of this many free ports in a row. They are not those that the system gives to connections."""
    for first in range(20000, 30000, count):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server((DRIVER, port)))
            return first
    raise AssertionError("no free ports")


async def test_another_program_that_has_taken_the_port_is_not_the_training(
    cluster: TestCluster, ours: Application
) -> None:
    ui_port = ports_in_a_row(3)
    async with pages(DRIVER, ui_port) as (other, _), pages(MASTER) as (spark, master_port):
        other.application = Application("local-1769853600000", jobs=[job(90)])
        spark.master = master(OURS, "app-20260131090000-0001")
        async with pages(DRIVER, ui_port + 1) as (ui, _), pages(DRIVER, ui_port + 2) as (older, _):
            ui.application = ours
            older.application = Application("app-20260131090000-0001", jobs=[job(50)])
            async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
                told = await view.until(lambda event: event.jobs is not None)
    assert told.jobs == 3
    assert PORTS > 3


async def test_without_the_masters_answer_the_page_alone_will_do(cluster: TestCluster, ours: Application) -> None:
    async with pages(DRIVER) as (ui, ui_port):
        ui.application = ours
        async with watched(cluster, ui_port=ui_port, master_port=free_port((MASTER,))) as view:
            assert (await view.until(lambda event: event.jobs is not None)).jobs == 3


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_ends_nothing(cluster: TestCluster, ours: Application, nonsense: bytes) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(OURS)
        ui.answer = spark.answer = nonsense
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            await until(lambda: len(ui.asked + spark.asked) > 8)
            assert not view.task.done()
            assert all(event.stage in ("", "[1]") for event in view.events)
            ui.answer = spark.answer = b""
            await view.until(lambda event: event.jobs == 3)


async def test_one_that_hangs_holds_up_neither_the_sign_of_life_nor_the_end(cluster: TestCluster) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.answer = spark.answer = None
        async with watched(cluster, ui_port=ui_port, master_port=master_port, heartbeat=0.1) as view:
            await until(lambda: len(view.events) >= 4)
            assert spark.asked == ["/json/"]


async def test_what_does_not_answer_is_asked_less_and_less(cluster: TestCluster) -> None:
    ui_port, master_port = ui_ports(), free_port((MASTER,))
    began = time.monotonic()
    async with watched(cluster, ui_port=ui_port, master_port=master_port, interval=0.1):
        await until(lambda: cluster.driver.forwarded.count((MASTER, master_port)) >= 5)
        assert time.monotonic() - began > 1.2  # 0.15 s, 0.22 s, 0.34 s, 0.51 s apart, not 0.1 s


async def test_a_lost_connection_is_made_again(cluster: TestCluster, ours: Application) -> None:
    async with pages(DRIVER) as (ui, ui_port), pages(MASTER) as (spark, master_port):
        ui.application, spark.master = ours, master(OURS)
        async with watched(cluster, ui_port=ui_port, master_port=master_port) as view:
            await view.until(lambda event: event.jobs == 3)
            cluster.driver.cut()
            ours.jobs.append(job(3))
            await view.until(lambda event: event.jobs == 4)
            assert len(cluster.driver.logins) == 2
            await cluster.driver.stop()
            ours.jobs.append(job(4))
            await asyncio.sleep(0.5)
            assert not view.task.done()
            await cluster.driver.start()
            await view.until(lambda event: event.jobs == 5)
