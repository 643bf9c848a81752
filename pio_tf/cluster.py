"""One cluster, and everything that can be done to it: what the commands do, for Python programs.

::

    from pio_tf import Cluster

    cluster = Cluster.load("pio-tf.hcl")
    run = cluster.train(["--total-executor-cores", "16"])
    print(run.id, run.seconds, run.model)
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.config.load import load_config
from pio_tf.config.sizing import Sizing, size_cluster
from pio_tf.errors import AwsError, GuardRefused, Locked, MachinesMayBeRunning, NotReady, PioTfError, RemoteError
from pio_tf.events import Done, Reporter, Step, Warned, silent
from pio_tf.infra.deployment import Deployment
from pio_tf.infra.guard import refuse_doubles
from pio_tf.infra.outputs import refuse_another_region
from pio_tf.infra.stack import render_stack, write_stack
from pio_tf.machines.aws import Aws, aws_errors
from pio_tf.machines.identity import who_am_i
from pio_tf.machines.instance_types import describe_instance_types
from pio_tf.machines.inventory import find_machines, find_untagged
from pio_tf.machines.model import CLUSTER_TAG
from pio_tf.machines.power import start_machines, stop_machines
from pio_tf.machines.references import check_references

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.config.schema import Config
    from pio_tf.iam import Policy
    from pio_tf.infra.artifact import Artifact
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.outputs import Outputs
    from pio_tf.infra.plan import Plan
    from pio_tf.infra.policy import Judgement
    from pio_tf.machines.model import Machine
    from pio_tf.pio.files import RemoteFile
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.files import Put
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.runs.bucket import RunBucket
    from pio_tf.training.runs.claims import Claims, Facts
    from pio_tf.training.runs.record import RunRecord
    from pio_tf.training.runs.upload import Upload
    from pio_tf.training.trainer import Trainer


IDLE_FOR = 1800.0
"""Seconds without a start and without a run after which `down_if_idle` takes machines for idle: a cluster that somebody
has started by hand, or that comes up for a training, is not stopped under them."""
_INTERRUPTED_PATIENCE = 2.0
"""Seconds that an interrupted training waits for the driver before the machines are stopped: a cancelled job is killed
10 s after its first signal, and asked a second time after 7.5 s (GitHub's runner; others give it more)."""
_LAST_PATIENCE = 0.75
"""The same after a second signal."""
_STATUS_PATIENCE = 5.0
"""Seconds that `status` waits for the driver to answer: it shows what is, it does not wait for what will be."""


@dataclass(frozen=True)
class ClusterStatus:
    """What ``status`` found."""

    cluster: str
    created: bool
    """Whether Terraform has outputs: the cluster has been created."""
    machines: tuple[Machine, ...]
    alive: frozenset[str] | None
    """Private addresses of the workers that Spark's master counts as ALIVE; None where it could not be asked."""
    run: str = ""
    """The run that is active, or being prepared; empty: none, or the driver could not be asked."""

    def spark_alive(self, machine: Machine) -> bool | None:
        """Whether Spark has this worker; None for other roles and where it is not known."""
        if machine.role != "worker" or self.alive is None:
            return None
        return machine.private_ip in self.alive


class Cluster:
    """One driver, one Spark master and N workers.

    Args:
        config: what pio-tf.hcl says.
        reporter: gets progress as events (:mod:`pio_tf.events`).
        environ: environment for Terraform; default: this process's.

    Every method raises errors of :mod:`pio_tf.errors` only.
    """

    def __init__(
        self, config: Config, *, reporter: Reporter = silent, environ: Mapping[str, str] | None = None
    ) -> None:
        self.config = config
        self._report = reporter
        self._environ = dict(os.environ if environ is None else environ)

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
    ) -> Cluster:
        """The cluster of a pio-tf.hcl; default: ``$PIO_TF_CONFIG``, else ``pio-tf.hcl`` here.

        Raises:
            ConfigError: the file is missing or wrong; every mistake with its line.
        """
        return cls(load_config(path, environ=environ), reporter=reporter, environ=environ)

    @cached_property
    def _deployment(self) -> Deployment:
        return Deployment(self.config, reporter=self._report, environ=self._environ)

    @cached_property
    def _aws(self) -> Aws:
        with aws_errors():
            return Aws(self.config)

    @cached_property
    def _ec2(self) -> EC2Client:
        with aws_errors():
            return self._aws.client("ec2")

    @cached_property
    def _secrets(self) -> Secrets:
        from pio_tf.pio.secrets import resolve_secrets

        return resolve_secrets(self.config, self._aws.client)

    # Terraform

    def generate(self, directory: Path | None = None) -> Path:
        """Write the stack; default: where pio-tf itself uses it. Returns its directory."""
        if directory is None:
            return self._deployment.generate()
        terraform = self.config.terraform.model_copy(update={"directory": directory.absolute()})
        return write_stack(self.config.model_copy(update={"terraform": terraform}))

    def plan(self, out: Path | None = None) -> Plan:
        """What Terraform would create or change. Changes nothing.

        Args:
            out: keep the plan in this directory, for :meth:`apply`: with a manifest, ``plan.json`` and ``plan.md``. A
                plan that the guard refuses leaves only these two.

        Raises:
            ConfigError: something that pio-tf.hcl refers to does not exist.
            GuardRefused: the plan would delete or replace a machine, a disk or an address, or make a machine that is
                there already a second time, or break another rule of the guard.
        """
        return self._plan(self._machines(None), out=out)

    def apply(self, artifact: Path | None = None) -> Outputs:
        """Create and change what pio-tf.hcl asks for; power stays as it was.

        A change of the instance type makes the AWS provider start a machine that was stopped
        (terraform-provider-aws #1998): such machines are stopped again.

        Args:
            artifact: a directory of :meth:`plan`: exactly that plan is applied, or none.

        Raises:
            GuardRefused: as for :meth:`plan`; or the kept plan was changed, or is for another cluster, account, region
                or state than is here now: what differs.
            Locked: a run is active that this would cut off.
        """
        from pio_tf.infra.artifact import read_artifact

        kept = read_artifact(artifact) if artifact is not None else None
        there = self._machines(None)
        stopped = {machine.instance_id for machine in there if machine.state in ("stopped", "stopping")}
        try:
            plan = self._plan(there) if kept is None else self._open_plan(kept, there)
            self._refuse_to_cut_off(plan, there)
            return self._create(plan)
        finally:
            machines = self._machines(None)
            awake = [machine for machine in machines if machine.state in ("pending", "running")]
            started = [machine for machine in awake if machine.instance_id in stopped]
            if started:
                self._report(Step(f"Stopping again what Terraform started: {', '.join(m.name for m in started)}"))
                stop_machines(self._ec2, started, timeout=self.config.cluster.stop_timeout, reporter=self._report)
            if len(awake) > len(started):
                self._report(Warned(f"{len(awake) - len(started)} machines run, and cost: `pio-tf down` stops them"))

    def check_plan(self, artifact: Path) -> Plan:
        """Whether :meth:`apply` would take a kept plan now. Changes nothing.

        Raises:
            ConfigError: it is no plan.
            GuardRefused: it would not: why.
        """
        from pio_tf.infra.artifact import read_artifact

        plan = self._open_plan(read_artifact(artifact), self._machines(None))
        plan.path.unlink(missing_ok=True)  # it holds the state's secrets
        return plan

    def drift(self) -> tuple[Drift, ...]:
        """What somebody has changed in AWS behind Terraform's back. Power is no drift. Changes nothing.

        Raises:
            NotReady: the cluster has not been created.
        """
        self.outputs()
        self._report(Step("Looking for drift"))
        return self._deployment.drift()

    def guard(self, plan: Path | None = None) -> Judgement:
        """What the guard makes of a plan, and what it costs. Changes nothing, and refuses nothing.

        Args:
            plan: a directory of :meth:`plan`, or a file of ``terraform show -json``; default: a new plan.

        Raises:
            ConfigError: it is no plan, or one of another cluster.
        """
        from pio_tf.infra.policy import judge, judge_file

        if plan is not None:
            return judge_file(self.config, plan)
        check_references(self.config, self._ec2, existing={machine.name for machine in self._machines(None)})
        self._report(Step("Planning"))
        draft = self._deployment.draft()
        draft.path.unlink(missing_ok=True)  # nobody is going to apply it, and it holds the state's secrets
        return judge(self.config, draft.json)

    def iam(self, role: str = "", *, account: str = "") -> tuple[Policy, ...]:
        """The narrowest IAM policies for a pipeline's jobs. Asks AWS for nothing.

        Args:
            role: one of :data:`pio_tf.iam.ROLES`; empty: all that pio-tf.hcl has a use for.
            account: twelve digits; default: that of ``aws.assume_role``, else any.

        Raises:
            ConfigError: there is no such role, or no such account.
        """
        from pio_tf.iam import policies

        return policies(self.config, role, account=account)

    def outputs(self) -> Outputs:
        """Terraform's outputs.

        Raises:
            NotReady: the cluster has not been created.
        """
        outputs = self._deployment.outputs()
        if outputs is None:
            raise NotReady(
                f"{self.config.cluster.name} has not been created",
                cause=f"the stack in {self.config.stack_dir} has no outputs",
                next_step="pio-tf up",
            )
        return outputs

    def destroy(self) -> None:
        """Remove the cluster for good. The one way to lose machines, disks and addresses.

        Raises:
            Locked: a run is active.
        """
        name = self.config.cluster.name
        found = self._machines(None)  # asks AWS first: without it, Terraform's own words would come late and be many
        self._let_go(found, force=False, sure=False)
        self._report(Step(f"Removing {name}: {len(found)} machines, with their disks and addresses"))
        self._deployment.destroy()
        self._applied.unlink(missing_ok=True)
        left = self._machines(None)
        if left:
            raise MachinesMayBeRunning(
                f"{len(left)} machines of {name} are still there: {_names(left)}",
                cause="they carry the cluster's tags but were not in Terraform's state",
                next_step="remove them by hand: aws ec2 terminate-instances --instance-ids "
                + " ".join(machine.instance_id for machine in left),
            )

    # Power

    def up(self) -> tuple[Machine, ...]:
        """Create what is missing, start what is stopped, wait until Spark has every worker, configure the driver.

        Safe to repeat, from any mixture of states.

        Raises:
            NotReady: not ready within ``cluster.start_timeout``; what is up stays up.
        """
        self._check_key()
        sizing, _ = self.sizing(), self._secrets  # all that may be wrong, before a machine is started
        try:
            machines, outputs = self._up()
            asyncio.run(self._trainer(machines).configure(outputs, sizing))
        except KeyboardInterrupt:
            self._report(
                Warned("interrupted: machines that were made or started go on running; `pio-tf down` stops them")
            )
            raise
        except RemoteError as error:
            if error.details.get("kind") != "write":
                raise
            # The cluster is up, as asked for: on a new driver PredictionIO is yet to be installed. `train` insists.
            self._report(Warned(f"the driver is not configured yet: {error}\nthen:  pio-tf config push"))
        return machines

    def down(self, *, force: bool = False) -> tuple[Machine, ...]:
        """Stop every machine and wait until AWS says that it is stopped. Safe to repeat.

        Logs and records of runs that have ended are copied here first.

        Args:
            force: end a run that is active, and stop machines whose driver does not answer.

        Raises:
            Locked: a run is active, or being prepared.
            MachinesMayBeRunning: not all of them are stopped within ``cluster.stop_timeout``; or the driver runs but
                does not answer, so that nobody knows whether a run is active.
        """
        return self._down(force=force)

    def down_if_idle(self, *, idle_for: float = IDLE_FOR) -> tuple[Machine, ...]:
        """As :meth:`down`, where nobody uses the machines; else nothing is stopped, and the reason is reported.

        It does not wait for anything to end.

        Args:
            idle_for: seconds that must have passed since the last machine was started and since the last run ended.

        Raises:
            MachinesMayBeRunning: as :meth:`down` does.
        """
        from pio_tf.training.idle import find_runs, find_starts

        machines = self._machines(None, strict=False)
        awake = [machine for machine in machines if machine.state in ("pending", "running")]
        busy = find_starts(awake, grace=idle_for, now=time.time())
        if not busy and any(machine.role == "driver" for machine in awake):
            try:
                busy = find_runs(asyncio.run(self._trainer(awake).state()), grace=idle_for, now=time.time())
            except PioTfError as error:
                raise _unanswered(awake, error) from error
        if not busy:
            try:
                return self._down()
            except Locked as error:  # a run has begun this very moment
                busy = error.what
        self._report(Done(f"nothing was stopped: {busy}"))
        return tuple(self._machines(self._outputs_if_any(), strict=False))

    def _down(
        self, *, force: bool = False, own: str = "", sure: bool = True, within: float | None = None, again: bool = False
    ) -> tuple[Machine, ...]:
        """As :meth:`down`.

        Args:
            own: a run that is ended first, if it is active.
            sure: whether a driver that does not answer may have a run.
            within: seconds for the driver to answer; default: its usual patience.
            again: it was interrupted before: Terraform is not asked, the machines' tags must do.
        """
        outputs = None if again else self._outputs_if_any()
        machines = self._machines(outputs, strict=False)
        untagged = (
            find_untagged(self._ec2, cluster=self.config.cluster.name, outputs=outputs, found=machines)
            if outputs
            else []
        )
        if not machines and not untagged:
            self._report(Done(f"{self.config.cluster.name} has no machines"))
            return ()
        running = [machine for machine in machines if machine.state != "stopped"]
        if running:
            self._let_go(running, force=force, own=own, sure=sure, within=within)
            self._report(Step(f"Stopping {len(running)} of {len(machines)} machines"))
            stopped = stop_machines(self._ec2, running, timeout=self.config.cluster.stop_timeout, reporter=self._report)
            now = {machine.instance_id: machine for machine in stopped}
            machines = [now.get(machine.instance_id, machine) for machine in machines]
            if self._claims:
                self._claims.tidy()
        self._report(Done(f"{len(machines)} machines are stopped"))
        awake = [machine for machine in untagged if machine.state != "stopped"]
        if awake:
            raise MachinesMayBeRunning(
                f"not stopped: {_names(awake)}",
                cause=f"they are in Terraform's outputs, but without the tag {CLUSTER_TAG}, and what does not carry "
                "it is not touched",
                next_step="`pio-tf apply` puts the tag back, then `pio-tf down`; or by hand: "
                "aws ec2 stop-instances --instance-ids " + " ".join(machine.instance_id for machine in awake),
                details={"machines": [machine.instance_id for machine in awake]},
            )
        return tuple(machines)

    def status(self) -> ClusterStatus:
        """The machines and their power, and which workers Spark has. Changes nothing."""
        outputs = self._outputs_if_any()
        machines = tuple(self._machines(outputs, strict=False))
        alive, run = asyncio.run(self._ask_driver(machines))
        return ClusterStatus(self.config.cluster.name, outputs is not None, machines, alive, run)

    def targets(self) -> tuple[SshTarget, ...]:
        """The running machines, to connect to.

        Raises:
            NotReady: the driver, through which the others are reached, does not run.
        """
        from pio_tf.remote.target import ssh_targets

        machines = self._machines(self.outputs())
        self._check_driver_runs(machines)
        return ssh_targets(self.config, [machine for machine in machines if machine.state == "running"])

    # PredictionIO

    def sizing(self) -> Sizing:
        """Heaps and cores of driver and executors. Reports what does not fit as warnings."""
        config = self.config
        with aws_errors():
            specs = describe_instance_types(self._ec2, {config.driver.instance_type, config.spark.instance_type})
        sizing = size_cluster(config, specs)
        for warning in sizing.warnings:
            self._report(Warned(warning))
        return sizing

    def files(self) -> tuple[RemoteFile, ...]:
        """The files for the driver, as they are, but for stars in place of passwords."""
        from pio_tf.pio.files import render_files
        from pio_tf.pio.secrets import HiddenSecrets

        return render_files(self.config, self.outputs(), self.sizing(), HiddenSecrets())

    def push_config(self) -> tuple[Put, ...]:
        """Write those files to the running driver, where they differ. Returns what became of each."""
        trainer, outputs = self._running()
        return asyncio.run(trainer.push(outputs, self.sizing()))

    # Runs

    def train(
        self,
        extra: Sequence[str] = (),
        *,
        keep_up: bool | None = None,
        detach: bool = False,
        build: bool = False,
        skip_checks: Sequence[str] = (),
        upload: str | None = None,
        apply: bool = True,
    ) -> RunRecord:
        """Start the machines, check, train, prove that there is a model, and stop the machines again whatever happens.

        Args:
            extra: more spark-submit arguments; they win over ours.
            keep_up: leave the machines running; default: ``train.keep_up``.
            detach: return once the run has begun; it and the machines go on.
            build: run `pio build` first.
            skip_checks: checks to leave out, of :data:`pio_tf.training.preflight.CHECKS`.
            upload: ``s3://bucket/prefix`` for log and record; default: ``train.upload``.
            apply: first create and change what pio-tf.hcl asks for; False: train on what was applied, whatever it asks.

        Raises:
            Locked: another run is active, or being prepared; its machines are left alone.
            NotReady: the cluster did not become ready, or a check failed; no run was started.
            TrainingFailed: the run ended without a model.
            MachinesMayBeRunning: they could not be stopped, or a run that nobody can see may go on.
        """
        from pio_tf.pio.command import check_arguments
        from pio_tf.training.preflight import check_names
        from pio_tf.training.trainer import Order

        self._check_key()
        check_names(skip_checks)
        check_arguments(self.config, extra=extra)  # all of it before a machine is started for nothing
        sizing, _ = self.sizing(), self._secrets
        to = self._checked_upload(upload)
        order = Order(extra, build, skip_checks, detach, stop_after=not self._keeps_up(keep_up))
        ready: list[tuple[tuple[Machine, ...], Outputs]] = []

        def run(on_id: Callable[[str], None]) -> RunRecord:
            machines, outputs = ready[0]
            return asyncio.run(self._trainer(machines, upload=to).train(outputs, sizing, order, on_id))

        def session() -> RunRecord:
            there = not apply or self._is_applied()
            return self._session(
                lambda: ready.append(self._up(apply=apply)), run, keep_up=keep_up, there=there, own=order.run
            )

        return self._claims.around(order.run, session) if self._claims else session()

    def attach(self, run: str = "", *, keep_up: bool | None = None, upload: str | None = None) -> RunRecord:
        """Follow a run, the latest if none is named, to its end; then stop the machines, as :meth:`train` does.

        Raises what :meth:`train` does.
        """
        trainer, _ = self._running(upload=self._checked_upload(upload))
        found = asyncio.run(trainer.find(run))  # before anything is stopped for a mistyped id

        def follow(on_id: Callable[[str], None]) -> RunRecord:
            on_id(found)
            return asyncio.run(trainer.attach(found))

        return self._session(lambda: None, follow, keep_up=keep_up, there=True)

    def runs(self) -> tuple[RunRecord, ...]:
        """Every run that the driver, while it runs, or this computer knows of; oldest first. Changes nothing."""
        from pio_tf.training.runs.archive import Archive
        from pio_tf.training.trainer import merge, shared_records

        outputs = self._outputs_if_any()
        machines = self._machines(outputs, strict=False) if outputs else []
        awake = [machine for machine in machines if machine.state == "running"]
        if any(machine.role == "driver" for machine in awake):
            try:
                return asyncio.run(self._trainer(awake).runs())
            except PioTfError as error:
                self._report(Warned(f"only what this computer knows: {_short(error)}"))
        return merge(Archive.of(self.config), None, shared_records(self._shared, self._report))

    def logs(self, run: str = "", on_line: Callable[[str], None] = lambda _line: None, *, follow: bool = False) -> None:
        """Hand out the lines of a run's log, the latest run's if none is named.

        Args:
            follow: go on until it has ended.

        Raises:
            ConfigError: there is no such run.
        """
        from pio_tf.training.runs.archive import Archive, find_run
        from pio_tf.training.runs.show import read_kept
        from pio_tf.training.trainer import merge, shared_records

        machines = self._machines(self._outputs_if_any(), strict=False)
        awake = [machine for machine in machines if machine.state == "running"]
        if any(machine.role == "driver" for machine in awake):
            asyncio.run(self._trainer(awake).log(run, on_line, follow=follow))
        else:
            archive = Archive.of(self.config)
            known = merge(archive, None, shared_records(self._shared, self._report))
            read_kept(find_run(run, [record.id for record in known]), archive, self._shared, on_line)

    def cancel(self, run: str = "") -> RunRecord:
        """End a run, the active one if none is named. The machines go on.

        Raises:
            ConfigError: there is no such run.
        """
        trainer, _ = self._running()
        return asyncio.run(trainer.cancel(run))

    def check(self, *, skip: Sequence[str] = ()) -> tuple[CheckResult, ...]:
        """Everything that :meth:`train` checks before it starts a run, on machines that run. Changes nothing.

        Args:
            skip: names of checks to leave out.
        """
        from pio_tf.training.preflight import check_names

        check_names(skip)
        trainer, outputs = self._running()
        return asyncio.run(trainer.check(outputs, self.sizing(), skip=skip))

    def _session(
        self,
        up: Callable[[], object],
        run: Callable[[Callable[[str], None]], RunRecord],
        *,
        keep_up: bool | None,
        there: bool,
        own: str = "",
    ) -> RunRecord:
        """A run between ``up`` and ``down``.

        Args:
            run: is given a function to tell the run's id to.
            there: whether the machines are there already, as far as is known: then somebody else may use them.
            own: the id of a run that is to be begun.
        """
        from pio_tf.training.session import train

        ids: list[str] = []
        before = self._awake_driver() if there else None
        out_of_sight = False
        interrupted = False
        stops = 0

        def started() -> None:
            nonlocal interrupted
            try:
                up()
            except KeyboardInterrupt:
                interrupted = True
                raise

        def watched() -> RunRecord:
            nonlocal out_of_sight, interrupted
            try:
                return run(ids.append)
            except KeyboardInterrupt:
                interrupted = True
                raise
            except PioTfError as error:
                out_of_sight = isinstance(error, RemoteError) and error.details.get("kind") == "out-of-sight"
                if ids:
                    error.details.setdefault("run", ids[-1])
                raise

        def down() -> None:
            nonlocal stops
            stops += 1
            self._down(
                # A run that this client has lost sight of goes on; any other that it started ends with it.
                own="" if out_of_sight else ids[-1] if ids else own,
                # The run of an interrupted client is its own: the lock was, so that nobody else has one.
                sure=bool(before or ids) and not (ids and interrupted),
                within=_LAST_PATIENCE if stops > 1 else _INTERRUPTED_PATIENCE if interrupted else None,
                again=stops > 1,
            )

        return train(
            up=started,
            run=watched,
            down=down,
            keep_up=self._keeps_up(keep_up),
            reporter=self._report,
        )

    def _keeps_up(self, keep_up: bool | None) -> bool:
        return self.config.train.keep_up if keep_up is None else keep_up

    def _awake_driver(self) -> bool:
        """Whether the driver's power is on: a run of somebody else's may be active."""
        return any(one.role == "driver" and one.state == "running" for one in self._machines(None))

    def _trainer(self, machines: Sequence[Machine], *, upload: str = "") -> Trainer:
        from pio_tf.training.trainer import Trainer

        return Trainer(
            self.config,
            machines,
            self._ec2,
            lambda: self._secrets,
            self._upload,
            upload or self.config.train.upload or "",
            self._shared,
            self._report,
        )

    @cached_property
    def _shared(self) -> RunBucket | None:
        """Where every client finds the runs, if the state is in S3."""
        from pio_tf.infra.backend.objects import open_objects
        from pio_tf.infra.backend.s3 import s3_backend
        from pio_tf.training.runs.bucket import RunBucket

        backend = s3_backend(self.config)
        return RunBucket(open_objects(self.config, backend), backend.prefix) if backend is not None else None

    @cached_property
    def _claims(self) -> Claims | None:
        """The run lock there."""
        from pio_tf.training.runs.claims import BEFORE_THE_START, Claims

        if self._shared is None:
            return None
        starts_within = self.config.cluster.start_timeout + BEFORE_THE_START
        return Claims(self._shared, facts=self._driver_facts, starts_within=starts_within, reporter=self._report)

    def _driver_facts(self) -> Facts:
        from pio_tf.training.runs.claims import Facts

        machines = self._machines(None)
        awake = [machine for machine in machines if machine.state == "running"]
        if any(machine.role == "driver" for machine in awake):
            try:
                state = asyncio.run(self._trainer(awake).state())
            except PioTfError as error:
                return Facts("on", silent=_short(error))
            return Facts("on", state.holder, {run.id: run.state for run in state.runs})
        changing = any(machine.state in ("pending", "stopping") for machine in machines)
        return Facts("changing" if changing else "off")

    def _upload(self, url: str) -> Upload:
        from pio_tf.training.runs.upload import Upload

        return Upload(self._aws.client("s3"), url)

    def _checked_upload(self, url: str | None) -> str:
        wanted = url or self.config.train.upload or ""
        if wanted:
            self._upload(wanted).check()
        return wanted

    def _running(self, *, upload: str = "") -> tuple[Trainer, Outputs]:
        """What works on machines that run.

        Raises:
            NotReady: the driver does not run.
        """
        outputs = self.outputs()
        machines = self._own(outputs)
        self._check_driver_runs(machines)
        awake = [machine for machine in machines if machine.state == "running"]
        return self._trainer(awake, upload=upload), outputs

    def _let_go(
        self,
        machines: Sequence[Machine],
        *,
        force: bool,
        own: str = "",
        sure: bool = True,
        within: float | None = None,
    ) -> None:
        """Make sure that no run is cut off when these machines stop. Raises as :meth:`down` does."""
        if self._claims:
            try:
                self._claims.before_stopping(force=force)
            except AwsError as error:  # machines must stop whatever is wrong with a bucket
                self._report(Warned(f"it is not known whether somebody starts a run: {_short(error)}"))
        awake = [machine for machine in machines if machine.state == "running"]
        if not any(machine.role == "driver" for machine in awake):
            return
        try:
            asyncio.run(self._trainer(awake).let_go(force=force, own=own, within=within))
        except Locked:
            raise
        except PioTfError as error:
            if force or not sure:
                self._report(Warned(f"the driver was not asked for runs: {_short(error)}"))
                return
            raise _unanswered(awake, error) from error

    def _check_driver_runs(self, machines: Sequence[Machine]) -> None:
        driver = next((machine for machine in machines if machine.role == "driver"), None)
        if driver is None or driver.state != "running":
            raise NotReady(f"the driver is {driver.state if driver else 'gone'}", next_step="pio-tf up")

    def _check_key(self) -> None:
        """Before a machine is made or started that nobody could log in to."""
        from pio_tf.remote.identity import load_identity

        load_identity(self.config)

    def _up(self, *, apply: bool = True) -> tuple[tuple[Machine, ...], Outputs]:
        outputs = self.outputs() if not apply else self._deployment.outputs() if self._is_applied() else None
        if outputs is None:
            there = self._machines(None)
            plan = self._plan(there)
            self._refuse_to_cut_off(plan, there)
            outputs = self._create(plan)
        machines = self._own(outputs)
        asleep = [machine for machine in machines if machine.state != "running"]
        if asleep:
            self._report(Step(f"Starting {len(asleep)} of {len(machines)} machines"))
            start_machines(self._ec2, asleep, timeout=self.config.cluster.start_timeout, reporter=self._report)
            machines = self._own(outputs)
        return tuple(machines), outputs

    async def _ask_driver(self, machines: tuple[Machine, ...]) -> tuple[frozenset[str] | None, str]:
        """Addresses of the workers that Spark has ALIVE, None where it cannot be asked; and the run that is active."""
        from pio_tf.remote.retry import Patience
        from pio_tf.remote.ssh import connect_cluster
        from pio_tf.remote.target import ssh_targets
        from pio_tf.training.readiness import spark_status
        from pio_tf.training.runs.on_driver import DriverRuns

        awake = {machine.role: machine for machine in machines if machine.state == "running"}
        if "driver" not in awake or "master" not in awake:
            return None, ""
        patience = Patience(timeout=_STATUS_PATIENCE, denied=0.0, attempt=_STATUS_PATIENCE)
        try:
            targets = ssh_targets(self.config, (awake["driver"],))
            async with connect_cluster(self.config, targets, patience=patience) as remote:
                holder = (await DriverRuns(remote).state()).holder
                port = self.config.spark.master_ui_port
                status = await spark_status(remote, master=awake["master"].private_ip, port=port)
                return status.alive_hosts, holder.run if holder else ""
        except PioTfError as error:  # without a key too: what runs, and costs, is shown whatever happens
            self._report(Warned(f"Spark was not asked for its workers: {_short(error)}"))
            return None, ""

    def _plan(self, there: Sequence[Machine], *, out: Path | None = None) -> Plan:
        """Plan, given the machines that AWS has with the cluster's tag; and keep it."""
        from pio_tf.infra.artifact import prepare_directory
        from pio_tf.infra.kept_plan import keep_plan

        if out is not None:
            prepare_directory(out)
        check_references(self.config, self._ec2, existing={machine.name for machine in there})
        self._report(Step("Planning"))
        plan = self._deployment.draft()
        refused: GuardRefused | None = None
        try:
            self._judge(plan, there)
        except GuardRefused as error:
            refused = error
        if out is not None:
            who = who_am_i(self._aws.client)
            keep_plan(
                self._deployment, plan, out, account=who.account, who=who.arn, refused=str(refused) if refused else ""
            )
        if refused is not None:
            raise refused
        return plan

    def _open_plan(self, artifact: Artifact, there: Sequence[Machine]) -> Plan:
        """A kept plan, judged by its file as if it were new."""
        from pio_tf.infra.kept_plan import open_plan

        self._report(Step(f"Checking the plan in {artifact.directory}, made at {artifact.manifest.when}"))
        plan = open_plan(self._deployment, artifact, account=who_am_i(self._aws.client).account)
        self._judge(plan, there)
        return plan

    def _judge(self, plan: Plan, there: Sequence[Machine]) -> None:
        self._deployment.judge(plan)
        existing = {machine.name: machine.instance_id for machine in there}
        refuse_doubles(plan.new_machines, existing, directory=self.config.stack_dir)

    def _create(self, plan: Plan) -> Outputs:
        if plan.has_changes:
            self._report(Step("Applying: " + ", ".join(f"{n} to {word}" for word, n in plan.counts.items() if n)))
        outputs = self._deployment.apply(plan)
        self._applied.parent.mkdir(parents=True, exist_ok=True)
        self._applied.write_text(self._digest() + "\n")
        return outputs

    def _refuse_to_cut_off(self, plan: Plan, machines: Sequence[Machine]) -> None:
        """A change of a machine may stop it: not while a run is active."""
        changed = [change.machine for change in plan.changes if change.machine and "update" in change.actions]
        awake = [machine for machine in machines if machine.state == "running"]
        if not changed or not any(machine.role == "driver" for machine in awake):
            return
        try:
            asyncio.run(self._trainer(awake).refuse_active(f"changing {', '.join(changed)}"))
        except Locked:
            raise
        except PioTfError as error:
            self._report(Warned(f"the driver was not asked for runs: {_short(error)}"))

    def _outputs_if_any(self) -> Outputs | None:
        """Terraform's outputs, where they can be had: machines must stop even where Terraform or its state fails."""
        try:
            outputs = self._deployment.outputs()
        except PioTfError as error:
            self._report(Warned(f"going by the machines' tags alone: {_short(error)}"))
            return None
        if outputs is not None:
            refuse_another_region(self.config, outputs.region)  # rather than find no machines, and call them stopped
        return outputs

    def _is_applied(self) -> bool:
        """Whether the stack that was applied last is the one that pio-tf.hcl asks for now."""
        try:
            return self._applied.read_text().strip() == self._digest()
        except OSError:  # what is in the way of it is named where it is written
            return False

    def _digest(self) -> str:
        files = render_stack(self.config)
        return hashlib.sha256("\0".join(f"{path}\0{files[path]}" for path in sorted(files)).encode()).hexdigest()

    @property
    def _applied(self) -> Path:
        return self.config.work_dir / "applied"

    def _machines(self, outputs: Outputs | None, *, strict: bool = True) -> list[Machine]:
        """The machines as EC2 shows them; without outputs, whatever carries the cluster's tag."""
        return find_machines(self._ec2, cluster=self.config.cluster.name, outputs=outputs, strict=strict)

    def _own(self, outputs: Outputs) -> list[Machine]:
        """The machines of Terraform's outputs. Others with the cluster's tag are left alone, and named."""
        machines = self._machines(outputs)
        strays = [machine for machine in machines if not machine.in_outputs]
        if strays:
            self._report(
                Warned(
                    f"{_names(strays)}: tagged for {self.config.cluster.name}, but not in Terraform's state (an "
                    "interrupted creation?). Left alone here; `pio-tf down` stops it"
                )
            )
        return [machine for machine in machines if machine.in_outputs]


def _short(error: PioTfError) -> str:
    return f"{error.what} ({error.cause})" if error.cause else error.what


def _unanswered(awake: Sequence[Machine], error: PioTfError) -> MachinesMayBeRunning:
    return MachinesMayBeRunning(
        "not stopped: the driver does not answer, and a run may be active on it",
        cause=_short(error),
        next_step="`pio-tf down --force` stops the machines whatever goes on there; or, "
        + (error.next_step or "try again"),
        details={"machines": [machine.instance_id for machine in awake], **error.details},
    )


def _names(machines: Sequence[Machine]) -> str:
    return ", ".join(f"{machine.name} ({machine.instance_id}, {machine.state})" for machine in machines)
