"""`Cluster`: everything that can be done to one cluster, for Python programs and the command line."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pio_tf.aws.session import Aws
from pio_tf.cluster.defaults import IDLE_FOR, always
from pio_tf.cluster.messages import for_new_machines, without_terraform
from pio_tf.cluster.objects import ClusterObjects
from pio_tf.config.load import load_config
from pio_tf.config.software import APACHE
from pio_tf.context import ClusterContext
from pio_tf.errors import AwsError, PioTfError
from pio_tf.events import Done, Reporter, Warned, line_by_line, silent
from pio_tf.infra.my_address import address_of_plan, find_my_address, last_known_address
from pio_tf.remote.lines import split_lines
from pio_tf.user_cache import default_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from pio_tf.cluster.deadline import Extended
    from pio_tf.cluster.listing import ClusterSummary
    from pio_tf.cluster.resize import Resize
    from pio_tf.cluster.scheduling import ScheduleStatus
    from pio_tf.cluster.size_advice import SizeAdvice
    from pio_tf.cluster.spending import Spending
    from pio_tf.cluster.status import ClusterStatus
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.engine.archive_place import SavedEngine
    from pio_tf.engine.push import PushedEngine
    from pio_tf.iam import Policy
    from pio_tf.infra.cost import Prices
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan
    from pio_tf.infra.policy import Judgement
    from pio_tf.machines.deadline_schedule import ScheduledDeadline
    from pio_tf.mirror import Fetched, Listed, Pushed
    from pio_tf.model import Machine, Outputs
    from pio_tf.remote.files import ProvisionedFile, RemoteFile
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.custody.models import KeptModel, Rollback
    from pio_tf.training.driver_session import SessionOpener
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.provisioning import ProvisionedMachine
    from pio_tf.training.runs.record import RunRecord


class Cluster:
    """One driver, one Spark master and N workers.

    Every method raises errors of :mod:`pio_tf.errors` only: ConfigError for a wrong argument or file; NotReady if the
    cluster has not been created, or a machine that the method needs does not run; Locked if another client's run is
    active; AwsError, TerraformError or RemoteError if a call failed. Each method names what more its errors mean.

    Args:
        config: what pio-tf.hcl says.
        reporter: receives progress as events (:mod:`pio_tf.events`).
        environ: environment for Terraform; default: that of this process.
        aws: makes the AWS clients; default: as the configuration says.
        open_session: connects to the driver; default: over SSH.
        clock: returns monotonic seconds, which limit how long pio-tf waits for AWS.
        sleep: waits for a number of seconds meanwhile.
        now: returns the time of day, which deadlines are counted from.
        attended: whether a person at a terminal reads the warnings: see ``ssh.host_keys``.
        in_blocks: whether ``reporter`` receives a training's log as ``OutputLines``: much faster than each line as an
            ``OutputLine``.
    """

    def __init__(
        self,
        config: Config,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
        aws: Aws | None = None,
        open_session: SessionOpener | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc),
        attended: bool = False,
        in_blocks: bool = False,
    ) -> None:
        self.config = config = last_known_address(config)
        reporter = reporter if in_blocks else line_by_line(reporter)
        environ = dict(os.environ if environ is None else environ)
        self._context = ClusterContext(config, reporter, aws or Aws(config), environ, clock, sleep, now, attended)
        self._open_session = open_session
        self._last = self._command()
        """The last command that may have changed power: the next one takes over what it has started."""

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
        attended: bool = False,
        in_blocks: bool = False,
    ) -> Self:
        """Return the cluster of a pio-tf.hcl; default: ``$PIO_TF_CONFIG``, else ``pio-tf.hcl`` here."""
        config = load_config(path, environ=environ)
        return cls(config, reporter=reporter, environ=environ, attended=attended, in_blocks=in_blocks)

    def _command(self, context: ClusterContext | None = None) -> ClusterObjects:
        return ClusterObjects(context or self._context, self._open_session)

    def _change(
        self, context: ClusterContext | None = None, *, armed: ScheduledDeadline | None = None
    ) -> ClusterObjects:
        self._last = ClusterObjects(
            context or self._context, self._open_session, started=self._last.fleet.started, armed=armed
        )
        return self._last

    def _planning(self, saved: Path | None = None) -> ClusterContext:
        """Return the context of a command that plans: with this computer's address, or that of a saved plan."""
        if not self.config.network.asks_for_my_ip:
            return self._context
        if saved is None:
            config = find_my_address(self.config, reporter=self._context.report)
        else:
            from pio_tf.infra.saved_plan import read_saved_plan

            config = address_of_plan(self.config, read_saved_plan(saved).plan)
        return replace(self._context, config=config)

    # The stack

    def outputs(self) -> Outputs:
        """Return Terraform's outputs, or the same of the instances that pio-tf.hcl names."""
        return self._command().created.outputs()

    def generate(self, directory: Path | None = None) -> Path:
        """Write the stack; default: where pio-tf itself uses it. Return its directory."""
        return self._command(self._planning()).stack.generate(directory)

    def lock_providers(self) -> Path:
        """Write `.terraform.lock.hcl` beside pio-tf.hcl, with the AWS provider's checksums for all platforms."""
        return self._command().stack.deployment.stack.lock_providers()

    def generate_image(self, directory: Path | None = None) -> Path:
        """Write a Packer template that bakes an image with everything that the machines install. Return its directory.

        Args:
            directory: without files that pio-tf did not write; default: ``image`` beside the stack.
        """
        from pio_tf.infra.bootstrap import write_image

        if self.config.adopted:
            raise for_new_machines(self.config, "describes an image of machines that Terraform makes")
        return write_image(self.config, directory or self.config.work_dir / "image")

    def validate(self) -> tuple[str, ...]:
        """Check pio-tf.hcl and the files that it names as a plan does; report and return warnings.

        Ask neither AWS nor Terraform.

        Raises:
            ConfigError: a file is missing, or values do not go together.
        """
        command = self._command()
        if self.config.power_only:
            from pio_tf.pio.command import check_arguments

            check_arguments(self.config)
            warnings: tuple[str, ...] = ()
        else:
            warnings = command.stack.validate()
        for warning in warnings:
            self._context.report(Warned(warning))
        return warnings

    def plan(self, out: Path | None = None) -> Plan:
        """Return what Terraform would create or change. Change nothing.

        Args:
            out: save the plan in this directory, for :meth:`apply`: with a manifest, ``plan.json`` and ``plan.md``. A
                plan that the guard refuses leaves only these two.

        Raises:
            GuardRefused: the plan would delete or replace a machine, a disk or an address, create a machine that exists
                already, or break another rule of the guard.
        """
        return self._command(self._planning()).stack.plan(out)

    def apply(self, artifact: Path | None = None) -> Outputs:
        """Create and change what pio-tf.hcl asks for. The power of machines stays as it was.

        A change of the instance type makes the AWS provider start a machine that was stopped
        (terraform-provider-aws #1998): pio-tf stops such machines again, and new ones if the apply fails. What a killed
        apply has started is stopped by the next one, or by :meth:`down`.

        Args:
            artifact: a directory of :meth:`plan`: exactly that plan is applied, or none.

        Raises:
            GuardRefused: as for :meth:`plan`; or the saved plan does not match this cluster: the error says where.
        """
        return self._change(self._planning(artifact)).stack.apply(artifact)

    def check_plan(self, artifact: Path) -> Plan:
        """Return a saved plan if :meth:`apply` would take it now; else raise what that would. Change nothing."""
        return self._command(self._planning(artifact)).stack.check_plan(artifact)

    def drift(self) -> tuple[Drift, ...]:
        """Return what was changed in AWS since the last apply. Power is no drift. Change nothing."""
        return self._command().stack.drift()

    def guard(self, plan: Path | None = None) -> Judgement:
        """Return what the guard says about a plan, and what the plan costs. Change nothing, and refuse nothing.

        Args:
            plan: a directory of :meth:`plan`, or a file of ``terraform show -json``; default: a new plan.
        """
        return self._command(self._planning() if plan is None else None).stack.judge(plan)

    def destroy(self) -> None:
        """Remove the cluster for good. This is the only way to lose machines, disks and addresses."""
        self._change().stack.destroy()

    def iam(self, role: str = "", *, account: str = "", archives: str = "") -> tuple[Policy, ...]:
        """Return the narrowest IAM policies for a pipeline's jobs. Ask AWS for nothing.

        Args:
            role: one of :data:`pio_tf.iam.ROLES`; empty: all that pio-tf.hcl has a use for.
            account: twelve digits; default: that of ``aws.assume_role``, else any.
            archives: ``s3://bucket/prefix`` that :meth:`save_engine` and :meth:`restore_engine` are to use.
        """
        from pio_tf.iam import policies

        if self.config.power_only:
            raise without_terraform(self.config, "shows policies for machines with the tags of a cluster")
        return policies(self.config, role, account=account, archives=archives)

    # Power

    def up(
        self,
        *,
        duration: float | None = None,
        deadline: bool = True,
        lasting: float | None = None,
        agree: Callable[[Plan], None] = always,
    ) -> tuple[Machine, ...]:
        """Create what is missing, start what is stopped, wait until Spark has every worker, configure the driver.

        It is safe to repeat, from any mixture of states. No machine starts before AWS is set to stop it again.

        Args:
            duration: seconds from now until AWS stops the machines; default: ``train.max_runtime``. A later deadline
                that is set already stands.
            deadline: False starts them without one.
            lasting: the former name of ``duration``.
            agree: is called with a plan that creates machines, before it is applied; what it raises ends the command.

        Raises:
            AwsError, ConfigError: the deadline can't be set; nothing was started.
            NotReady: not ready within ``cluster.start_timeout``: what is up stays up. Or AWS has no capacity for all,
                even after ``cluster.capacity_wait``, nor for ``spark.min_workers``: what was started is stopped again.
            MachinesMayBeRunning: AWS can't be asked any more, or not be told to stop them.
        """
        seconds = lasting if duration is None else duration
        return self._change(self._planning()).power.up(seconds, deadline=deadline, agree=agree)

    def down(self, *, force: bool = False) -> tuple[Machine, ...]:
        """Stop all machines and wait until AWS confirms it. Copy logs and records of ended runs before. Safe to repeat.

        Args:
            force: end an active run, and stop the machines even if the driver does not answer.

        Raises:
            MachinesMayBeRunning: not all of them are stopped within ``cluster.stop_timeout``; or the driver runs but
                does not answer, so that it may have a run; or pio-tf was interrupted before AWS confirmed the stop.
        """
        return self._change().power.down(force=force)

    def down_if_idle(self, *, idle_for: float = IDLE_FOR) -> tuple[Machine, ...]:
        """Stop the machines like :meth:`down` if no client uses them. Wait for nothing.

        If a client uses them, stop nothing, and report the reason.

        Args:
            idle_for: seconds that must have passed since the last machine was started and since the last run ended.
        """
        return self._change().power.down_if_idle(idle_for=idle_for)

    def status(self) -> ClusterStatus:
        """Return the machines and their power, and which workers Spark has. Change nothing."""
        return self._command().status.now()

    def clusters(self) -> tuple[ClusterSummary, ...]:
        """Return every cluster in this one's account and region, by the tags of the machines. Change nothing."""
        from pio_tf.cluster.listing import list_clusters

        return list_clusters(self._context)

    @property
    def armed(self) -> datetime | None:
        """The deadline that the last command of this object armed or found; None if there was none."""
        return self._last.deadline.armed.at if self._last.deadline.armed else None

    def deadline(self) -> datetime | None:
        """Return when AWS stops the machines, in UTC; None: there is no deadline. Change nothing."""
        return self._command().deadline.find()

    def extend(self, seconds: float) -> Extended:
        """Keep the machines running for a number of seconds from now.

        Raises:
            ConfigError: the deadline is later already: it is never shortened.
            AwsError: it could not be armed; the old one stands.
        """
        command = self._change()
        return command.deadline.extend(command.created.outputs(), seconds)

    def plan_resize(self, machine: str, instance_type: str) -> tuple[Resize, ...]:
        """Return what :meth:`resize` would change. Change nothing."""
        return self._command().resizer.plan(machine, instance_type)

    def resize(self, machine: str, instance_type: str) -> tuple[Resize, ...]:
        """Change the type of a stopped machine. It keeps its disk and addresses.

        Args:
            machine: its name, or ``workers`` for all workers.
            instance_type: one of ``instance_types`` in pio-tf.hcl.

        Raises:
            ConfigError: pio-tf.hcl does not name the type, or names no other; or the machine can't have it.
            GuardRefused: ``guard.instance_types`` does not allow it.
            NotReady: the machine is not stopped.
            Locked: another client trains, or is about to.
        """
        return self._change().resizer.apply(machine, instance_type)

    # Trainings on AWS's clock

    def schedule(self) -> ScheduleStatus | None:
        """Return the schedule of trainings, and what came of its last time; None if there is none. Change nothing."""
        return self._command().status.schedule()

    def set_schedule(self, cron: str, *, timezone: str = "UTC", start: bool = True) -> None:
        """Let AWS start the machines for trainings, and let the driver know what to train.

        Machines that are off are started for that, and stopped again. Machines that run keep running.

        Args:
            cron: a cron expression of EventBridge Scheduler.
            timezone: its time zone, such as ``Europe/Berlin``.
            start: False sets AWS's side only: the driver learns of it at the next :meth:`up` or :meth:`train`.

        Raises:
            ConfigError: the time or the zone is wrong, pio-tf.hcl names a time, or no role may start machines.
            NotReady: the schedule is set, but the machines did not become ready, or a check failed.
            MachinesMayBeRunning: the schedule is set, but they could not be stopped again.
        """
        from pio_tf.cluster.scheduling import UNKNOWN_TO_DRIVER
        from pio_tf.cluster.training_session import TrainingSession

        command = self._change()
        outputs = command.created.outputs()
        command.scheduling.set(outputs, cron, timezone)
        if command.fleet.look(outputs).driver_runs:
            command.driver.rehearse(outputs)
        elif start:
            TrainingSession(command, keep_up=False).rehearse()
        else:
            self._context.report(Warned(UNKNOWN_TO_DRIVER))

    def pause_schedule(self) -> None:
        """Let the schedule start no machines, until :meth:`resume_schedule`."""
        command = self._change()
        command.scheduling.pause(command.created.outputs(), paused=True)

    def resume_schedule(self) -> None:
        """Let a paused schedule start the machines again."""
        command = self._change()
        command.scheduling.pause(command.created.outputs(), paused=False)

    def remove_schedule(self) -> None:
        """Remove the schedule of trainings.

        Raises:
            ConfigError: pio-tf.hcl names its time.
            NotReady: there is none.
        """
        command = self._change()
        command.scheduling.remove(command.created.outputs())

    # Trainings

    def train(
        self,
        extra: Sequence[str] = (),
        *,
        keep_up: bool | None = None,
        detach: bool = False,
        build: bool = False,
        skip_checks: Sequence[str] = (),
        upload: str | None = None,
        workers: int | None = None,
        apply: bool = True,
        duration: float | None = None,
        deadline: bool = True,
        lasting: float | None = None,
    ) -> RunRecord:
        """Start the machines, check, train, judge whether there is a model, and stop the machines whatever happens.

        Args:
            extra: more spark-submit arguments; they win over pio-tf's own.
            keep_up: leave the machines running; default: ``train.keep_up``.
            detach: return once the run has begun; it and the machines keep running.
            build: run `pio build` first.
            skip_checks: checks to leave out, of :data:`pio_tf.training.preflight.CHECKS`.
            upload: ``s3://bucket/prefix`` for log and record; default: ``train.upload``.
            workers: start only so many, and limit Spark to as many executors; default: all.
            apply: first create and change what pio-tf.hcl asks for; False: train on what was applied.
            duration, deadline, lasting: as of :meth:`up`.

        Raises:
            AwsError, ConfigError: the deadline can't be set; nothing was started.
            Locked: another run is active, or being prepared; its machines are left alone.
            NotReady: the cluster did not become ready, or a check failed; no run was started.
            TrainingFailed: the run ended without a model.
            MachinesMayBeRunning: they could not be stopped, or a run that is out of sight may continue.
        """
        from pio_tf.cluster.notifications import Notifications
        from pio_tf.cluster.training_session import TrainingSession
        from pio_tf.training.driver_session import TrainingRequest

        return Notifications(self._command()).around(
            lambda: TrainingSession(self._change(self._planning() if apply else None), keep_up=keep_up).train(
                TrainingRequest(extra, build, skip_checks, detach),
                upload=upload,
                apply=apply,
                duration=lasting if duration is None else duration,
                deadline=deadline,
                workers=workers,
            )
        )

    def attach(self, run: str = "", *, keep_up: bool | None = None, upload: str | None = None) -> RunRecord:
        """Follow a run, the latest if none is named, to its end; then stop the machines, as :meth:`train` does."""
        from pio_tf.cluster.notifications import Notifications
        from pio_tf.cluster.training_session import TrainingSession

        command = self._change(armed=self._last.deadline.armed)
        return Notifications(command).around(
            lambda: TrainingSession(command, keep_up=keep_up).attach(run, upload=upload)
        )

    def test_notifications(self) -> tuple[str, ...]:
        """Send a test message to every place of the notify block, and return their names.

        Raises:
            ConfigError: there is no such place.
            PioTfError: a place did not take the message; the others have it.
        """
        from pio_tf.cluster.notifications import Notifications

        return Notifications(self._command()).test()

    def runs(self) -> tuple[RunRecord, ...]:
        """Return every run that the driver, while it runs, or this computer knows; oldest first. Change nothing."""
        command = self._command()
        return command.driver.runs(command.created.outputs_if_any())

    def report(self, output: Path | None = None) -> tuple[Path, tuple[RunRecord, ...]]:
        """Write one HTML file about all runs: durations, cost, memory, and failures with their causes.

        If AWS or the driver can't be asked, it is about the runs that this computer and the state's bucket know.

        Args:
            output: the file; default: ``.pio-tf/<cluster>/report.html``.

        Returns:
            The file, and the runs in it.

        Raises:
            ConfigError: the file cannot be written.
        """
        from pio_tf.report import write_report

        try:
            runs = self.runs()
        except PioTfError as error:
            self._context.report(Warned(f"{error.what}: the report is about the runs that this computer knows"))
            runs = self._command().storage.runs()
        path = output or self.config.work_dir / "report.html"
        if output is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_report(path, self.config.cluster.name, runs, self.prices, now=self._context.now())
        return path, runs

    def run(self, run: str = "") -> RunRecord:
        """Return one run, the latest if none is named. Change nothing."""
        from pio_tf.training.runs.run_copies import find_run

        records = {record.id: record for record in self.runs()}
        return records[find_run(run, records)]

    def size_advice(self, run: RunRecord) -> tuple[SizeAdvice, ...]:
        """Return which sizes of machines would do after a run; in most cases none. Change nothing.

        Ask AWS only if the run gives a reason. Without an answer, there is a warning and no advice.
        """
        from pio_tf.cluster.size_advice import advise

        try:
            return advise(self._context, run)
        except AwsError as error:
            self._context.report(Warned(f"no advice on sizes of machines: {error.what}"))
            return ()

    @cached_property
    def prices(self) -> Prices:
        """The prices that need no question to AWS: those that :meth:`cost` has read, or pio-tf's own."""
        from pio_tf.cluster.spending import kept_prices

        return kept_prices(self._context)

    def cost(self, start: datetime | None = None) -> Spending:
        """Return an estimate of what the cluster costs in a month, with AWS's own prices. Change nothing.

        Args:
            start: midnight of its first day, UTC; default: this month.
        """
        from pio_tf.cluster.spending import measure

        command = self._command()
        outputs = command.created.outputs_if_any()
        machines = command.fleet.look(outputs, strict=False).machines
        start = start or self._context.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return measure(self._context, machines, command.driver.runs(outputs), start=start)

    def logs(
        self,
        run: str = "",
        on_line: Callable[[str], None] = lambda _line: None,
        *,
        on_text: Callable[[str], None] | None = None,
        follow: bool = False,
    ) -> None:
        """Hand out the lines of a run's log, the latest run's if none is named.

        Args:
            on_text: called instead of ``on_line``, with the lines that came at once, each with a newline at its end.
            follow: continue until it has ended.
        """

        def on_each(text: str) -> None:
            for line in split_lines(text):
                on_line(line)

        command = self._command()
        command.driver.log(command.created.outputs_if_any(), run, on_text or on_each, follow=follow)

    def cancel(self, run: str = "") -> RunRecord:
        """End a run, the active one if none is named. The machines keep running."""
        command = self._command()
        return command.driver.cancel(command.created.outputs(), run)

    def check(self, *, skip: Sequence[str] = ()) -> tuple[CheckResult, ...]:
        """Check everything that :meth:`train` checks before it starts a run, on machines that run. Change nothing.

        Args:
            skip: names of checks to leave out.
        """
        from pio_tf.training.preflight import check_names

        check_names(skip)
        command = self._command()
        return command.driver.check(command.created.outputs(), skip=skip)

    # The models

    def models(self) -> tuple[KeptModel, ...]:
        """Return the model that is served, then the others that are kept, the newest first. Change nothing.

        Raises:
            NotReady: the driver does not run, or neither models nor PredictionIO's metadata are in Elasticsearch.
        """
        command = self._command()
        return command.models.list(command.created.outputs())

    def roll_back_model(self, model: str = "", *, force: bool = False) -> Rollback:
        """Serve an older model again. Its engine instance becomes the one that `pio deploy` takes.

        Args:
            model: its name or a part of it; default: the newest that is kept.
            force: even if its mapping differs from that of the model that is served.

        Raises:
            ConfigError: no model, or several, are called so, or it is served already.
            NotReady: no model is kept, its copy is not complete, or its mapping has changed.
            Locked: a run is active or being prepared.
        """
        command = self._command()
        return command.models.roll_back(command.created.outputs(), model, force=force)

    # The software of the machines

    def sizing(self) -> Sizing:
        """Return heaps and cores of driver and executors. Report what does not fit as warnings."""
        fleet = self._command().fleet
        return fleet.sizing(fleet.look(strict=False).machines)

    def targets(self) -> tuple[SshTarget, ...]:
        """Return the running machines, to connect to. The driver, through which the others are reached, must run."""
        command = self._command()
        return command.driver.targets(command.created.outputs())

    def files(self, name: str = "") -> tuple[RemoteFile, ...]:
        """Return the files for the driver, as they are, with stars in place of passwords.

        Args:
            name: return only this file, if it does not depend on the machines. Only Spark's settings do.
        """
        from pio_tf.pio.files import show_files, show_fixed_files

        if self.config.pio.keep_files:
            self._context.report(Done("the driver's files stay as they are (pio.keep_files)"))
            return ()
        command = self._command()
        outputs = command.created.outputs()
        if chosen := tuple(file for file in show_fixed_files(self.config) if file.name == name):
            return chosen
        machines = command.fleet.look(outputs, strict=False).machines
        return show_files(self.config, outputs, command.fleet.sizing(machines))

    def push_config(self) -> tuple[ProvisionedFile, ...]:
        """Write those files to the running driver, where they differ. Return each file's state."""
        command = self._command()
        return command.driver.push(command.created.outputs())

    def push_engine(
        self, directory: Path | None = None, *, build: bool = False, dry_run: bool = False
    ) -> tuple[PushedEngine, Path | None]:
        """Bring an engine's sources to the running driver. Return what changed, and the build's log if it was built.

        These are the files that git tracks, as they are now; without git, all that ``.gitignore`` does not name.

        Args:
            directory: default: ``pio.engine.source``.
            build: run `pio build` there then.
            dry_run: only say what would change.

        Raises:
            ConfigError: it is no engine's directory, a file is too large, or a link leads out of it.
            NotReady: the build failed; the sources are there.
            RemoteError: the driver has no space for them, or may not write there. The engine is as it was.
        """
        command = self._command()
        return command.engine.push(command.created.outputs(), directory, build=build, dry_run=dry_run)

    def save_engine(self, target: str = "") -> SavedEngine:
        """Keep the engine on the driver, its build and sbt's caches as one archive with a SHA-512.

        Args:
            target: a directory, or ``s3://bucket/prefix``; default: ``.pio-tf/<cluster>/engines``.

        Raises:
            NotReady: the driver has no engine, or half of one.
            PioTfError: the archive cannot be written; there is none then.
        """
        command = self._command()
        return command.engine.save(command.created.outputs(), target)

    def restore_engine(self, archive: str = "", *, replace: bool = False) -> SavedEngine:
        """Bring such an archive to a driver, which needs no internet for that.

        Args:
            archive: a file, a directory (its newest archive) or an object in S3; default: the newest of this computer.
            replace: put it in the place of an engine that is there, which is kept in ``.pio-tf/kept`` of its directory.

        Raises:
            ConfigError: the archive is damaged, or of an engine in another directory; nothing was changed.
            NotReady: the driver has an engine already.
            RemoteError: the driver has no space for it, or may not write there. The engine there is as it was.
        """
        command = self._command()
        return command.engine.restore(command.created.outputs(), archive, replace=replace)

    def provision(self, machine: str = "", *, rollback: str = "") -> tuple[ProvisionedMachine, ...]:
        """Prepare running machines as at their first boot: install what is missing, a new version beside the old one.

        Then write the driver's files, as :meth:`push_config` does.

        Args:
            machine: its name; empty: all that run.
            rollback: go back to the version of this component that was in use before, instead: ``spark``, ``pio``, ….
        """
        command = self._command()
        if self.config.adopted:
            raise for_new_machines(self.config, "installs software as at a first boot")
        return command.driver.provision(command.created.outputs(), machine, rollback=rollback)

    def mirror_fetch(self, directory: Path, *, base: str = APACHE) -> tuple[Fetched, ...]:
        """Download everything that the machines install into a directory, and check it. Ask AWS for nothing.

        Args:
            base: base address of the archives that pio-tf.hcl gives no ``url`` for.

        Raises:
            PioTfError: an archive could not be downloaded, or is not the expected one; the others are there.
        """
        from pio_tf.config.components import components
        from pio_tf.mirror import Fetcher

        return Fetcher(directory, base.rstrip("/"), reporter=self._context.report).fetch(components(self.config))

    def mirror_list(self, *, base: str = APACHE) -> tuple[Listed, ...]:
        """Return everything that the machines install, with its address, size and checksum. Ask AWS for nothing.

        Raises:
            PioTfError: an archive is not at its address, or its checksum is not known.
        """
        from pio_tf.config.components import components
        from pio_tf.mirror import Fetcher

        return Fetcher(Path(), base.rstrip("/"), reporter=self._context.report).list(components(self.config))

    def mirror_push(self, directory: Path | None = None, url: str = "", *, base: str = APACHE) -> tuple[Pushed, ...]:
        """Copy everything that the machines install to ``s3://bucket/prefix``. Leave objects that exist there alone.

        Args:
            directory: of :meth:`mirror_fetch`, complete; None: the user's cache, after fetching what is missing there.
            url: default: the first bucket of ``software.mirrors``.
            base: as for :meth:`mirror_fetch`.

        Raises:
            ConfigError: no bucket is named; an archive is missing in the directory, or is not the expected one.
        """
        from pio_tf.config.components import components
        from pio_tf.mirror import Pusher, place_in_s3

        pusher = Pusher(self._context.aws.client("s3"), place_in_s3(self.config, url), self._context.report)
        if directory is None:
            directory = default_cache(self._context.environ) / "mirror"
            self.mirror_fetch(directory, base=base)
        return pusher.push(directory, components(self.config))
