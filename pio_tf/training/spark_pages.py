"""Spark's own pages: the workers and applications of its master, and the progress of a training.

`pio status` looks at neither the master nor its workers. pio-tf asks for the master's JSON and the REST API of the
Spark driver's page, through the driver machine, the one that must reach the master.

Spark's documentation names the paths and the states that they filter by
(https://spark.apache.org/docs/3.5.5/monitoring.html#rest-api); the fields are the same in Spark 2.1 to 3.5. For the
progress, pio-tf asks one question at a time, and no answer can fail a training.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.errors import RemoteError
from pio_tf.events import TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pio_tf.events import Reporter
    from pio_tf.remote.ssh import ClusterConnection

CLOCKS_DIFFER = 60.0
"""Seconds by which the clocks of driver and master may differ."""


LONGEST_PAUSE = 10.0
"""Seconds between two looks while nothing answers."""
TIMEOUT = 5.0
"""Seconds for one answer. A driver that is collecting garbage answers the next time, or the one after."""
SELDOM = 5.0
"""Seconds between two questions for the executors: some 1.2 KiB for each of them, and they change little."""
PORTS = 4
"""Ports that pio-tf looks at: Spark takes the next one if one is taken."""
_API = "/api/v1/applications"
_APPLICATION_ID = re.compile(r"[\w.-]+", re.ASCII)
_LARGEST = 2**31 - 1  # Spark's counts are Java's int
_LONGEST_NAME = 200
_UNKNOWN = TrainingProgress("", 0.0)


class SparkWorker(Struct, frozen=True):
    """A worker in the master's list."""

    host: str
    state: str
    """Spark's word: ALIVE, DEAD, DECOMMISSIONED, UNKNOWN."""
    cores: int
    memory_mib: int
    cores_used: int
    memory_used_mib: int

    @property
    def free_cores(self) -> int:
        """Cores that no executor holds."""
        return self.cores - self.cores_used

    @property
    def free_mib(self) -> int:
        """Memory that no executor holds, MiB."""
        return self.memory_mib - self.memory_used_mib


class SparkApplication(Struct, frozen=True):
    """An application that runs, or waits for workers."""

    id: str
    name: str
    started: float
    """Seconds since 1970, by the master's clock."""


class SparkStatus(Struct, frozen=True):
    """The answer of Spark's master."""

    url: str
    workers: tuple[SparkWorker, ...]
    applications: tuple[SparkApplication, ...]

    @property
    def alive(self) -> dict[str, SparkWorker]:
        """ALIVE workers by address. The list may hold a restarted worker twice, the second time as DEAD."""
        return {worker.host: worker for worker in self.workers if worker.state == "ALIVE"}

    @property
    def cores(self) -> int:
        """Cores of the ALIVE workers."""
        return sum(worker.cores for worker in self.workers if worker.state == "ALIVE")

    @property
    def memory_mib(self) -> int:
        """Memory that the ALIVE workers offer to executors, MiB."""
        return sum(worker.memory_mib for worker in self.workers if worker.state == "ALIVE")

    def states(self, hosts: dict[str, str]) -> str:
        """Return the state of each worker, for an error.

        Args:
            hosts: name by address.
        """
        states = {worker.host: worker.state for worker in self.workers}
        return ", ".join(f"{name} ({host}): {states.get(host, 'never seen')}" for host, name in hosts.items())


class NotSparkMaster(RemoteError):
    """Another program answers at the port of the master's web page."""


async def spark_status(remote: ClusterConnection, *, master: str, port: int, timeout: float = 5.0) -> SparkStatus:
    """Ask the master at its private address ``master``, through the driver, within ``timeout`` seconds.

    Raises:
        RemoteError: the master does not answer (``details["kind"]``: "http").
        NotSparkMaster: another program does.
    """
    raw = await remote.http_get_json(master, port, "/json/", timeout=timeout)
    try:
        return SparkStatus(
            url=str(raw["url"]),
            workers=tuple(_worker(item) for item in raw["workers"]),
            applications=tuple(
                SparkApplication(str(app.get("id", "")), str(app["name"]), float(app.get("starttime", 0)) / 1000)
                for app in raw.get("activeapps", ())
            ),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NotSparkMaster(
            f"the program at http://{master}:{port}/json/ is not a Spark master",
            cause=f"{type(error).__name__}: {error}",
            next_step="check spark.master_ui_port, and which program listens there",
            details={"kind": "http"},
        ) from error


async def active_applications(
    remote: ClusterConnection, *, master: str, port: int, since: float, timeout: float = 5.0
) -> tuple[str, ...]:
    """Return the names of the applications that began after ``since`` (seconds since 1970, by the driver's clock).

    Raises what :func:`spark_status` does.
    """
    status = await spark_status(remote, master=master, port=port, timeout=timeout)
    return tuple(f"{app.name} ({app.id})" for app in status.applications if app.started > since - CLOCKS_DIFFER)


def _worker(raw: Any) -> SparkWorker:  # noqa: ANN401 - a part of Spark's JSON
    return SparkWorker(
        host=str(raw["host"]),
        state=str(raw["state"]),
        cores=int(raw["cores"]),
        memory_mib=int(raw["memory"]),
        cores_used=int(raw.get("coresused", 0)),
        memory_used_mib=int(raw.get("memoryused", 0)),
    )


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
    """Report progress until cancelled: at once, at every change of a count, and every ``heartbeat`` seconds.

    If Spark is slow, silent or answers nonsense, pio-tf asks again later, less often. Jobs are those that Spark has
    started so far; stages are those of the running jobs.

    Args:
        run: the run's id, for the events.
        started: the training's start by ``clock``, in seconds since 1970.
        ui_port: the first port of the Spark driver's page (``spark.ui.port``), at ``driver_ip``.
        deadline: returns the deadline for each event.
        interval: seconds between two looks while Spark answers; more if its answers take long.
    """
    loop = asyncio.get_running_loop()
    spark = _Spark(remote, driver_ip=driver_ip, ui_port=ui_port, master_ip=master_ip, master_ui_port=master_ui_port)
    counts = _UNKNOWN
    pause = interval

    def report() -> float:
        elapsed = max(0.0, clock() - started)
        reporter(replace(counts, run=run, elapsed_seconds=elapsed, deadline=deadline()))
        return loop.time() + heartbeat

    next_report = report()
    while True:
        began = loop.time()
        # A task of its own: a slow look delays neither an event nor the cancellation.
        look = asyncio.ensure_future(spark.look())
        try:
            while not (await asyncio.wait({look}, timeout=max(0.0, next_report - loop.time())))[0]:
                next_report = report()
        finally:
            look.cancel()
        seen = look.result()
        if seen != counts or loop.time() >= next_report:
            counts = seen
            next_report = report()
        pause = max(interval, 3 * (loop.time() - began)) if spark.answers else 1.5 * pause
        pause = min(pause, max(interval, LONGEST_PAUSE))
        await asyncio.sleep(pause)


class _Spark:
    """The application of a training: found among the pages on the driver."""

    def __init__(
        self, remote: ClusterConnection, *, driver_ip: str, ui_port: int, master_ip: str, master_ui_port: int
    ) -> None:
        self._remote = remote
        self._driver_ip = driver_ip
        self._ports = range(ui_port, ui_port + PORTS)
        self._master_ip, self._master_ui_port = master_ip, master_ui_port
        self._application: _Application | None = None
        self._on_master: frozenset[str] = frozenset()
        self._counts = _UNKNOWN
        self.answers = False
        """True if another look soon is worth it."""

    async def look(self) -> TrainingProgress:
        """Return the counts: unknown before the application begins and after it has ended.

        While its page does not answer, they stay as they were.
        """
        known = self._application
        if known is not None and (counts := await known.look()):
            self.answers, self._counts = True, counts
            return counts
        master = await self._ask_master()
        names, executors = master or (frozenset(), 0)
        before, self._on_master = self._on_master, names
        application = await self._find(names & before if master else None)
        if application is not None and (counts := await application.look()):
            self.answers, self._counts, self._application = True, counts, application
        elif master is None:
            self.answers = False
        else:
            self.answers = not names & before
            if known is None or known.name not in names:
                self._application = None
                self._counts = replace(_UNKNOWN, executors=executors if names else None)
        return self._counts

    async def _ask_master(self) -> tuple[frozenset[str], int] | None:
        """Return the ids of the master's applications, and the number of workers with cores in use.

        Each such worker has one executor, as pio-tf sizes them. Return None if the master does not answer.
        """
        try:
            status = await spark_status(
                self._remote, master=self._master_ip, port=self._master_ui_port, timeout=TIMEOUT
            )
        except Exception:  # noqa: BLE001 - a display must not end a training
            return None
        ids = frozenset(app.id for app in status.applications if _APPLICATION_ID.fullmatch(app.id))
        return ids, sum(worker.state == "ALIVE" and worker.cores_used > 0 for worker in status.workers)

    async def _find(self, names: frozenset[str] | None) -> _Application | None:
        """Return the newest of these applications with a page on the driver; None: of any. Other programs may be there.

        The names are those that the master had at the last look already: an application whose page is asked for while
        Spark puts it up writes a stack trace into the training's log.
        """
        if names is not None and not names:
            return None
        found: dict[str, int] = {}
        for port in self._ports:
            for item in _objects(await _get_json(self._remote, self._driver_ip, port, _API)):
                name = item.get("id")  # it becomes part of an address
                if isinstance(name, str) and _APPLICATION_ID.fullmatch(name) and (names is None or name in names):
                    found[name] = port
        if not found:
            return None
        newest = max(found)  # app-20260131235959-0007: the master's time and number
        return _Application(self._remote, self._driver_ip, found[newest], newest)


class _Application:
    """One Spark application's page.

    The questions are short however long the training is: only the running jobs and stages. All of them would be
    megabytes: Spark keeps 1000 jobs, each with the numbers of every stage that it builds on.
    """

    def __init__(self, remote: ClusterConnection, host: str, port: int, name: str) -> None:
        self._remote = remote
        self._where = host, port
        self.name = name
        self._jobs = 0
        self._executors: int | None = None
        self._ask_executors_at = 0.0

    async def look(self) -> TrainingProgress | None:
        """Return its counts; None if it does not answer."""
        jobs = await self._list("jobs?status=running")
        stages = await self._list("stages?status=active") if jobs is not None else None
        if jobs is None or stages is None:
            return None
        if not jobs:
            await self._count_ended_jobs()
        await self._count_executors()
        return self._count(jobs, stages)

    async def _count_ended_jobs(self) -> None:
        """Find the number of jobs, which count from 0: one question if there is no further one, else a few."""
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

    def _count(self, jobs: list[dict[str, Any]], stages: list[dict[str, Any]]) -> TrainingProgress:
        running = [job for job in jobs if job.get("status") == "RUNNING"]
        self._jobs = max([self._jobs, *(_number(job, "jobId") + 1 for job in jobs)])
        first = min(stages, key=lambda stage: _number(stage, "stageId"), default={})
        return replace(
            _UNKNOWN,
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
    """Return the answer; None if there is none."""
    try:
        return await remote.http_get_json(host, port, path, timeout=TIMEOUT)
    except Exception:  # noqa: BLE001 - a display must not end a training
        return None


def _objects(raw: object) -> list[dict[str, Any]]:
    return [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []


def _number(item: dict[str, Any], name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) and 0 <= value <= _LARGEST else 0


def _length(raw: object) -> int:
    return len(raw) if isinstance(raw, list) else 0
