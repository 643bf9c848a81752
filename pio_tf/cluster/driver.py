"""A cluster's driver, as commands use it: its runs, its lock and its files."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future, InvalidStateError
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from pio_tf.cluster.messages import short, unanswered, warning
from pio_tf.errors import AwsError, ConfigError, Locked, NotReady, PioTfError, RemoteError
from pio_tf.events import Event, Step, Warned
from pio_tf.model import count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager, ExitStack

    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.fleet import Fleet, FleetView
    from pio_tf.cluster.scheduling import Scheduling
    from pio_tf.context import ClusterContext
    from pio_tf.model import Outputs
    from pio_tf.remote.connect import RetryPolicy
    from pio_tf.remote.files import ProvisionedFile
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.driver_session import DriverSession, SessionOpener
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.provisioning import ProvisionedMachine
    from pio_tf.training.runs.bucket_lock import DriverReport
    from pio_tf.training.runs.driver_runs import DriverState
    from pio_tf.training.runs.record import RunRecord
    from pio_tf.training.runs.run_storage import RunStorage

_T = TypeVar("_T")
_STATUS_SECONDS = 5.0
"""How long `status` and `runs` wait for the driver to answer: they show what is, and wait for nothing."""
_STARTS = 3
"""How often a command starts machines again that have powered themselves off. They do it for another reason, then."""
_RELEASE_SECONDS = 5.0
"""How long a command waits until the driver has released its lock. The driver may be gone."""


class Driver(Struct, frozen=True):
    """The driver of one cluster. Each method connects to it, does one thing, and disconnects."""

    context: ClusterContext
    fleet: Fleet
    deadline: Deadline
    storage: RunStorage
    scheduling: Scheduling
    open_session: SessionOpener | None
    """Connects to the driver; None: over SSH."""

    def check_login(self) -> None:
        """Raise ConfigError if this computer cannot log in to any machine."""
        from pio_tf.remote.login import check_login

        _run(check_login(self.context.config))

    def session(
        self,
        view: FleetView,
        work: Callable[[DriverSession], Awaitable[_T]],
        *,
        wait: bool = False,
        retry: RetryPolicy | None = None,
        upload: str = "",
    ) -> _T:
        """Return the result of some work over one connection to the driver.

        Args:
            view: the machines; those that run are worked with.
            wait: first wait until all of these, and Spark, are ready.
            retry: for a driver that should be up already; default: half a minute.
            upload: where logs and records are uploaded; default: ``train.upload``.
        """
        from pio_tf.training.driver_session import QUICK, open_session
        from pio_tf.training.readiness import PoweredOff

        async def connected(view: FleetView) -> _T:
            async with (self.open_session or open_session)(
                self.context,
                self.storage,
                view.running,
                deadline=self.deadline.watch(),
                upload_to=upload or self.context.config.train.upload or "",
                wait=wait,
                retry=retry or QUICK,
                schedule_token=self.scheduling.token if self.context.config.schedule else lambda: "",
            ) as session:
                return await work(session)

        for _ in range(_STARTS):
            try:
                return _run(connected(view))
            except PoweredOff as error:
                self.context.report(Warned(f"{error.what}: starting again"))
            view = self._start_again(view)
        return _run(connected(view))

    def _start_again(self, view: FleetView) -> FleetView:
        """Start those of the running machines that have powered themselves off since. Return all machines."""
        running = {machine.instance_id for machine in view.running}
        now = self.fleet.look(strict=False).machines
        gone = [one for one in now if one.instance_id in running and one.powered_itself_off]
        self.fleet.start(gone, workers=0, before_call=self.deadline.arm_again)  # all of them, not `min_workers`
        self.deadline.check_still_armed()
        return view.updated(one for one in self.fleet.look(strict=False).machines if one.instance_id in running)

    @contextlib.contextmanager
    def hold(
        self, view: FleetView, lock: Callable[[DriverSession], AbstractAsyncContextManager[object]]
    ) -> Iterator[None]:
        """Hold the driver's lock while the block runs, over a connection that a thread keeps alive.

        The block may restart or remove the driver. The lock then ends with it, and that is no error.

        Args:
            lock: takes the lock over the connection.

        Raises:
            Locked: another client has it.
            PioTfError: the driver can't be asked.
        """
        taken: Future[Callable[[], object]] = Future()

        async def keep(session: DriverSession) -> None:
            async with lock(session):
                released = asyncio.Event()
                taken.set_result(partial(asyncio.get_running_loop().call_soon_threadsafe, released.set))
                await released.wait()

        def work() -> None:
            try:
                self.session(view, keep)
            except BaseException as error:  # noqa: BLE001 - this command's own thread raises it
                with contextlib.suppress(InvalidStateError):  # the lock was taken; or Ctrl-C has ended the wait for it
                    taken.set_exception(error)

        thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
        thread.start()
        try:
            taken.result()
            yield
        finally:
            if not taken.cancel() and taken.exception() is None:
                with contextlib.suppress(RuntimeError):  # the thread has ended
                    taken.result()()
                thread.join(_RELEASE_SECONDS)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the run lock in S3 while the block runs, if the state is there and this command does not hold it yet.

        Raises:
            Locked: another client has it.
        """
        lock = self.storage.lock
        if lock is None or lock.is_held:
            yield
            return
        try:
            lock.take("")
        except AwsError as error:  # a policy of an older pio-tf, most likely
            self.context.report(Warned(f"could not keep other clients from training meanwhile: {short(error)}"))
        try:
            yield
        finally:
            lock.release()

    def targets(self, outputs: Outputs) -> tuple[SshTarget, ...]:
        """Return the running machines, to connect to."""
        from pio_tf.remote.target import ssh_targets

        view = self.fleet.look(outputs)
        _check_driver_runs(view)
        return ssh_targets(self.context.config, view.running)

    def push(self, outputs: Outputs) -> tuple[ProvisionedFile, ...]:
        """Write the driver's files where they differ. Return each file's state."""
        view, outputs = self.running(outputs)
        sizing = self.fleet.sizing(view.running)
        return self.session(view, lambda session: session.push(outputs, sizing))

    def check(self, outputs: Outputs, *, skip: Sequence[str]) -> tuple[CheckResult, ...]:
        """Check everything that a training needs. Change nothing."""
        view, outputs = self.running(outputs)
        sizing = self.fleet.sizing(view.running)
        return self.session(view, lambda session: session.check(outputs, sizing, skip=skip))

    def rehearse(self, outputs: Outputs) -> None:
        """Configure running machines, and check everything that a training needs."""
        view, outputs = self.running(outputs)
        sizing = self.fleet.sizing(view.running)
        self.session(view, lambda session: session.rehearse(outputs, sizing))

    def provision(self, outputs: Outputs, machine: str, *, rollback: str) -> tuple[ProvisionedMachine, ...]:
        """Prepare running machines as at their first boot, or roll a component back; then write the driver's files."""
        view, outputs = self.running(outputs)
        wanted = self._choose(outputs, [one.name for one in view.running], machine, rollback)
        self.context.report(Step(f"Rolling {rollback} back" if rollback else f"Provisioning {count(wanted)}"))
        done = self.session(view, lambda session: session.provision(outputs, wanted, component=rollback))
        if outputs.driver.name in [one.machine for one in done]:
            sizing = self.fleet.sizing(view.running)
            try:
                self.session(view, lambda session: session.push(outputs, sizing))
            except RemoteError as error:
                self.context.report(unwritten(error))
        return done

    def runs(self, outputs: Outputs | None) -> tuple[RunRecord, ...]:
        """Return every run that the driver, while it runs, or this computer knows; oldest first."""
        view = self.fleet.look(outputs, strict=False) if outputs else None
        if view and view.driver_runs:
            with warning(self.context.report, "showing only the runs that this computer knows"):
                records = self.session(view, lambda session: session.runs(), retry=_at_once(_STATUS_SECONDS))
                self.warn_of_models(records)
                return records
        return self.storage.runs()

    def warn_of_models(self, records: Iterable[RunRecord]) -> None:
        """Warn if the model of the last run failed its checks, and the one before was not put back."""
        from pio_tf.training.custody.custody import not_put_back

        if left := not_put_back(records):
            self.context.report(Warned(left))

    def log(self, outputs: Outputs | None, run: str, on_text: Callable[[str], None], *, follow: bool) -> None:
        """Hand out the lines of a run's log in blocks, from the driver while it runs."""
        view = self.fleet.look(outputs, strict=False)
        if view.driver_runs:
            self.session(view, lambda session: session.log(run, on_text, follow=follow))
        else:
            self.storage.log(self.storage.find(run), on_text)

    def cancel(self, outputs: Outputs, run: str) -> RunRecord:
        """End a run, the active one if ``run`` is empty."""
        view, _ = self.running(outputs, strict=False)
        return self.session(view, lambda session: session.cancel(run))

    def state(self, view: FleetView) -> DriverState:
        """Return the driver's runs, and the holder of its lock."""
        return self.session(view, lambda session: session.state())

    def refuse_active(self, view: FleetView, doing: str) -> None:
        """Raise Locked if a run is active, and RemoteError if the driver can't be asked."""
        self.session(view, lambda session: session.refuse_active(doing))

    def prepare_stop(
        self,
        view: FleetView,
        *,
        force: bool,
        own_run: str = "",
        driver_may_have_run: bool | None = True,
        timeout: float | None = None,
        held: ExitStack | None = None,
    ) -> None:
        """Make sure that stopping these machines cuts off no run, and that none begins.

        Args:
            force: end a run that is active, and do without a driver that does not answer.
            own_run: a run to end if it is active.
            driver_may_have_run: whether a driver that does not answer may have a run. None: it has none if this command
                took it out of ``stopped``, and no other client has taken the machines since.
            timeout: seconds for the driver to answer; None: as long as usual.
            held: holds the driver's lock until it is closed; None: the driver itself holds it until its power is off.

        Raises:
            Locked: a run is active, or being prepared.
            MachinesMayBeRunning: the driver runs and does not answer, or another client has started it.
        """
        if self.storage.lock:
            try:
                self.storage.lock.before_stopping(force=force)
            except AwsError as error:  # machines must stop whatever is wrong with a bucket
                self.context.report(Warned(f"could not check whether another client starts a run: {short(error)}"))
        if not view.driver_runs:
            if driver_may_have_run is None and not force and not self._is_own(view):
                starting = NotReady("the driver is starting", cause="another client has started it", next_step="wait")
                raise unanswered(self.context.config, view.not_stopped, starting)
            return
        try:
            if held is not None:
                held.enter_context(self.hold(view, lambda session: session.hold_for_removal()))
                return
            self.session(
                view,
                lambda session: session.prepare_stop(force=force, own_run=own_run, timeout=timeout),
                retry=None if timeout is None else _at_once(timeout),
            )
        except Locked:
            raise
        except PioTfError as error:
            if driver_may_have_run is None:
                driver_may_have_run = not self._is_own(view)
            if not force and driver_may_have_run and not self.has_gone_off(view):
                raise unanswered(self.context.config, view.not_stopped, error) from error
            self.context.report(Warned(f"could not ask the driver for runs: {short(error)}"))

    def has_gone_off(self, view: FleetView) -> bool:
        """Return whether the driver has gone off since it was seen, as it does some time after a run."""
        drivers = {machine.instance_id for machine in view.running if machine.role == "driver"}
        try:
            now = self.fleet.look(strict=False)
        except AwsError:
            return False
        return drivers <= {machine.instance_id for machine in now.machines if not machine.is_on}

    def _is_own(self, view: FleetView) -> bool:
        """Return whether only this command can have a run on the driver."""
        held = self.storage.lock is not None and self.storage.lock.is_held
        return self.fleet.has_taken_driver(view) and (held or self.deadline.is_unchanged())

    def report(self) -> DriverReport:
        """Return what decides whether another client's claim is stale."""
        from pio_tf.training.runs.bucket_lock import DriverReport

        view = self.fleet.look()
        if view.driver_runs:
            try:
                state = self.state(view)
            except PioTfError as error:
                return DriverReport("on", silent=short(error))
            return DriverReport("on", state.holder, {run.id: run.state for run in state.runs})
        changing = any(machine.state in ("pending", "stopping") for machine in view.machines)
        return DriverReport("changing" if changing else "off")

    def ask_spark(self, view: FleetView) -> tuple[frozenset[str] | None, DriverState | None]:
        """Return the private addresses of the workers that Spark has ALIVE, and the driver's state.

        None: they can't be asked.
        """
        machines = {machine.role: machine for machine in view.running}

        async def ask() -> tuple[frozenset[str] | None, DriverState]:
            from pio_tf.machines.console import host_keys_from_console
            from pio_tf.remote.ssh import ClusterConnection
            from pio_tf.remote.target import ssh_targets
            from pio_tf.training.runs.driver_runs import DriverRuns
            from pio_tf.training.spark_pages import spark_status

            config = self.context.config
            targets = ssh_targets(config, (machines["driver"],))

            def warn(event: Event) -> None:
                if isinstance(event, Warned):
                    self.context.report(event)

            connection = ClusterConnection(
                config,
                targets,
                reporter=warn,
                retry=_at_once(_STATUS_SECONDS),
                console_keys=partial(host_keys_from_console, self.context.ec2),
                attended=self.context.attended,
            )
            async with connection:
                master, port = machines["master"].private_ip, config.spark.master_ui_port
                alive: frozenset[str] | None = None
                state, spark = await asyncio.gather(
                    DriverRuns(connection).state(),
                    spark_status(connection, master=master, port=port),
                    return_exceptions=True,
                )
                if isinstance(state, BaseException):
                    raise state
                with warning(self.context.report, "could not ask Spark for its workers"):
                    if isinstance(spark, BaseException):
                        raise spark
                    alive = frozenset(spark.alive)
                return alive, state

        if "driver" in machines and "master" in machines:
            # An unusable SSH key is a warning, too: in any case, `status` shows which machines run and are billed.
            with warning(self.context.report, "could not ask Spark for its workers"):
                return _run(ask())
        return None, None

    def running(self, outputs: Outputs, *, strict: bool = True) -> tuple[FleetView, Outputs]:
        """Return the machines; and the outputs, without workers that do not run if enough of them do.

        Args:
            strict: False accepts the machines that exist, for a run that has begun.
        """
        view = self.fleet.own(self.fleet.look(outputs, strict=strict))
        _check_driver_runs(view)
        fewer = view.at_work(outputs)
        enough = len(fewer.workers) >= (self.context.config.spark.min_workers or len(outputs.workers))
        return view, fewer if enough else outputs

    def _choose(self, outputs: Outputs, running: Sequence[str], machine: str, component: str) -> list[str]:
        """Return the names of the machines to provision."""
        from pio_tf.config.components import components
        from pio_tf.infra.bootstrap import FOR_SPARK

        names = [one.name for one in outputs.machines]
        if machine and machine not in names:
            raise ConfigError(f"there is no machine {machine!r}", next_step=f"choose one of {', '.join(names)}")
        known = [one.name for one in components(self.context.config)]
        if component and component not in known:
            raise ConfigError(f"there is no component {component!r}", next_step=f"choose one of {', '.join(known)}")
        if component and component not in FOR_SPARK:
            if machine and machine != outputs.driver.name:
                step = f"pio-tf provision driver --rollback {component}"
                raise ConfigError(f"only the driver has {component}, not {machine}", next_step=step)
            return [outputs.driver.name]
        if machine and machine not in running:
            raise NotReady(f"{machine} does not run", next_step="pio-tf up")
        return [machine] if machine else [name for name in names if name in running]


def unwritten(error: BaseException) -> Warned:
    """Return a warning if PredictionIO is not installed on the driver yet, so that its files cannot be written.

    Raise any other error.
    """
    if not isinstance(error, RemoteError) or error.details.get("kind") != "write":
        raise error
    return Warned(f"the driver is not configured yet: {error}\nthen:  pio-tf config push")


def _run(work: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine to its end: the only place where a cluster enters asyncio."""
    return asyncio.run(work)


def _check_driver_runs(view: FleetView) -> None:
    driver = next((machine for machine in view.machines if machine.role == "driver"), None)
    if driver is None or driver.state != "running":
        raise NotReady(f"the driver is {driver.state if driver else 'gone'}", next_step="pio-tf up")


def _at_once(seconds: float) -> RetryPolicy:
    """Return limits for a driver that has to answer within some seconds."""
    from pio_tf.remote.connect import RetryPolicy

    return RetryPolicy(timeout=seconds, denied=0.0, attempt=seconds)
