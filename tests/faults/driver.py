"""The driver without SSH: its lock, its runs, its power.

The stand-in for :class:`pio_tf.training.driver_session.DriverSession` keeps that class's promises: who holds the lock,
what ends with a client and what with the machine. The real one is tested over real SSH in tests/training and
tests/integration.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pio_tf.errors import NotReady, RemoteError, TrainingFailed
from pio_tf.training.driver_session import QUICK
from pio_tf.training.readiness import POWER_SECONDS, PoweredOff
from pio_tf.training.runs.driver_lock import locked_by
from pio_tf.training.runs.driver_runs import DriverState, LockHolder
from pio_tf.training.runs.record import Client as Owner
from pio_tf.training.runs.record import RunRecord
from tests.faults.faults import NO_SSH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine
    from pio_tf.remote.connect import RetryPolicy
    from pio_tf.training.deadline_watch import DeadlineWatch
    from pio_tf.training.driver_session import TrainingRequest
    from tests.faults.client import Client
    from tests.faults.world import World

_UNREACHABLE = ("ssh-unreachable", NO_SSH)
LASTS = 1800.0
"""Seconds of a training."""
HELD_FOR_STOPPING = 300.0
"""How many seconds the driver holds its lock for a client that stops it: as ``hold`` in driver.sh."""


@dataclass
class Run:
    """A training on the driver."""

    id: str
    ends_at: float
    client: str
    state: str = "running"
    began_on: dict[str, str] = field(default_factory=dict)
    """The power of each machine when it began."""
    followed: bool = False
    """Whether its client is connected still: its shell on the driver holds the lock beyond the run's end."""


@dataclass(frozen=True)
class Held:
    """The holder of the lock."""

    doing: str
    run: str
    by: Client | None
    """None: the driver itself, or a run."""


class Driver:
    """The driver itself, with what its disk and its processes know."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.runs: dict[str, Run] = {}
        self.held: Held | None = None
        self.lingers = False
        """Whether it powers itself off once nothing has used it for a while."""
        self._free_since = 0.0
        self._leased_until = 0.0
        self._stopping: tuple[Held | None, float] = (None, 0.0)
        """The last holder that stops the machines, and when it has held the lock for long enough."""

    def power_off(self) -> None:
        """End its processes, and its lock with them."""
        self.held, self.lingers = None, False
        for run in self.runs.values():
            if run.state == "running":
                run.state = "lost"

    def lost(self, client: Client) -> None:
        """Drop the connection of a client that is gone."""
        if self.held is not None and self.held.by is client:
            self.held = None

    def pass_time(self) -> None:
        """Release the lock of a run that has ended."""
        for run in self.runs.values():
            if run.state == "running" and self._world.clock() >= run.ends_at:
                self.end(run, "succeeded")
                self._free_since = run.ends_at
        now = self._world.clock()
        if self.held is not None and self.held.doing == "stopping" and self.held.by is None:
            if self._stopping[0] is not self.held:
                self._stopping = (self.held, now + HELD_FOR_STOPPING)
            elif now >= self._stopping[1]:
                self.held = None  # the power has stayed on
        if self.held is not None:
            self._free_since = now

    def renew(self, seconds: float) -> None:
        """Keep it on for so long: a client waits for Spark."""
        self._leased_until = self._world.clock() + seconds

    def is_left(self) -> bool:
        """Return whether it powers itself off now."""
        unused = self.held is None and self._world.clock() - self._free_since >= self._world.config.train.linger
        return self.lingers and unused and self._world.clock() >= self._leased_until

    def end(self, run: Run, state: str) -> None:
        """End a run."""
        run.state = state
        if not run.followed:
            self.release(run)

    def release(self, run: Run) -> None:
        """Take the lock from a run, if it holds it."""
        if self.held is not None and self.held.doing == "running" and self.held.run == run.id:
            self.held = None


class SessionStandIn:
    """A stand-in for a session with the driver."""

    def __init__(
        self, client: Client, config: Config, machines: Sequence[Machine], deadline: DeadlineWatch | None
    ) -> None:
        self._client = client
        self._config = config
        self._machines = machines
        self._world = client.world
        self._driver = client.world.driver
        self._deadline = deadline

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        client: Client,
        context: ClusterContext,
        _storage: object,
        machines: Sequence[Machine],
        *,
        deadline: DeadlineWatch | None,
        wait: bool,
        retry: RetryPolicy,
        **_upload: object,
    ) -> AsyncIterator[SessionStandIn]:
        """Open a connection to the driver."""
        session = cls(client, context.config, machines, deadline)
        if wait:
            session._wait_until_ready()
        else:
            session._deal(retry.timeout)
        yield session

    async def configure_for_use(self, *_arguments: object) -> None:
        """Write nothing: a stand-in has no files. The machines stay."""
        self._driver.lingers = False

    async def train(
        self, _outputs: object, _sizing: object, order: TrainingRequest, on_start: Callable[[], None]
    ) -> RunRecord:
        """Make a run, from its lock to its end."""
        driver = self._driver
        self._refuse_held()
        driver.held = Held("preparing", order.run, self._client)
        driver.lingers, driver._leased_until = order.stop_after, 0.0
        try:
            self._deal(QUICK.timeout)
            on_start()
            run = driver.runs[order.run] = Run(order.run, self._world.clock() + LASTS, self._client.name)
            run.began_on = self._world.states()
            driver.held = Held("running", order.run, None)
            if order.detach:
                return self._record(order.run, "running")
            run.followed = True
            try:
                return await self._follow(order.run)
            finally:
                run.followed = False
                if run.state != "running":
                    driver.release(run)
                if order.stop_after and not self._client.dead and self._reachable():
                    driver.held = Held("stopping", order.run, None)
        except BaseException:
            if driver.held is not None and driver.held.by is self._client:
                driver.held = None
            raise

    async def prepare_stop(self, *, force: bool = False, own_run: str = "", **_limit: object) -> None:
        """Take the lock before machines stop."""
        driver = self._driver
        if driver.held is not None and driver.held.doing == "stopping":
            return
        if driver.held is not None and not force and driver.held.run != own_run:
            self._refuse_held()
        if driver.held is not None and driver.held.run in driver.runs:
            driver.end(driver.runs[driver.held.run], "cancelled")
        driver.held = Held("stopping", "", None)

    @asynccontextmanager
    async def hold_for_change(self) -> AsyncIterator[None]:
        """Hold the lock while machines change."""
        self._refuse_held()
        self._driver.held = mine = Held("changing", "", self._client)
        try:
            yield
        finally:
            if self._driver.held is mine:  # a restart of the driver has ended it
                self._driver.held = None

    @asynccontextmanager
    async def hold_for_removal(self) -> AsyncIterator[None]:
        """Refuse what would cut off a run. No scenario removes a cluster."""
        await self.refuse_active("removing")
        yield

    async def refuse_active(self, _doing: str) -> None:
        """Refuse what would cut off a run."""
        if self._driver.held is not None and self._driver.held.doing != "stopping":
            self._refuse_held()

    async def state(self) -> DriverState:
        """Return the holder of the lock."""
        held = self._driver.held
        return DriverState((), LockHolder(held.doing, "another client", held.run) if held else None)

    async def _follow(self, name: str) -> RunRecord:
        run = self._driver.runs[name]
        while run.state == "running":
            try:
                fault = self._client.remote_fault()
                self._client.sleep(LASTS / 4)
                if self._deadline is not None:
                    await self._deadline.look()
            except KeyboardInterrupt:
                self._driver.end(run, "cancelled")
                raise
            self._driver.pass_time()
            if fault is not None and fault.kind == "out-of-sight":
                raise RemoteError(
                    "the driver is out of sight",
                    cause="no answer",
                    next_step="pio-tf attach",
                    details={"kind": "out-of-sight"},
                )
            if fault is not None and fault.kind == "training-failed" and run.state == "running":
                self._driver.end(run, "failed")
        if run.state != "succeeded":
            raise TrainingFailed(f"pio train ended: {run.state}", cause="x", next_step="y", details={"run": name})
        return self._record(name, "succeeded")

    def _wait_until_ready(self) -> None:
        fault = self._client.remote_fault()
        limit = float(self._config.cluster.start_timeout)
        self._driver.renew(limit)
        states = self._world.states()
        gone = [machine.name for machine in self._machines if self._world.has_powered_itself_off(machine.name)]
        if gone:
            self._client.sleep(POWER_SECONDS)
            raise PoweredOff(f"{', '.join(gone)} powered off", cause="unused", next_step="try again")
        stopped = [machine.name for machine in self._machines if states[machine.name] != "running"]
        if stopped or (fault is not None and fault.kind in _UNREACHABLE):
            self._client.sleep(limit)
            raise NotReady(
                f"cannot reach {', '.join(stopped) or 'driver'} over SSH", cause="timed out", next_step="look at it"
            )
        self._client.sleep(20.0)
        self._refuse_lost(fault)

    def _deal(self, patience: float) -> None:
        self._driver.pass_time()
        fault = self._client.remote_fault()
        if not self._reachable() or (fault is not None and fault.kind in _UNREACHABLE):
            self._client.sleep(patience)
            raise RemoteError(
                "cannot reach driver over SSH", cause="timed out", next_step="look", details={"kind": "unreachable"}
            )
        self._refuse_lost(fault)

    def _refuse_lost(self, fault: Any) -> None:  # noqa: ANN401
        if fault is not None and fault.kind == "ssh-lost":
            raise RemoteError(
                "the SSH connection to driver was lost",
                cause="reset",
                next_step="again",
                details={"kind": "connection-lost"},
            )

    def _refuse_held(self) -> None:
        self._driver.pass_time()
        held = self._driver.held
        if held is not None:
            raise locked_by(LockHolder(held.doing, held.by.name if held.by else "a run", held.run))

    def _reachable(self) -> bool:
        return self._world.states()["driver"] == "running"

    def _record(self, run: str, state: Any) -> RunRecord:  # noqa: ANN401 - a RunState
        return RunRecord(run, self._config.cluster.name, Owner.here(), "pio train", "/engine", state=state)
