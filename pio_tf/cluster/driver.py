"""What is asked of a cluster's driver, and whether its machines may stop: runs, locks, files, Spark's word."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from pio_tf.cluster.base import short
from pio_tf.cluster.mirror import MirrorWork
from pio_tf.cluster.unproved import unanswered
from pio_tf.errors import (
    AwsError,
    ConfigError,
    Locked,
    NotReady,
    PioTfError,
    RemoteError,
)
from pio_tf.events import Step, Warned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from pio_tf.model import Machine, Outputs
    from pio_tf.pio.files import RemoteFile
    from pio_tf.remote.connect import RetryPolicy
    from pio_tf.remote.files import ProvisionedFile
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.deadline import DeadlineWatch
    from pio_tf.training.driver_session import DriverSession
    from pio_tf.training.provisioning import ProvisionedMachine
    from pio_tf.training.runs.claims import Claims, Facts
    from pio_tf.training.runs.run_bucket import RunBucket, Upload

_T = TypeVar("_T")
_STATUS_PATIENCE = 5.0
"""Seconds that `status` waits for the driver to answer: it shows what is, it does not wait for what will be."""


class DriverWork(MirrorWork):
    """A cluster with its driver."""

    def targets(self) -> tuple[SshTarget, ...]:
        """The running machines, to connect to.

        Raises:
            NotReady: the driver, through which the others are reached, does not run.
        """
        from pio_tf.remote.target import ssh_targets

        machines = self._machines(self.outputs())
        self._check_driver_runs(machines)
        return ssh_targets(self.config, [machine for machine in machines if machine.state == "running"])

    def files(self) -> tuple[RemoteFile, ...]:
        """The files for the driver, as they are, but for stars in place of passwords."""
        from pio_tf.pio.files import render_files
        from pio_tf.pio.secrets import HiddenSecrets

        return render_files(self.config, self.outputs(), self.sizing(), HiddenSecrets())

    def push_config(self) -> tuple[ProvisionedFile, ...]:
        """Write those files to the running driver, where they differ. Returns what became of each."""
        machines, outputs = self._running()
        sizing = self.sizing()
        return self._ask(machines, lambda driver: driver.push(outputs, sizing))

    def provision(self, machine: str = "", *, rollback: str = "") -> tuple[ProvisionedMachine, ...]:
        """Prepare running machines as at their first boot: what is missing is installed, a new version beside the old.

        Then the driver's files are written, as :meth:`push_config` does.

        Args:
            machine: its name; empty: all that run.
            rollback: go back to the version of this component that was in use before, instead: ``spark``, ``pio``, ….

        Raises:
            ConfigError: there is no such machine, or it has no such component.
            NotReady: the driver, or the machine, does not run.
            Locked: a run is active, or being prepared.
            RemoteError: a step failed: which, and why.
        """
        machines, outputs = self._running()
        wanted = self._choose(outputs, {one.name for one in machines}, machine, rollback)
        self._report(Step(f"Rolling {rollback} back" if rollback else f"Provisioning {len(wanted)} machines"))
        done = self._ask(machines, lambda driver: driver.provision(outputs, wanted, component=rollback))
        if any(one.machine == outputs.driver.name for one in done):
            sizing = self.sizing()
            try:
                self._ask(machines, lambda driver: driver.push(outputs, sizing))
            except RemoteError as error:
                if error.details.get("kind") != "write":
                    raise
                self._report(Warned(f"the driver is not configured yet: {error}\nthen:  pio-tf config push"))
        return done

    def _choose(self, outputs: Outputs, awake: Collection[str], machine: str, component: str) -> list[str]:
        """The machines to provision."""
        from pio_tf.config.components import components
        from pio_tf.infra.bootstrap import FOR_SPARK

        names = [one.name for one in outputs.machines]
        if machine and machine not in names:
            raise ConfigError(f"there is no machine {machine!r}", next_step=f"choose one of {', '.join(names)}")
        known = [one.name for one in components(self.config)]
        if component and component not in known:
            raise ConfigError(f"there is no component {component!r}", next_step=f"choose one of {', '.join(known)}")
        if component and component not in FOR_SPARK:
            if machine and machine != outputs.driver.name:
                step = f"pio-tf provision driver --rollback {component}"
                raise ConfigError(f"only the driver has {component}, not {machine}", next_step=step)
            return [outputs.driver.name]
        if machine and machine not in awake:
            raise NotReady(f"{machine} does not run", next_step="pio-tf up")
        return [machine] if machine else [name for name in names if name in awake]

    def _awake_driver(self) -> bool:
        """Whether the driver's power is on: a run of somebody else's may be active."""
        return any(one.role == "driver" and one.state == "running" for one in self._machines(None, strict=False))

    def _ask(
        self,
        machines: Sequence[Machine],
        work: Callable[[DriverSession], Awaitable[_T]],
        *,
        wait: bool = False,
        patience: RetryPolicy | None = None,
        upload: str = "",
    ) -> _T:
        """Do some work over one connection to the driver.

        Args:
            machines: those that run.
            wait: until all of them, and Spark, are ready.
            patience: for a driver that should be up already.
            upload: where logs and records go to; default: ``train.upload``.
        """
        from pio_tf.training.driver_session import QUICK, DriverSetup, open_session

        setup = DriverSetup(
            self.config,
            machines,
            self._ec2,
            secrets=lambda: self._secrets,
            upload=self._upload,
            upload_to=upload or self.config.train.upload or "",
            shared=self._shared,
            reporter=self._report,
            deadline=self._deadline_watch(),
        )

        async def connected() -> _T:
            async with (self._open_session or open_session)(setup, wait=wait, patience=patience or QUICK) as session:
                return await work(session)

        return asyncio.run(connected())

    def _deadline_watch(self) -> DeadlineWatch | None:
        """For who follows a run; see :class:`pio_tf.cluster.deadline.DeadlineWork`."""
        return None

    @cached_property
    def _shared(self) -> RunBucket | None:
        """Where every client finds the runs, if the state is in S3."""
        from pio_tf.infra.backend.s3 import open_objects, s3_backend
        from pio_tf.training.runs.run_bucket import RunBucket

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
                state = self._ask(awake, lambda driver: driver.state())
            except PioTfError as error:
                return Facts("on", silent=short(error))
            return Facts("on", state.holder, {run.id: run.state for run in state.runs})
        changing = any(machine.state in ("pending", "stopping") for machine in machines)
        return Facts("changing" if changing else "off")

    def _upload(self, url: str) -> Upload:
        from pio_tf.training.runs.run_bucket import Upload

        return Upload(self._aws.client("s3"), url)

    def _checked_upload(self, url: str | None) -> str:
        wanted = url or self.config.train.upload or ""
        if wanted:
            self._upload(wanted).check()
        return wanted

    def _running(self, *, strict: bool = True) -> tuple[list[Machine], Outputs]:
        """The machines that run, and the outputs without workers that do not.

        Args:
            strict: False does with those that there are, for a run that has begun.

        Raises:
            NotReady: the driver does not run.
        """
        outputs = self.outputs()
        machines = self._ours(self._machines(outputs, strict=strict))
        self._check_driver_runs(machines)
        awake, fewer = self._at_work(machines, outputs)
        enough = len(fewer.workers) >= (self.config.spark.min_workers or len(outputs.workers))
        return awake, fewer if enough else outputs

    def _at_work(self, machines: Sequence[Machine], outputs: Outputs) -> tuple[list[Machine], Outputs]:
        """The machines that run, and the outputs without the workers that do not."""
        awake = [machine for machine in machines if machine.state == "running"]
        return awake, outputs.only({machine.name for machine in awake})

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
                self._report(Warned(f"it is not known whether somebody starts a run: {short(error)}"))
        awake = [machine for machine in machines if machine.state == "running"]
        if not any(machine.role == "driver" for machine in awake):
            return
        from pio_tf.remote.connect import RetryPolicy

        patience = None if within is None else RetryPolicy(timeout=within, denied=0.0, attempt=within)
        try:
            self._ask(
                awake,
                lambda driver: driver.prepare_stop(force=force, own_run=own, timeout=within),
                patience=patience,
            )
        except Locked:
            raise
        except PioTfError as error:
            if force or not sure:
                self._report(Warned(f"the driver was not asked for runs: {short(error)}"))
                return
            raise unanswered(self.config, machines, error) from error

    def _check_driver_runs(self, machines: Sequence[Machine]) -> None:
        driver = next((machine for machine in machines if machine.role == "driver"), None)
        if driver is None or driver.state != "running":
            raise NotReady(f"the driver is {driver.state if driver else 'gone'}", next_step="pio-tf up")

    def _check_key(self) -> None:
        """Before a machine is made or started that nobody could log in to."""
        from pio_tf.remote.login import load_login

        load_login(self.config)

    async def _ask_driver(self, machines: tuple[Machine, ...]) -> tuple[frozenset[str] | None, str]:
        """Addresses of the workers that Spark has ALIVE, None where it cannot be asked; and the run that is active."""
        from pio_tf.remote.connect import RetryPolicy
        from pio_tf.remote.ssh import connect_cluster
        from pio_tf.remote.target import ssh_targets
        from pio_tf.training.runs.driver_runs import DriverRuns
        from pio_tf.training.spark_master import spark_status

        awake = {machine.role: machine for machine in machines if machine.state == "running"}
        if "driver" not in awake or "master" not in awake:
            return None, ""
        patience = RetryPolicy(timeout=_STATUS_PATIENCE, denied=0.0, attempt=_STATUS_PATIENCE)
        try:
            targets = ssh_targets(self.config, (awake["driver"],))
            async with connect_cluster(self.config, targets, retry=patience) as remote:
                holder = (await DriverRuns(remote).state()).holder
                port = self.config.spark.master_ui_port
                status = await spark_status(remote, master=awake["master"].private_ip, port=port)
                return status.alive_hosts, holder.run if holder else ""
        except PioTfError as error:  # without a key too: what runs, and costs, is shown whatever happens
            self._report(Warned(f"Spark was not asked for its workers: {short(error)}"))
            return None, ""
