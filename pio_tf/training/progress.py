"""How far a training is, from Spark's own pages: the REST API of its driver's web page, and the master's JSON.

Spark's documentation names the paths and the states that they filter by
(https://spark.apache.org/docs/3.5.5/monitoring.html#rest-api); the fields used here are the same in Spark 2.1 to 3.5.
Everything is asked through the driver machine, one question at a time, and nothing that is asked can fail a training.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.events import TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pio_tf.events import Reporter
    from pio_tf.remote.ssh import ClusterConnection

LONGEST_PAUSE = 10.0
"""Seconds between two looks where nothing answers."""
TIMEOUT = 5.0
"""Seconds for one answer. A driver that is collecting garbage answers the next time, or the one after."""
SELDOM = 5.0
"""Seconds between two questions for the executors: some 1.2 KiB for each of them, and they change little."""
PORTS = 4
"""Spark takes the next port where one is taken: as many are looked at."""
_API = "/api/v1/applications"
_APPLICATION_ID = re.compile(r"[\w.-]+", re.ASCII)
_LARGEST = 2**31 - 1  # Spark's counts are Java's int
_LONGEST_NAME = 200


@dataclass(frozen=True)
class _Counts:
    """The part of :class:`TrainingProgress` that Spark knows."""

    jobs_done: int | None = None
    jobs: int | None = None
    stages_done: int | None = None
    stages: int | None = None
    tasks_done: int | None = None
    tasks: int | None = None
    stage: str = ""
    executors: int | None = None


async def watch(
    remote: ClusterConnection,
    *,
    run: str,
    started: float,
    driver_ip: str,
    ui_port: int,
    master_ip: str,
    master_ui_port: int,
    deadline: Callable[[], datetime | None],
    reporter: Reporter,
    interval: float = 2.0,
    heartbeat: float = 30.0,
    clock: Callable[[], float] = time.time,
) -> None:
    """Report how far a training is until cancelled: at once, whenever a count has changed, and every ``heartbeat``
    seconds. Whatever does not answer, is slow or answers nonsense is asked again later, less often.

    Jobs are those that Spark has started so far; stages are those of the jobs that run.

    Args:
        run: the run's name, for the events.
        started: when the training began, as ``clock`` tells the time (seconds since 1970).
        ui_port: where Spark's driver shows its page first (``spark.ui.port``), at ``driver_ip``.
        deadline: looked at for each event, and passed on in it.
        interval: seconds between two looks while Spark answers; more where its answers take long.
    """
    loop = asyncio.get_running_loop()
    spark = _Spark(remote, driver_ip=driver_ip, ui_port=ui_port, master_ip=master_ip, master_ui_port=master_ui_port)
    counts = _Counts()
    pause = interval

    def tell() -> float:
        reporter(TrainingProgress(run, max(0.0, clock() - started), deadline(), **asdict(counts)))
        return loop.time() + heartbeat

    tell_again = tell()
    while True:
        began = loop.time()
        # A task of its own: so a slow look holds up neither an event nor, whatever it is doing, the cancellation.
        look = asyncio.ensure_future(spark.look())
        try:
            while not (await asyncio.wait({look}, timeout=max(0.0, tell_again - loop.time())))[0]:
                tell_again = tell()
        finally:
            look.cancel()
        seen = look.result()
        if seen != counts or loop.time() >= tell_again:
            counts = seen
            tell_again = tell()
        pause = max(interval, 3 * (loop.time() - began)) if spark.answers else 1.5 * pause
        pause = min(pause, max(interval, LONGEST_PAUSE))
        await asyncio.sleep(pause)


class _Spark:
    """The application of a training: found among the pages on the driver, and asked there."""

    def __init__(
        self, remote: ClusterConnection, *, driver_ip: str, ui_port: int, master_ip: str, master_ui_port: int
    ) -> None:
        self._remote = remote
        self._driver_ip = driver_ip
        self._ports = range(ui_port, ui_port + PORTS)
        self._master_at = master_ip, master_ui_port
        self._application: _Application | None = None
        self._on_master: frozenset[str] = frozenset()
        self._counts = _Counts()
        self.answers = False
        """Whether it is worth asking again soon."""

    async def look(self) -> _Counts:
        """What is known now. Before the application begins and after it has ended: nothing, and while its page does
        not answer, what was known before."""
        known = self._application
        if known is not None and (counts := await known.look()):
            self.answers, self._counts = True, counts
            return counts
        master = await self._ask_master()
        before, self._on_master = self._on_master, master.applications if master else frozenset()
        application = await self._find(self._on_master & before if master else None)
        if application is not None and (counts := await application.look()):
            self.answers, self._counts, self._application = True, counts, application
        elif master is not None:
            self.answers = not self._on_master & before
            if known is None or known.name not in master.applications:
                self._application = None
                self._counts = _Counts(executors=master.executors if master.applications else None)
        else:
            self.answers = False
        return self._counts

    async def _ask_master(self) -> _Master | None:
        raw = await _get_json(self._remote, *self._master_at, "/json/")
        if not isinstance(raw, dict):
            return None
        busy = [
            worker
            for worker in _objects(raw.get("workers"))
            if worker.get("state") == "ALIVE" and _number(worker, "coresused")
        ]
        names = [_application_name(item) for item in _objects(raw.get("activeapps"))]
        return _Master(frozenset(name for name in names if name), executors=len(busy))

    async def _find(self, names: frozenset[str] | None) -> _Application | None:
        """The newest of these applications that have their page on the driver; any that has a page there where the
        master has not said which there are. Other programs of a user's may be there, too.

        The names are those that the master had at the last look already: an application whose page is asked for while
        Spark puts it up writes a stack trace into the training's log.
        """
        if names is not None and not names:
            return None
        found: dict[str, int] = {}
        for port in self._ports:
            for item in _objects(await _get_json(self._remote, self._driver_ip, port, _API)):
                name = _application_name(item)
                if name and (names is None or name in names):
                    found[name] = port
        if not found:
            return None
        newest = max(found)  # app-20260131235959-0007: the master's time and number
        return _Application(self._remote, self._driver_ip, found[newest], newest)


@dataclass(frozen=True)
class _Master:
    """What Spark's master says."""

    applications: frozenset[str]
    """Names of those that run, or wait for workers."""
    executors: int
    """Workers that have given cores away: each has one executor, as pio-tf sizes them."""


class _Application:
    """One Spark application's page.

    What is asked is short however long the training is: only the jobs and stages that run. All of them would be
    megabytes: Spark keeps 1000 jobs, each with the numbers of every stage that it builds on.
    """

    def __init__(self, remote: ClusterConnection, host: str, port: int, name: str) -> None:
        self._remote = remote
        self._where = host, port
        self.name = name
        self._jobs = 0
        self._executors: int | None = None
        self._ask_executors_at = 0.0

    async def look(self) -> _Counts | None:
        """Its counts; None where it does not answer."""
        jobs = await self._list("jobs?status=running")
        stages = await self._list("stages?status=active") if jobs is not None else None
        if jobs is None or stages is None:
            return None
        if not jobs:
            await self._count_ended_jobs()
        await self._count_executors()
        return self._count(jobs, stages)

    async def _count_ended_jobs(self) -> None:
        """Jobs are numbered from 0: one question tells that there is no further one, a few how many there are."""
        step = 1
        while step and self._jobs + step < _LARGEST:
            number = self._jobs + step - 1
            job = await self._get(f"jobs/{number}")
            if isinstance(job, dict) and job.get("jobId") == number:
                self._jobs += step
                step *= 2
            else:
                step //= 2

    async def _count_executors(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._ask_executors_at:
            return
        executors = await self._list("executors")
        if executors is not None:
            self._ask_executors_at = now + SELDOM
            alive = [item for item in executors if item.get("isActive", True) and "driver" not in str(item.get("id"))]
            self._executors = len(alive)

    def _count(self, jobs: list[dict[str, Any]], stages: list[dict[str, Any]]) -> _Counts:
        running = [job for job in jobs if job.get("status") == "RUNNING"]
        self._jobs = max([self._jobs, *(_number(job, "jobId") + 1 for job in jobs)])
        first = min(stages, key=lambda stage: _number(stage, "stageId"), default={})
        return _Counts(
            jobs_done=max(0, self._jobs - len(running)),
            jobs=self._jobs,
            stages_done=sum(_number(job, "numCompletedStages") for job in running) if running else None,
            stages=sum(_length(job.get("stageIds")) for job in running) if running else None,
            tasks_done=sum(_number(stage, "numCompleteTasks") for stage in stages) if stages else None,
            tasks=sum(_number(stage, "numTasks") for stage in stages) if stages else None,
            stage=" ".join(str(first.get("name", "")).split())[:_LONGEST_NAME],
            executors=self._executors,
        )

    async def _list(self, what: str) -> list[dict[str, Any]] | None:
        raw = await self._get(what)
        return _objects(raw) if isinstance(raw, list) else None

    async def _get(self, what: str) -> Any:  # noqa: ANN401 - JSON may be anything
        return await _get_json(self._remote, *self._where, f"{_API}/{self.name}/{what}")


async def _get_json(remote: ClusterConnection, host: str, port: int, path: str) -> Any:  # noqa: ANN401 - JSON may be anything
    """The answer; None where there is none."""
    try:
        return await remote.http_get_json(host, port, path, timeout=TIMEOUT)
    except Exception:  # noqa: BLE001 - whatever it is, a display must not end a training
        return None


def _objects(raw: object) -> list[dict[str, Any]]:
    return [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []


def _number(item: dict[str, Any], name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) and 0 <= value <= _LARGEST else 0


def _length(raw: object) -> int:
    return len(raw) if isinstance(raw, list) else 0


def _application_name(item: dict[str, Any]) -> str:
    """Its id, which becomes part of an address; empty if it is none."""
    name = item.get("id")
    return name if isinstance(name, str) and _APPLICATION_ID.fullmatch(name) else ""
