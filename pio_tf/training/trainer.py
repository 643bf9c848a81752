"""What is done on the machines of a cluster around its runs, each over one SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pio_tf
from pio_tf.config.storage import ElasticsearchBlock
from pio_tf.errors import Interrupted, Locked, NotReady, PioTfError, RemoteError
from pio_tf.events import Done, Reporter, Step, Warned, silent
from pio_tf.infra.bootstrap import host_name, render_script, settings_for
from pio_tf.machines.aws import aws_errors
from pio_tf.machines.console import host_keys_from_console
from pio_tf.pio.command import settings_in_force, train_command
from pio_tf.pio.engine import read_engine, with_engine
from pio_tf.pio.files import render_files
from pio_tf.pio.sources import find_elasticsearch
from pio_tf.pio.spark_defaults import ui_port
from pio_tf.remote.limit import at_most
from pio_tf.remote.paths import shell_path
from pio_tf.remote.retry import Patience
from pio_tf.remote.ssh import connect_cluster
from pio_tf.remote.target import ssh_targets
from pio_tf.training.diagnosis import diagnose
from pio_tf.training.elasticsearch import Elasticsearch
from pio_tf.training.first_boot import Prepared, complete_hosts, provision, roll_back
from pio_tf.training.preflight import build_engine, refuse_failed, run_checks
from pio_tf.training.preflight.probe import variant_path
from pio_tf.training.progress import watch
from pio_tf.training.proof import Before, Proof, Traces, look_before, prove
from pio_tf.training.readiness import active_applications, ready_cluster
from pio_tf.training.redact import Redactor
from pio_tf.training.run import Finish, start_run
from pio_tf.training.runs.archive import Archive, find_run
from pio_tf.training.runs.lock import hold_lock, locked_by
from pio_tf.training.runs.on_driver import DriverRuns
from pio_tf.training.runs.record import ENDED, Client, RunRecord, new_run_id
from pio_tf.training.runs.show import read_kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.infra.outputs import Outputs
    from pio_tf.machines.model import Machine
    from pio_tf.pio.engine import Engine
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.files import Put
    from pio_tf.remote.ssh import Remote
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.deadline import DeadlineWatch
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.runs.bucket import RunBucket
    from pio_tf.training.runs.lock import RunLock
    from pio_tf.training.runs.on_driver import DriverState
    from pio_tf.training.runs.upload import Upload

QUICK = Patience(timeout=30.0)
"""For machines that ought to be up: they may be in the middle of a boot, but are not waited for long."""
INTERRUPTED_SECONDS = 2
"""What an interrupted training has to end before it is killed. GitHub's runner kills a cancelled job 10 s after its
first signal (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-cancellation), and by then the
machines must be stopping."""
ANSWER_SECONDS = 2
"""What it has besides, for the driver to answer and to hand over the rest of the log."""
EXECUTORS_GONE_SECONDS = 30.0
"""How long a cancelled run's application may stay on Spark's master before that is worth a warning."""


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


@dataclass
class Trainer:
    """Runs on the machines of one cluster.

    Args:
        machines: those that run; the driver among them.
        ec2: asked for host keys on the machines' consoles, and whether the driver's power is on.
        secrets: gives the configuration's passwords, where they are needed: AWS may have to be asked for them.
        upload_to: where logs and records of ended runs go to, besides this computer, and besides what each run says.
        upload: S3 as it is needed, for an address.
        shared: where every client finds the runs, if the state is in S3.
        deadline: when AWS stops the machines; None: nobody is to look.
    """

    config: Config
    machines: Sequence[Machine]
    ec2: EC2Client
    secrets: Callable[[], Secrets]
    upload: Callable[[str], Upload]
    upload_to: str = ""
    shared: RunBucket | None = None
    reporter: Reporter = silent
    deadline: DeadlineWatch | None = None
    client: Client = field(default_factory=Client.here)

    async def configure(self, outputs: Outputs, sizing: Sizing) -> None:
        """Wait until the machines answer and Spark has its workers; then write the driver's files."""
        async with self._ready() as remote:
            await self._name_machines(remote, outputs)
            await self._push(remote, outputs, sizing)

    async def provision(
        self, outputs: Outputs, machines: Sequence[str], *, component: str = ""
    ) -> tuple[Prepared, ...]:
        """Prepare machines as at their first boot, all at once; no run begins meanwhile.

        Args:
            machines: their names.
            component: go back to the version of it that was in use before, instead.

        Raises:
            Locked: a run is active, or being prepared.
            RemoteError: a machine could not be prepared; all are named, the others are.
        """

        async def one(name: str) -> Prepared:
            if component:
                return await roll_back(remote, name, component, reporter=self.reporter)
            script = render_script(settings_for(self.config, outputs, name))
            return await provision(remote, name, script, reporter=self.reporter)

        async with self._connected() as remote, self._lock(remote, doing="provisioning"):
            done = await asyncio.gather(*(one(name) for name in machines), return_exceptions=True)
        failures = [result for result in done if isinstance(result, BaseException)]
        for failure in failures:
            if len(failures) == 1 or not isinstance(failure, RemoteError):
                raise failure
        if failures:
            errors = [failure for failure in failures if isinstance(failure, RemoteError)]
            raise RemoteError(
                f"{len(errors)} machines could not be provisioned: "
                + ", ".join(str(error.details.get("machine")) for error in errors),
                cause="; ".join(f"{error.what}: {error.cause}" for error in errors),
                next_step="once the reason is gone: pio-tf provision",
                details={"machines": [error.details.get("machine") for error in errors], "kind": "provision"},
            ) from errors[0]
        return tuple(result for result in done if isinstance(result, Prepared))

    async def push(self, outputs: Outputs, sizing: Sizing) -> tuple[Put, ...]:
        """Write the driver's files, where they differ. Returns what became of each."""
        async with self._connected() as remote:
            return await self._push(remote, outputs, sizing)

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
        return await self._record(remote, order, command, settings), command

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

    async def check(self, outputs: Outputs, sizing: Sizing, *, skip: Sequence[str] = ()) -> tuple[CheckResult, ...]:
        """All that is looked at before a training."""
        async with self._connected() as remote:
            return await self._check(remote, outputs, sizing, settings_in_force(self.config, outputs, sizing), skip)

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

    @property
    def archive(self) -> Archive:
        """This computer's copies."""
        return Archive.of(self.config)

    # Parts, on a connection

    def _connected(self, *, patience: Patience = QUICK) -> AbstractAsyncContextManager[Remote]:
        return connect_cluster(
            self.config, self._targets, reporter=self.reporter, patience=patience, console_keys=self._console_keys
        )

    @contextlib.asynccontextmanager
    async def _ready(self) -> AsyncIterator[Remote]:
        self.reporter(Step("Waiting for SSH and Spark"))
        async with contextlib.AsyncExitStack() as stack:
            waiting = ready_cluster(self.config, self._targets, reporter=self.reporter, console_keys=self._console_keys)
            try:
                remote, _ = await stack.enter_async_context(waiting)
            except (NotReady, RemoteError) as error:
                await asyncio.to_thread(diagnose, error, self.ec2, self.machines)
                raise
            yield remote

    def _lock(self, remote: Remote, *, doing: str, run: str = "") -> AbstractAsyncContextManager[RunLock]:
        return hold_lock(remote, self.client, doing=doing, run=run)

    async def _name_machines(self, remote: Remote, outputs: Outputs) -> None:
        """All machines know all by name: also those of which only this client knows the addresses."""
        hosts = {host_name(one.name): one.private_ip for one in outputs.machines}
        await complete_hosts(remote, [target.name for target in self._targets], hosts)

    async def _push(self, remote: Remote, outputs: Outputs, sizing: Sizing) -> tuple[Put, ...]:
        put = await remote.put_files(remote.driver.name, render_files(self.config, outputs, sizing, self.secrets()))
        for file in put:
            if file.kept:
                self.reporter(
                    Warned(f"{file.name} on the driver was not pio-tf's: what was there is kept as {file.kept}")
                )
        changed = [file.name for file in put if file.changed]
        self.reporter(Done(f"wrote {', '.join(changed)} on the driver" if changed else "the driver is configured"))
        return put

    async def _check(
        self, remote: Remote, outputs: Outputs, sizing: Sizing, settings: Mapping[str, str], skip: Sequence[str]
    ) -> tuple[CheckResult, ...]:
        self.reporter(Step("Checking what the training needs"))
        return await run_checks(
            self.config,
            remote,
            outputs=outputs,
            sizing=sizing,
            secrets=self.secrets(),
            settings=settings,
            skip=skip,
            reporter=self.reporter,
        )

    async def _record(self, remote: Remote, order: Order, command: str, settings: Mapping[str, str]) -> RunRecord:
        engine, version = await self._engine(remote)
        traces = self._traces(engine, version)
        before = await look_before(self._elasticsearch(remote), traces)
        return RunRecord(
            id=order.run,
            cluster=self.config.cluster.name,
            client=self.client,
            command=Redactor(self.secrets().values).redact(command),
            engine_dir=self.config.pio.engine_dir,
            machines=tuple(f"{one.name} {one.instance_type} {one.instance_id}" for one in self.machines),
            absent=order.absent,
            pio_tf=pio_tf.__version__,
            upload=self.upload_to,
            ui_port=ui_port(with_engine(settings, engine) if engine else settings),
            traces=dataclasses.asdict(traces),
            before=dataclasses.asdict(before),
            deadline=self.deadline.at.isoformat() if self.deadline and self.deadline.at else "",
        )

    def _traces(self, engine: Engine | None, version: str) -> Traces:
        metadata = self.config.repository.metadata
        kept_in = {source.name: source.block for source in self.config.sources}.get(metadata.source)
        return Traces(
            engine_factory=engine.engine_factory if engine else "",
            engine_variant=engine.id if engine else "",
            metadata=metadata.name if isinstance(kept_in, ElasticsearchBlock) and engine else "",
            engine_version=version,
            aliases=engine.indices if engine else (),
        )

    async def _engine(self, remote: Remote) -> tuple[Engine | None, str]:
        """engine.json, where it can be read (else the checks were told to skip it), and the engine's version."""
        directory, variant = shell_path(self.config.pio.engine_dir), shell_path(variant_path(self.config))
        program = f"printf %s \"$(readlink -f {directory})\" | sha1sum | cut -d' ' -f1 && cat -- {variant}"
        done = await remote.run(remote.driver.name, program)
        version, _, text = done.stdout.partition("\n")
        try:
            return (read_engine(text), version) if done.exit_status == 0 else (None, "")
        except PioTfError:
            return None, ""

    def _elasticsearch(self, remote: Remote) -> Elasticsearch | None:
        """The source ELASTICSEARCH: the Universal Recommender's, and the guide's for metadata."""
        block = find_elasticsearch(self.config)
        if block is None:
            return None
        try:
            password = self.secrets().reveal(block.password) if block.password else None
        except PioTfError as error:
            self.reporter(Warned(f"Elasticsearch is not asked, for want of its password: {error.what}"))
            return None
        return Elasticsearch(remote, block.nodes, user=block.user, password=password)

    async def _see(self, remote: Remote, run: str, *, stop_after: bool) -> RunRecord:
        finish = self._finish(remote)
        following = asyncio.ensure_future(finish.follow(run, watch=lambda record: self._watch(remote, record)))

        async def end() -> None:
            following.cancel()
            await asyncio.wait([following])
            await finish.cancel(run, who=str(self.client), patience=INTERRUPTED_SECONDS)

        try:
            return await asyncio.shield(following)
        except (asyncio.CancelledError, Interrupted, OSError):  # Ctrl-C, SIGTERM; a log that is not read, or kept
            then = "then the machines stop; Ctrl-C again stops them now" if stop_after else "the machines go on running"
            self.reporter(Warned(f"interrupted: run {run} is ended, {then}"))
            try:
                await at_most(INTERRUPTED_SECONDS + ANSWER_SECONDS, end(), remote)
            except RemoteError:  # it ends with the driver's power, and its log stays there
                until = "it ends when the machines stop" if stop_after else f"`pio-tf cancel {run}` ends it"
                self.reporter(Warned(f"run {run} is not seen to its end: {until}"))
            raise

    async def _watch(self, remote: Remote, record: RunRecord) -> None:
        spark = self._watch_spark(remote, record)
        await (asyncio.gather(spark, self.deadline.watch()) if self.deadline else spark)

    async def _watch_spark(self, remote: Remote, record: RunRecord) -> None:
        by_role = {machine.role: machine.private_ip for machine in self.machines}
        if record.started is None or record.state in ENDED or not record.ui_port:
            return
        await watch(
            remote,
            run=record.id,
            started=record.started,
            driver_ip=by_role["driver"],
            ui_port=record.ui_port,
            master_ip=by_role["master"],
            master_ui_port=self.config.spark.master_ui_port,
            deadline=lambda: self.deadline.at if self.deadline else None,
            reporter=self.reporter,
        )

    async def _cancel(self, remote: Remote, run: str) -> RunRecord:
        record = await self._finish(remote).cancel(run, who=str(self.client))
        master = next((machine.private_ip for machine in self.machines if machine.role == "master"), "")
        left = await self._left_on_master(remote, master, since=record.started or 0.0)
        if left:
            self.reporter(Warned(f"Spark's master still has {', '.join(left)}: look at its page, `pio-tf ui`"))
        else:
            self.reporter(Done(f"run {run} has ended, and its executors are gone"))
        return record

    async def _left_on_master(self, remote: Remote, master: str, *, since: float) -> tuple[str, ...]:
        """Applications that Spark's master still has of a run; none where it cannot be asked."""
        left: tuple[str, ...] = ()
        for _ in range(int(EXECUTORS_GONE_SECONDS * 2)):
            try:
                left = await active_applications(
                    remote, master=master, port=self.config.spark.master_ui_port, since=since
                )
            except RemoteError:
                return ()
            if not left:
                return ()
            await asyncio.sleep(0.5)
        return left

    async def _collect(self, remote: Remote) -> None:
        """Copy the logs and records of runs that have ended, and that this computer has not yet."""
        finish = self._finish(remote)
        for run in (await DriverRuns(remote).state()).runs:
            kept = self.archive.load(run.id)
            if run.state == "running" or (kept is not None and kept.state in ENDED):
                continue
            record = await finish.collect(run.id)
            self.reporter(Done(f"run {run.id} {record.state}: its log and record are in {self.archive.log(run.id)}"))

    def _finish(self, remote: Remote) -> Finish:
        async def prove_it(record: RunRecord, success_line_seen: bool) -> tuple[Proof, ...]:
            said_so = record.exit_status == 0 and success_line_seen
            return await prove(
                self._elasticsearch(remote) if said_so else None,
                Traces(**{**record.traces, "aliases": tuple(record.traces.get("aliases", ()))}),
                Before(**record.before),
                started=record.started or 0.0,
                exit_status=record.exit_status,
                success_line_seen=success_line_seen,
            )

        return Finish(
            remote,
            archive=self.archive,
            prove=prove_it,
            power_is_on=self._power_is_on,
            upload=lambda record: self.upload(url) if (url := self.upload_to or record.upload) else None,
            shared=self.shared,
            reporter=self.reporter,
        )

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

    async def _power_is_on(self) -> bool:
        """Whether the driver runs; where AWS cannot be asked, nothing is known, and it may."""
        driver = next(machine.instance_id for machine in self.machines if machine.role == "driver")

        def ask() -> str:
            with aws_errors():
                found = self.ec2.describe_instances(InstanceIds=[driver])
            return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

        try:
            return await asyncio.to_thread(ask) in ("pending", "running")
        except (PioTfError, LookupError):
            return True

    def _console_keys(self, instance_id: str) -> tuple[str, ...]:
        return host_keys_from_console(self.ec2, [instance_id])[instance_id]

    @property
    def _targets(self) -> tuple[SshTarget, ...]:
        return ssh_targets(self.config, self.machines)


def merge(
    archive: Archive, theirs: dict[str, RunRecord] | None, shared: Sequence[RunRecord] = ()
) -> tuple[RunRecord, ...]:
    """The runs of the driver, of this computer and of all clients, oldest first.

    Args:
        theirs: the driver's, by id; None: it cannot be asked.
        shared: those that are kept for all clients.
    """
    known = {record.id: record for record in archive.records()}
    known.update((record.id, record) for record in shared if record.id not in known or record.state in ENDED)
    for record in known.values():
        if record.state not in ENDED:
            known[record.id] = record.with_(state="unknown" if theirs is None else "lost")
    known.update(theirs or {})
    return tuple(known[run] for run in sorted(known))


def shared_records(shared: RunBucket | None, reporter: Reporter) -> tuple[RunRecord, ...]:
    """The runs that are kept for all clients; none where they cannot be asked for, which is said."""
    try:
        return shared.records() if shared is not None else ()
    except PioTfError as error:
        reporter(Warned(f"without the runs of other clients: {error}"))
        return ()
