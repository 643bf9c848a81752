"""One SSH connection to a cluster's driver: its lock, files and checks, its runs, and provisioning."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cached_property, partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from pio_tf.aws.session import aws_errors
from pio_tf.engine.driver_engine import describe_engine
from pio_tf.engine.push import push_engine
from pio_tf.engine.sources import needs_no_build, read_sources
from pio_tf.errors import Locked, NotReady, PioTfError, RemoteError
from pio_tf.events import Done, Step, Warned
from pio_tf.infra.bootstrap import host_name, render_script, settings_for
from pio_tf.machines.console import host_keys_from_console
from pio_tf.machines.session_agent import NOT_CONNECTED, explain_unconnected
from pio_tf.pio.command import settings_in_force, train_command, ui_port
from pio_tf.pio.engine import with_engine
from pio_tf.pio.files import remove_logs, render_files
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.remote.target import ssh_targets
from pio_tf.training.after_run import files_after_run
from pio_tf.training.build import build_engine
from pio_tf.training.custody.custodian import Custodian
from pio_tf.training.custody.order import files_to_keep_model
from pio_tf.training.follow_driver import install_timers
from pio_tf.training.preflight import refuse_failed, run_checks
from pio_tf.training.preflight.probe import variant_path
from pio_tf.training.proof import Evidence
from pio_tf.training.provisioning import ProvisionedMachine, complete_hosts, provision, roll_back
from pio_tf.training.readiness import PoweredOff, diagnose, ready_cluster, while_powered
from pio_tf.training.redact import Redactor
from pio_tf.training.run import RunFollower, start_run
from pio_tf.training.runs.driver_lock import hold_driver_lock, locked_by
from pio_tf.training.runs.driver_runs import DriverRuns, renewing
from pio_tf.training.runs.record import ENDED, Client, RunRecord, new_run_id
from pio_tf.training.runs.run_copies import find_run
from pio_tf.training.scheduled import OWNER, ScheduledTraining, install_schedule, remove_schedule
from pio_tf.training.spark_change import refuse_other_spark
from pio_tf.training.spark_pages import active_applications, watch
from pio_tf.training.spark_secret import SecretChange, apply_change, find_change, read_secret
from pio_tf.training.spark_start import start_spark
from pio_tf.training.spark_usage import files_for_usage, given_to_spark
from pio_tf.version import __version__
from pio_tf.waiting import in_background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import TypeAlias

    from pio_tf.config.sizing import Sizing
    from pio_tf.context import ClusterContext
    from pio_tf.engine.driver_engine import EngineFacts
    from pio_tf.model import Machine, Outputs
    from pio_tf.pio.engine import Engine
    from pio_tf.remote.files import ProvisionedFile
    from pio_tf.training.deadline_watch import DeadlineWatch
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.proof import Traces
    from pio_tf.training.runs.driver_lock import DriverLock
    from pio_tf.training.runs.driver_runs import DriverState
    from pio_tf.training.runs.run_storage import RunStorage

    SessionOpener: TypeAlias = Callable[..., AbstractAsyncContextManager["DriverSession"]]
    """A function with the arguments of :func:`open_session`."""
    FindToken: TypeAlias = Callable[[], str | None]
    """Returns the token of the cluster's schedule; "": it has none; None: AWS could not be asked."""

QUICK = RetryPolicy(timeout=30.0)
"""Retries for machines that should be up: they may be in the middle of a boot, but pio-tf does not wait long."""
EXECUTORS_GONE_SECONDS = 30.0
"""How long a cancelled run's application may stay on Spark's master before that is worth a warning."""


class TrainingRequest(Struct, frozen=True):
    """The user's arguments of one training, besides pio-tf.hcl."""

    extra: Sequence[str] = ()
    """More spark-submit arguments; they win over pio-tf's own."""
    build: bool = False
    skip_checks: Sequence[str] = ()
    detach: bool = False
    stop_after: bool = True
    """True if the machines stop once the run has ended: no other client may begin a run then."""
    run: str = field(default_factory=new_run_id)
    """The run's id."""
    absent: tuple[str, ...] = ()
    """Names of workers that take no part, because AWS had no capacity for them."""
    whole: bool = True
    """False if the user left workers out: the cluster's schedule stays as it is, for all of them."""


@contextlib.asynccontextmanager
async def _explaining_agent(context: ClusterContext, machines: Sequence[Machine]) -> AsyncIterator[None]:
    """Say in an error of the block what keeps the driver's SSM agent from connecting, if that is its cause."""
    try:
        yield
    except (NotReady, RemoteError) as error:
        driver = next((one for one in machines if one.role == "driver"), None)
        if driver is not None and NOT_CONNECTED in error.cause:
            await asyncio.to_thread(explain_unconnected, error, context.aws.client, driver)
        raise


@contextlib.asynccontextmanager
async def open_session(
    context: ClusterContext,
    storage: RunStorage,
    machines: Sequence[Machine],
    *,
    deadline: DeadlineWatch | None = None,
    upload_to: str = "",
    client: Client | None = None,
    wait: bool = False,
    retry: RetryPolicy = QUICK,
    schedule_token: FindToken | None = None,
) -> AsyncIterator[DriverSession]:
    """Connect to the driver while the block runs.

    Args:
        machines: the machines that run, the driver among them.
        deadline: follows the time at which AWS stops the machines; None: no deadline can be set.
        upload_to: where logs and records of ended runs are uploaded, besides where each run says.
        client: holder of locks, starter of runs; default: this process.
        wait: wait until all machines answer and Spark has every worker, for as long as machines make progress
            (``cluster.start_timeout``) and the deadline has not come.
        retry: how long to try to reach the driver otherwise.
        schedule_token: asks AWS for the token of the cluster's schedule, when the driver is configured.

    Raises:
        PoweredOff: machines powered themselves off meanwhile: they follow a training without a client.
        NotReady: the cluster did not become ready in time. The error says how the machines look from outside.
        RemoteError: the driver can't be reached.
    """

    def session(remote: ClusterConnection) -> DriverSession:
        return DriverSession(
            context, storage, machines, remote, deadline, upload_to, client or Client.here(), schedule_token
        )

    config, report = context.config, context.report
    targets = ssh_targets(config, machines)
    console_keys = partial(host_keys_from_console, context.ec2)
    if not wait:
        connection = ClusterConnection(
            config, targets, reporter=report, retry=retry, console_keys=console_keys, attended=context.attended
        )
        async with _explaining_agent(context, machines), connection as remote:
            yield session(remote)
        return
    report(Step("Waiting for SSH and Spark", "1 to 2 minutes; some 10 at a first boot"))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_explaining_agent(context, machines))
        waiting = ready_cluster(
            config,
            targets,
            reporter=report,
            console_keys=console_keys,
            attended=context.attended,
            before_spark=lambda remote: session(remote).before_spark(),
            meanwhile=lambda remote: session(remote).renew_claims(),
        )
        try:
            async with contextlib.AsyncExitStack() as beside:
                if deadline is not None:
                    await beside.enter_async_context(in_background(deadline.watch_long_start()))
                ready = stack.enter_async_context(waiting)
                remote, _ = await while_powered(ready, context.ec2, machines, deadline=deadline)
        except PoweredOff:
            raise
        except (NotReady, RemoteError) as error:
            await asyncio.to_thread(diagnose, error, context.ec2, machines)
            raise
        yield session(remote)


class _TrainingFacts(Struct, frozen=True):
    """The facts on the driver that a training's record is made of."""

    engine: Engine | None
    traces: Traces
    described: EngineFacts
    redactor: Redactor


class DriverSession(Struct, frozen=True, dict=True):
    """One SSH connection to the driver of a cluster, and through it to the other machines.

    The other arguments are those of :func:`open_session`.
    """

    context: ClusterContext
    storage: RunStorage
    machines: Sequence[Machine]
    connection: ClusterConnection
    deadline: DeadlineWatch | None
    upload_to: str
    client: Client
    schedule_token: FindToken | None = None

    @cached_property
    def follower(self) -> RunFollower:
        """Follows, ends and judges runs over this connection."""
        return RunFollower(
            remote=self.connection,
            archive=self.storage.archive,
            prove=Evidence(self.context, self.connection).after,
            custodian=Custodian(self.context, self.connection),
            power_is_on=self._power_is_on,
            upload=lambda record: self.storage.upload(url) if (url := self.upload_to or record.upload) else None,
            shared=self.storage.shared,
            report=self.context.report,
            tells=bool(self.context.config.notify.places),
        )

    @property
    def driver_runs(self) -> DriverRuns:
        """The runs that the driver has."""
        return DriverRuns(self.connection)

    async def configure(
        self, outputs: Outputs, sizing: Sizing, *, schedule: bool = True
    ) -> tuple[ProvisionedFile, ...]:
        """Give all machines the names of all, and write the driver's files where they differ.

        Instances that exist already keep their own names, and get timers only if pio-tf.hcl asks for that.
        """
        naming, following = self._name_machines(outputs), self._install_timers(outputs)
        async with in_background(naming) as named, in_background(following) as followed:
            files = await self.push(outputs, sizing, schedule=schedule)
            await named
            await followed
        return files

    async def _name_machines(self, outputs: Outputs) -> None:
        if not self.context.config.adopted:
            hosts = {host_name(one.name): one.private_ip for one in outputs.machines}
            await complete_hosts(self.connection, [machine.name for machine in self.machines], hosts)

    async def _install_timers(self, outputs: Outputs) -> None:
        if not self.context.config.self_stops:
            await self.driver_runs.note_followers(())
            return
        names = [machine.name for machine in self.machines]
        done = await install_timers(self.connection, self.context.config, outputs, names, report=self.context.report)
        await self.driver_runs.note_followers(done)

    async def before_spark(self) -> None:
        """Keep the driver on while this client waits for Spark, which gets its secret."""
        config = self.context.config
        async with in_background(self._secret_change()) as change:
            await self.driver_runs.take_over(config.cluster.start_timeout)
            await self._share(await change)
        if config.spark.start_command:
            await start_spark(self.connection, config, self.machines, report=self.context.report)

    async def renew_claims(self) -> None:
        """Keep this client's claims while it waits for machines that may take hours, until cancelled.

        Those are the run lock in S3, if this client has it, and on the driver its lease and a note that it waits.
        """
        limit, lock = self.context.config.cluster.start_timeout, self.storage.lock
        while True:
            if lock is not None:
                renewal = asyncio.ensure_future(asyncio.to_thread(lock.renew))
                try:
                    await asyncio.shield(renewal)
                finally:
                    await asyncio.wait([renewal])  # the lock is released after it, not meanwhile
            await asyncio.sleep(limit / 2)
            await self.driver_runs.wait_on(limit)

    async def configure_for_use(self, outputs: Outputs, sizing: Sizing) -> tuple[ProvisionedFile, ...]:
        """Let the machines run until a client or AWS stops them, and configure them."""
        await self.stay()
        return await self.configure(outputs, sizing)

    async def rehearse(self, outputs: Outputs, sizing: Sizing) -> None:
        """Configure the machines, and check everything that a training needs.

        Raises:
            NotReady: a check failed.
        """
        await self.configure(outputs, sizing)
        refuse_failed(await self.check(outputs, sizing))

    async def stay(self) -> None:
        """Let the machines run until a client or AWS stops them, also after a run that stops them at its end."""
        if await self.driver_runs.stay():
            self.context.report(Done("the driver no longer powers itself off after the last training"))

    async def share_secret(self) -> None:
        """Give Spark's master and workers the cluster's secret where they do not have it. That restarts Spark there.

        Raises:
            RemoteError: a machine did not take it.
        """
        await self._share(await self._secret_change())

    async def _share(self, change: SecretChange | None) -> None:
        if change is None:
            return
        try:
            async with self._lock("provisioning"):
                await apply_change(self.connection, change)
        except Locked as error:
            self.context.report(Warned(f"Spark gets its secret later, because that restarts it: {error.what}"))

    async def _secret_change(self) -> SecretChange | None:
        if self.context.config.adopted:  # instances that exist already keep their Spark as it is
            return None
        return await find_change(
            self.connection,
            self.context.config,
            [machine.name for machine in self.machines if machine.role != "driver"],
            report=self.context.report,
            patience=self.context.config.cluster.start_timeout,
        )

    async def push(self, outputs: Outputs, sizing: Sizing, *, schedule: bool = True) -> tuple[ProvisionedFile, ...]:
        """Write the driver's files where they differ. Return each file's state.

        Args:
            schedule: write those of a training on the cluster's schedule, too.
        """
        if self.context.config.pio.keep_files:
            self.context.report(Done("the driver's files stay as they are (pio.keep_files)"))
            if schedule:
                await self._install_schedule(outputs, sizing)
            return ()
        put = await self._put_files(outputs, sizing)
        async with in_background(self._remove_logs()) as removed:
            if schedule:
                await self._install_schedule(outputs, sizing)
            await removed
        changed = [file.name for file in put if file.changed]
        self.context.report(
            Done(f"wrote {', '.join(changed)} on the driver" if changed else "the driver is configured")
        )
        return put

    async def _put_files(self, outputs: Outputs, sizing: Sizing) -> tuple[ProvisionedFile, ...]:
        secret = await read_secret(self.connection)
        files = render_files(self.context.config, outputs, sizing, self.context.secrets.reveal, spark_secret=secret)
        put = await self.connection.put_files(self.connection.driver.name, files)
        for file in put:
            if file.kept:
                self.context.report(
                    Warned(f"{file.name} on the driver was not written by pio-tf: the old file is kept as {file.kept}")
                )
        return put

    async def _remove_logs(self) -> None:
        """Remove the logs of PredictionIO that may hold passwords, now that it writes none."""
        done = await self.connection.run(self.connection.driver.name, remove_logs(self.context.config))
        for log in done.stdout.splitlines():
            self.context.report(Warned(f"removed {log} from the driver: every user could read the passwords in it"))
        for log in done.stderr.splitlines():
            self.context.report(
                Warned(f"could not remove {log} from the driver, where other users may read the passwords in it")
            )

    async def renew_schedule(self, outputs: Outputs, sizing: Sizing) -> None:
        """Let a training on the cluster's schedule, if it has one, know the engine that is on the driver now."""
        await self._install_schedule(outputs, sizing)

    async def _install_schedule(self, outputs: Outputs, sizing: Sizing) -> None:
        """Let the driver train by itself on the cluster's schedule, if it has one, as `pio-tf train` would now."""
        token = await asyncio.to_thread(self.schedule_token) if self.schedule_token else None
        if token is None:
            return
        if not token:
            await remove_schedule(self.connection)
            return
        command = train_command(self.context.config, outputs, sizing)
        settings = settings_in_force(self.context.config, outputs, sizing)
        facts = await self._facts()
        record = self._record(facts, command=command, settings=settings)
        client = Client(OWNER, self.connection.driver.name, 0, "")
        record = record.with_(client=client, upload=self.context.config.train.upload or "")
        after = self._files_beside(record)
        custody = files_to_keep_model(self.context, facts.traces)
        training = ScheduledTraining(token, record, command, facts.redactor, settings, after, custody)
        await install_schedule(self.connection, self.context.config, outputs, training, report=self.context.report)

    async def check(
        self,
        outputs: Outputs,
        sizing: Sizing,
        *,
        skip: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> tuple[CheckResult, ...]:
        """Check everything that a training needs; ``settings``: of Spark, if not those without extra arguments."""
        self.context.report(Step("Checking what the training needs"))
        return await run_checks(
            self.context.config,
            self.connection,
            outputs=outputs,
            sizing=sizing,
            secrets=self.context.secrets,
            settings=settings_in_force(self.context.config, outputs, sizing) if settings is None else settings,
            skip=skip,
            reporter=self.context.report,
        )

    async def provision(
        self, outputs: Outputs, machines: Sequence[str], *, component: str = ""
    ) -> tuple[ProvisionedMachine, ...]:
        """Prepare machines as at their first boot, all at once; no run begins meanwhile.

        Args:
            component: go back to the version of it that was in use before, instead.

        Raises:
            Locked: a run is active, or being prepared.
            ConfigError: only a default of pio-tf's asks for another Spark, which does not fit.
            RemoteError: some machines could not be prepared: the error names them.
        """

        async def one(name: str) -> ProvisionedMachine:
            if component:
                return await roll_back(self.connection, name, component, reporter=self.context.report)
            script = render_script(settings_for(self.context.config, outputs, name))
            return await provision(self.connection, name, script, reporter=self.context.report)

        async with self._lock("provisioning"):
            if not component:
                await refuse_other_spark(self.connection, self.context.config, machines)
            done: list[object] = [*await asyncio.gather(*(one(name) for name in machines), return_exceptions=True)]
            try:
                if (change := await self._secret_change()) is not None:
                    await apply_change(self.connection, change)
            except RemoteError as error:
                done.append(error)
            await self._install_timers(outputs)
        failures = [result for result in done if isinstance(result, BaseException)]
        for failure in failures:
            if len(failures) == 1 or not isinstance(failure, RemoteError):
                raise failure
        if failures:
            errors = [failure for failure in failures if isinstance(failure, RemoteError)]
            raise RemoteError(
                f"could not provision {len(errors)} machines: "
                + ", ".join(str(error.details.get("machine")) for error in errors),
                cause="; ".join(f"{error.what}: {error.cause}" for error in errors),
                next_step="remove the reasons, then run `pio-tf provision`",
                details={"machines": [error.details.get("machine") for error in errors], "kind": "provision"},
            ) from errors[0]
        return tuple(result for result in done if isinstance(result, ProvisionedMachine))

    async def train(
        self, outputs: Outputs, sizing: Sizing, request: TrainingRequest, on_start: Callable[[], None]
    ) -> RunRecord:
        """Configure and check the cluster, start a run, and follow it to its end. The session must be one that waited.

        Args:
            on_start: called before the run starts: from then on, it may be active.

        Raises:
            Locked: another run is active, or being prepared; nothing was changed.
            NotReady: a check failed; nothing was started.
            TrainingFailed: the run ended without a model.
            RemoteError: the driver was unreachable for too long (kind "out-of-sight"): the run may continue.
        """
        run, config = request.run, self.context.config
        linger = config.train.linger if request.stop_after and config.self_stops else 0
        async with self._lock("preparing", run, linger=linger) as lock:
            record, command, redactor = await self.connection.await_or_abort(self._prepare(outputs, sizing, request))
            on_start()
            record = await start_run(
                self.connection,
                lock,
                record,
                command=command,
                redactor=redactor,
                archive=self.storage.archive,
                after=self._files_beside(record),
            )
            self.context.report(Step(f"Run {run}: {record.command}"))
            if self.storage.shared is not None:
                try:
                    await asyncio.to_thread(self.storage.shared.begin, record)
                except PioTfError as error:  # the run continues, and the driver knows of it
                    self.context.report(Warned(f"other clients see run {run} only on the driver: {error}"))
            if request.detach:
                return record
            try:
                return await self._follow(run, stop_after=request.stop_after, begun=record)
            finally:
                if request.stop_after:
                    with contextlib.suppress(RemoteError):  # the connection was lost: `down` takes the lock again
                        await lock.hold_for_stopping()

    async def follow(self, run: str, *, stop_after: bool = True) -> RunRecord:
        """Follow a run to its end; end it if this client is interrupted.

        Args:
            stop_after: False lets the machines run after it; else only messages depend on it.
        """
        if not stop_after:
            await self.stay()
        return await self._follow(run, stop_after=stop_after)

    async def _follow(self, run: str, *, stop_after: bool, begun: RunRecord | None = None) -> RunRecord:
        tells = run if self.follower.tells else ""
        async with renewing(self.connection, run=tells) as renewals:  # also after the run, while its proofs are taken
            try:
                return await self.follower.follow_or_end(
                    run, client=str(self.client), watch=self._watch, stop_after=stop_after, begun=begun
                )
            except RemoteError as error:
                if tells and renewals.are_late:
                    error.details["driver_tells"] = True
                raise

    async def state(self) -> DriverState:
        """Return the driver's runs, and the holder of its lock."""
        return await self.driver_runs.state()

    async def refuse_active(self, doing: str) -> None:
        """Raise Locked if a run is active or being prepared, which ``doing`` would cut off."""
        holder = (await self.state()).holder
        if holder is not None and holder.doing != "stopping":
            error = locked_by(holder)
            error.what = f"{doing} would cut off a run: {error.what}"
            raise error

    async def find(self, wanted: str) -> str:
        """Return the id of a run that the driver has; ``wanted``: its beginning, or empty for the latest.

        Raises:
            ConfigError: there is no such run, or several.
        """
        return find_run(wanted, [run.id for run in (await self.state()).runs])

    async def runs(self) -> tuple[RunRecord, ...]:
        """Return the runs that the driver, this computer or the shared bucket knows, oldest first."""
        on_driver = {run.id: run.to_record() for run in (await self.state()).runs}
        return await asyncio.to_thread(self.storage.runs, on_driver)

    async def log(self, wanted: str, on_text: Callable[[str], None], *, follow: bool) -> None:
        """Hand out all lines of a run's log in blocks; ``follow``: until the run has ended."""
        on_driver = [run.id for run in (await self.state()).runs]
        run = await asyncio.to_thread(partial(self.storage.find, wanted, on_driver=on_driver))
        if run in on_driver:
            await self.follower.copy(run, on_text, once=not follow)
            if output := await self.driver_runs.on_success_log(run):
                on_text("".join(f"{line}\n" for line in output.splitlines()))
        else:
            await asyncio.to_thread(self.storage.log, run, on_text)

    async def cancel(self, wanted: str) -> RunRecord:
        """End a run, the active one if ``wanted`` is empty: its processes on the driver, and so its executors."""
        runs = (await self.state()).runs
        active = [run.id for run in runs if run.state == "running"]
        run = find_run(wanted or (active[-1] if active else ""), [one.id for one in runs])
        if run not in active:
            record = (await self.driver_runs.one(run)).to_record()
            self.context.report(Done(f"run {run} has ended already: {record.state}"))
            return record
        async with renewing(self.connection):
            return await self._end(run)

    async def prepare_stop(self, *, force: bool = False, own_run: str = "", timeout: float | None = None) -> None:
        """Make sure that stopping the machines cuts off no run and that none begins; copy logs and records.

        Args:
            force: end a run that is active.
            own_run: a run to end if it is still active, even without ``force``.
            timeout: seconds for all of it; None: as long as it takes.

        Raises:
            Locked: a run is active, or being prepared.
            RemoteError: the driver can't be asked, or not in time.
        """
        await self.connection.await_or_abort(self._prepare_stop(force=force, own_run=own_run), timeout=timeout)

    def hold_for_change(self) -> AbstractAsyncContextManager[DriverLock]:
        """Hold the lock while machines change: the change would cut off a run that began meanwhile.

        Raises:
            Locked: a run is active or being prepared, or another client changes or stops the machines.
        """
        return self._lock("changing")

    def hold_for_engine(self) -> AbstractAsyncContextManager[DriverLock]:
        """Hold the lock while the engine on the driver changes, or is saved.

        Raises:
            Locked: a run is active or being prepared, or another client changes or stops the machines.
        """
        return self._lock("engine")

    def hold_for_model(self) -> AbstractAsyncContextManager[DriverLock]:
        """Hold the lock while another model takes the place of the one that is served.

        Raises:
            Locked: a run is active or being prepared, or another client changes or stops the machines.
        """
        return self._lock("model")

    @contextlib.asynccontextmanager
    async def hold_for_removal(self) -> AsyncIterator[None]:
        """Hold the lock while the cluster is removed, and first copy logs and records.

        Raises:
            Locked: a run is active or being prepared, or another client changes the machines.
        """
        async with contextlib.AsyncExitStack() as lock:
            try:
                await lock.enter_async_context(self._hold_and_collect())
            except Locked as error:
                if error.details["doing"] != "stopping":
                    raise
            yield

    def _lock(self, doing: str, run: str = "", *, linger: int | None = None) -> AbstractAsyncContextManager[DriverLock]:
        return hold_driver_lock(self.connection, self.client, doing=doing, run=run, linger=linger)

    async def _prepare(
        self, outputs: Outputs, sizing: Sizing, request: TrainingRequest
    ) -> tuple[RunRecord, str, Redactor]:
        """Configure and check the driver. Return the run's record, its command, and what hides secrets in its log."""
        if self.context.config.model.is_used:  # a run without a client may have left a model that is unfit
            await self._collect()
        await self.configure(outputs, sizing, schedule=request.whole)
        if await self._push_source() or request.build:
            await self.build()
        settings = settings_in_force(self.context.config, outputs, sizing, extra=request.extra)
        command = train_command(self.context.config, outputs, sizing, extra=request.extra)
        async with in_background(self._facts()) as reading:
            refuse_failed(await self.check(outputs, sizing, settings=settings, skip=request.skip_checks))
            facts = await reading
        before = await Evidence(self.context, self.connection).before(facts.traces)
        custody = await Custodian(self.context, self.connection).before(
            facts.traces, request.run, skip_copy="model" in request.skip_checks
        )
        deadline = self.deadline
        record = self._record(facts, command=command, settings=settings).with_(
            id=request.run,
            absent=request.absent,
            before=asdict(before),
            custody=asdict(custody) if custody else {},
            deadline=deadline.at.isoformat() if deadline and deadline.at else "",
        )
        return record, command, facts.redactor

    async def _push_source(self) -> bool:
        """Push the engine of pio-tf.hcl, if it names one. Return whether it must be built then."""
        config, source = self.context.config, self.context.config.pio.engine.source
        if source is None:
            return False
        sources = await asyncio.to_thread(read_sources, config, source)
        await push_engine(self.connection, config, sources, by=str(self.client), reporter=self.context.report)
        return (await self._describe_engine()).stale_build

    async def build(self) -> Path:
        """Build the engine on the driver. Return the path of the build's log on this computer."""
        return await build_engine(
            self.context.config, self.connection, redactor=await self._redactor(), reporter=self.context.report
        )

    async def _describe_engine(self) -> EngineFacts:
        config = self.context.config
        facts = await describe_engine(self.connection, config, variant_path(config))
        return replace(facts, stale_build=facts.stale_build and not needs_no_build(config))

    async def _redactor(self) -> Redactor:
        """Return what hides every secret that a training knows."""
        return Redactor([*self.context.secrets.values, *filter(None, [await read_secret(self.connection)])])

    async def _facts(self) -> _TrainingFacts:
        evidence = Evidence(self.context, self.connection)
        async with in_background(evidence.traces()) as traces, in_background(self._describe_engine()) as described:
            redactor = await self._redactor()
            return _TrainingFacts(*(await traces), await described, redactor)

    def _files_beside(self, record: RunRecord) -> dict[str, str]:
        """Return the files for what the driver does beside a run and after it."""
        types = [one.instance_type for one in self.machines]
        return {
            **files_after_run(self.context, instance_types=types),
            **files_for_usage(self.context.config, self.machines, record.ui_port),
        }

    def _record(self, facts: _TrainingFacts, *, command: str, settings: Mapping[str, str]) -> RunRecord:
        """Return the record of a training, without its id and its start."""
        engine = facts.engine
        settings = with_engine(settings, engine) if engine else settings
        return RunRecord(
            id="",
            cluster=self.context.config.cluster.name,
            client=self.client,
            command=facts.redactor.redact(command),
            engine_dir=self.context.config.pio.engine_dir,
            machines=tuple(f"{one.name} {one.instance_type} {one.instance_id}" for one in self.machines),
            pio_tf=__version__,
            upload=self.upload_to,
            ui_port=ui_port(settings),
            usage=given_to_spark(settings),
            traces=asdict(facts.traces),
            engine=asdict(facts.described),
        )

    async def _watch(self, record: RunRecord) -> None:
        """Report a run's progress, and look after the deadline, until cancelled."""
        deadline, work = self.deadline, []
        if deadline:
            work.append(deadline.watch())
        if record.started is not None and record.state not in ENDED and record.ui_port:
            by_role = {machine.role: machine.private_ip for machine in self.machines}
            progress = watch(
                self.connection,
                run=record.id,
                started=record.started,
                driver_ip=by_role["driver"],
                ui_port=record.ui_port,
                master_ip=by_role["master"],
                master_ui_port=self.context.config.spark.master_ui_port,
                deadline=lambda: deadline.at if deadline else None,
                reporter=self.context.report,
            )
            work.append(progress)
        await asyncio.gather(*work)

    async def _end(self, run: str) -> RunRecord:
        """End a run, and report whether its executors are gone."""
        record = await self.follower.cancel(run, who=str(self.client))
        master = next((machine.private_ip for machine in self.machines if machine.role == "master"), "")
        port, since = self.context.config.spark.master_ui_port, record.started or 0.0
        left: tuple[str, ...] = ()
        for _ in range(int(EXECUTORS_GONE_SECONDS * 2)):
            try:
                left = await active_applications(self.connection, master=master, port=port, since=since)
            except RemoteError:
                left = ()
            if not left:
                break
            await asyncio.sleep(0.5)
        if left:
            self.context.report(Warned(f"Spark's master still has {', '.join(left)}: look at its page, `pio-tf ui`"))
        else:
            self.context.report(Done(f"run {run} has ended, and its executors are gone"))
        return record

    async def _prepare_stop(self, *, force: bool, own_run: str) -> None:
        async def hold() -> None:
            async with self._hold_and_collect() as lock:
                await lock.hold_for_stopping()

        try:
            await hold()
        except Locked as error:
            run, doing = str(error.details["run"]), error.details["doing"]
            if doing == "stopping":
                return
            if not force and (doing in ("provisioning", "changing", "engine", "model") or run != own_run):
                raise
            if doing == "running":
                await self._end(run)
            else:
                await self.driver_runs.release()
            try:
                await hold()
            except Locked as left:
                if left.details["run"] != own_run:
                    raise  # else it is this client's own, and a driver that hardly answers has not released it

    @contextlib.asynccontextmanager
    async def _hold_and_collect(self) -> AsyncIterator[DriverLock]:
        """Hold the lock, and first copy what this computer does not have of ended runs."""
        async with self._lock("stopping") as lock:
            await self._collect()
            yield lock

    async def _collect(self) -> None:
        """Copy and judge the ended runs that this computer does not have."""
        for run in (await self.state()).runs:
            kept = self.storage.archive.load(run.id)
            if run.state == "running" or (kept is not None and kept.state in ENDED):
                continue
            record = await self.follower.collect(run.id)
            where = self.storage.archive.log(run.id)
            self.context.report(Done(f"run {run.id} {record.state}: its log and record are in {where}"))

    async def _power_is_on(self) -> bool:
        """Return whether the driver runs. If AWS can't be asked, it may."""
        driver = next(machine.instance_id for machine in self.machines if machine.role == "driver")

        def ask() -> str:
            with aws_errors():
                found = self.context.ec2.describe_instances(InstanceIds=[driver])
            return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

        try:
            return await asyncio.to_thread(ask) in ("pending", "running")
        except (PioTfError, LookupError):
            return True
