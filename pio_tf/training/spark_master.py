"""Spark's master: its workers and applications, as the JSON of its web page lists them.

`pio status` looks at neither the master nor its workers. pio-tf asks through the driver, the machine that must reach
the master.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.errors import RemoteError

if TYPE_CHECKING:
    from pio_tf.remote.ssh import ClusterConnection

CLOCKS_DIFFER = 60.0
"""Seconds by which the clocks of driver and master may differ."""


@dataclass(frozen=True)
class SparkWorker:
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


@dataclass(frozen=True)
class SparkApplication:
    """An application that runs, or waits for workers."""

    id: str
    name: str
    started: float
    """Seconds since 1970, by the master's clock."""


@dataclass(frozen=True)
class SparkStatus:
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
            applications=tuple(_application(item) for item in raw.get("activeapps", ())),
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


def _application(raw: Any) -> SparkApplication:  # noqa: ANN401
    return SparkApplication(str(raw.get("id", "")), str(raw["name"]), float(raw.get("starttime", 0)) / 1000)
