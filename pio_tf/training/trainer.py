"""What is done on the machines of a cluster around its runs, each over one SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pio_tf.errors import Locked, PioTfError, RemoteError
from pio_tf.events import Done, Step, Warned
from pio_tf.pio.command import settings_in_force, train_command
from pio_tf.remote.limit import at_most
from pio_tf.remote.retry import Patience
from pio_tf.training.connection import QUICK
from pio_tf.training.ending import Ending
from pio_tf.training.preflight import build_engine, refuse_failed
from pio_tf.training.redact import Redactor
from pio_tf.training.run import start_run
from pio_tf.training.runs.archive import find_run
from pio_tf.training.runs.known import merge, shared_records
from pio_tf.training.runs.lock import locked_by
from pio_tf.training.runs.on_driver import DriverRuns
from pio_tf.training.runs.record import RunRecord, new_run_id
from pio_tf.training.runs.show import read_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.remote.ssh import Remote
    from pio_tf.training.runs.on_driver import DriverState


@dataclass(frozen=True)
class Order:
    """What a training is asked to do, besides what pio-tf.hcl says."""

    extra: Sequence[str] = ()
    """More spark-submit arguments; they win over ours."""
    build: bool = False
    skip_checks: Sequence[str] = ()
    detach: bool = False
    stop_after: bool = True
    """Whether the machines are stopped once it has ended: nobody else may begin then."""
    run: str = field(default_factory=new_run_id)
    """Its id."""
    absent: tuple[str, ...] = ()
    """Names of workers that take no part: AWS had no capacity for them."""


class Trainer(Ending):
    """Runs on the machines of one cluster."""

    async def train(self, outputs: Outputs, sizing: Sizing, order: Order, on_id: Callable[[str], None]) -> RunRecord:
        """Wait until the cluster is ready, configure and check it, start a run, and see it to its end.

        Args:
            on_id: told the run's id before it starts.

        Raises:
            Locked: another run is active, or being prepared; nothing was changed.
            NotReady: the cluster did not become ready, or a check failed; nothing was started.
            TrainingFailed: the run ended without a model.
            RemoteError: the driver was out of reach for too long (kind "out-of-sight"): the run may go on.
        """
        run = order.run
        async with self._ready() as remote, self._lock(remote, doing="preparing", run=run) as lock:
            record, command = await at_most(None, self._prepare(remote, outputs, sizing, order), remote)
            on_id(run)
            record = await start_run(
                remote,
                lock,
                record,
                command=command,
                redactor=Redactor(self.secrets().values),
                archive=self.archive,
            )
            self.reporter(Step(f"Run {run}: {record.command}"))
            await self._tell(record)
            if order.detach:
                return record
            try:
                return await self._see(remote, run, stop_after=order.stop_after)
            finally:
                if order.stop_after:
                    with contextlib.suppress(RemoteError):  # the connection was lost: `down` takes the lock anew
                        await lock.hold_for_stopping()

    async def _prepare(self, remote: Remote, outputs: Outputs, sizing: Sizing, order: Order) -> tuple[RunRecord, str]:
        """Configure and check the driver. The run's record, and its command."""
        await self._name_machines(remote, outputs)
        await self._push(remote, outputs, sizing)
        if order.build:
            await build_engine(self.config, remote, reporter=self.reporter, secrets=self.secrets().values)
        settings = settings_in_force(self.config, outputs, sizing, extra=order.extra)
        refuse_failed(await self._check(remote, outputs, sizing, settings, order.skip_checks))
        command = train_command(self.config, outputs, sizing, extra=order.extra)
        return await self._record(remote, order.run, command, settings, absent=order.absent), command

    async def find(self, wanted: str) -> str:
        """The id of the run that is meant, the latest if none is named.

        Raises:
            ConfigError: the driver has no such run.
        """
        async with self._connected() as remote:
            return find_run(wanted, await self._known(remote))

    async def attach(self, run: str, *, stop_after: bool = True) -> RunRecord:
        """See a run that goes on, or has ended, to its end. Raises what :meth:`train` does of that.

        Args:
            stop_after: whether the machines are stopped then, for what is said.
        """
        async with self._connected() as remote:
            return await self._see(remote, run, stop_after=stop_after)

    async def refuse_active(self, doing: str) -> None:
        """Refuse to do something that would cut off a run.

        Raises:
            Locked: a run is active, or being prepared.
            RemoteError: the driver cannot be asked.
        """
        async with self._connected() as remote:
            holder = (await DriverRuns(remote).state()).holder
        if holder is not None and holder.doing != "stopping":
            error = locked_by(holder)
            error.what = f"{doing} would cut off a run: {error.what}"
            raise error

    async def state(self) -> DriverState:
        """The driver's runs, and who holds its lock."""
        async with self._connected() as remote:
            return await DriverRuns(remote).state()

    async def runs(self) -> tuple[RunRecord, ...]:
        """The runs that the driver knows, and those that only this computer knows, oldest first."""
        async with self._connected(patience=Patience(timeout=5.0, denied=0.0, attempt=5.0)) as remote:
            theirs = {run.id: run.known() for run in (await DriverRuns(remote).state()).runs}
        return merge(self.archive, theirs, await asyncio.to_thread(self._shared_records))

    async def log(self, wanted: str, on_line: Callable[[str], None], *, follow: bool) -> None:
        """Hand out the lines of a run's log, all of them; ``follow``: until it has ended."""
        async with self._connected() as remote:
            theirs = await self._known(remote)
            kept = merge(self.archive, None, await asyncio.to_thread(self._shared_records))
            run = find_run(wanted, [*theirs, *(record.id for record in kept)])
            if run in theirs:
                await self._finish(remote).copy(run, on_line, once=not follow)
            else:
                await asyncio.to_thread(read_kept, run, self.archive, self.shared, on_line)

    async def cancel(self, wanted: str) -> RunRecord:
        """End a run: its processes on the driver, and so its executors on the workers."""
        async with self._connected() as remote:
            active = [run.id for run in (await DriverRuns(remote).state()).runs if run.state == "running"]
            run = wanted or (active[-1] if active else "")
            run = find_run(run, await self._known(remote))
            if run not in active:
                record = (await DriverRuns(remote).one(run)).known()
                self.reporter(Done(f"run {run} has ended already: {record.state}"))
                return record
            return await self._cancel(remote, run)

    async def let_go(self, *, force: bool = False, own: str = "", within: float | None = None) -> None:
        """Before the machines are stopped: make sure that no run is cut off, and none begins; copy logs and records.

        Args:
            force: cancel a run that is active.
            own: a run that is cancelled if it is still active, though ``force`` is not given.
            within: seconds for all of it; default: as long as it takes.

        Raises:
            Locked: a run is active, or being prepared.
            RemoteError: the driver cannot be asked, or not ``within`` that time.
        """
        patience = QUICK if within is None else Patience(timeout=within, denied=0.0, attempt=within)
        async with self._connected(patience=patience) as remote:
            await at_most(within, self._let_go(remote, force=force, own=own), remote)

    async def _let_go(self, remote: Remote, *, force: bool, own: str) -> None:
        try:
            await self._hold_and_collect(remote)
        except Locked as error:
            run, doing = str(error.details["run"]), error.details["doing"]
            if doing == "stopping":
                return
            if not force and (doing == "provisioning" or run != own):
                raise
            if doing == "running":
                await self._cancel(remote, run)
            else:
                await DriverRuns(remote).release()
            try:
                await self._hold_and_collect(remote)
            except Locked as left:
                if left.details["run"] != own:
                    raise  # else it is ours, and a driver that hardly answers has not let go of it

    async def _hold_and_collect(self, remote: Remote) -> None:
        async with self._lock(remote, doing="stopping") as lock:
            await self._collect(remote)
            await lock.hold_for_stopping()

    async def _tell(self, record: RunRecord) -> None:
        """Let every client know of a run that has begun."""
        if self.shared is not None:
            try:
                await asyncio.to_thread(self.shared.begin, record)
            except PioTfError as error:  # the run goes on, and the driver knows of it
                self.reporter(Warned(f"other clients see run {record.id} on the driver only: {error}"))

    def _shared_records(self) -> tuple[RunRecord, ...]:
        return shared_records(self.shared, self.reporter)

    async def _known(self, remote: Remote) -> tuple[str, ...]:
        return tuple(run.id for run in (await DriverRuns(remote).state()).runs)
