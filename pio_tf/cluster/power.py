"""A cluster's power: up, down, and how it stands."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from pio_tf.aws.errors import CAPACITY_ADVICE
from pio_tf.cluster.base import names, short, staying
from pio_tf.cluster.stack import StackWork
from pio_tf.cluster.status import ClusterStatus
from pio_tf.cluster.unproved import interrupted, not_ours, unanswered, unknown
from pio_tf.errors import AwsError, Locked, MachinesMayBeRunning, NotReady, PioTfError, RemoteError
from pio_tf.events import Done, Step, Warned
from pio_tf.machines.inventory import IS_SPOT, LEAVE_SPOT, find_untagged
from pio_tf.machines.power import start_machines
from pio_tf.machines.power_errors import lacking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.model import Machine, Outputs


IDLE_FOR = 1800.0


class PowerWork(StackWork):
    """A cluster with its power."""

    _started: frozenset[str] = frozenset()
    """Ids of the machines that this client has told AWS to start, and has not seen stopped since."""

    def up(self, *, lasting: float | None = None, deadline: bool = True) -> tuple[Machine, ...]:
        """Create what is missing, start what is stopped, wait until Spark has every worker, configure the driver.

        Safe to repeat, from any mixture of states. No machine is started before AWS is set to stop it again.

        Args:
            lasting: seconds from now until AWS stops the machines; default: ``train.max_runtime``. A deadline that is
                set already, and later, stands.
            deadline: False starts them without one.

        Raises:
            AwsError, ConfigError: the deadline cannot be set; nothing was started.
            NotReady: not ready within ``cluster.start_timeout``; what is up stays up. Or AWS has no capacity for all,
                also after ``cluster.capacity_wait``, nor for ``spark.min_workers``: what was started is stopped again.
            MachinesMayBeRunning: AWS can't be asked any more, or not be told to stop them.
        """
        self._check_key()
        sizing, _ = self.sizing(), self._secrets  # all that may be wrong, before a machine is started
        self._want_deadline(lasting, deadline=deadline)
        try:
            machines, outputs = self._up()
            awake, outputs = self._at_work(machines, outputs)
            whole = outputs
            self._ask(awake, lambda driver: driver.configure(whole, sizing), wait=True)
        except (KeyboardInterrupt, PioTfError) as error:
            if not isinstance(error, RemoteError) or error.details.get("kind") != "write":
                self._say_left_on(error)
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
                does not answer, so that nobody knows whether a run is active; or it was interrupted before that was
                proved.
        """
        self._seen = ()  # what an earlier command has seen is no proof
        try:
            return self._down(force=force)
        except KeyboardInterrupt as error:
            awake = self._still_awake()
            if awake is None and self.config.stack_dir.exists():
                raise unknown(self.config, (), None) from error
            if not awake:
                raise
            raise interrupted(self.config, awake) from error

    def down_if_idle(self, *, idle_for: float = IDLE_FOR) -> tuple[Machine, ...]:
        """As :meth:`down`, where nobody uses the machines; else nothing is stopped, and the reason is reported.

        It does not wait for anything to end.

        Args:
            idle_for: seconds that must have passed since the last machine was started and since the last run ended.

        Raises:
            MachinesMayBeRunning: as :meth:`down` does.
        """
        from pio_tf.training.idle import find_runs, find_starts

        try:
            machines = self._machines(None, strict=False)
        except AwsError as error:
            raise self._unknown(self._outputs_if_any(), error) from error
        awake = [machine for machine in machines if machine.is_on]
        busy = find_starts(awake, grace=idle_for, now=time.time())
        if not busy and any(machine.role == "driver" for machine in awake):
            try:
                busy = find_runs(self._ask(awake, lambda driver: driver.state()), grace=idle_for, now=time.time())
            except PioTfError as error:
                raise unanswered(self.config, awake, error) from error
        if not busy:
            try:
                return self.down()
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
        try:
            machines = self._machines(outputs, strict=False)
            untagged = (
                find_untagged(self._ec2, cluster=self.config.cluster.name, outputs=outputs, found=machines)
                if outputs
                else []
            )
        except AwsError as error:
            raise self._unknown(outputs, error) from error
        if not machines and not untagged:
            self._report(Done(f"{self.config.cluster.name} has no machines"))
            self._disarm()
            return ()
        running = [machine for machine in machines if machine.state != "stopped"]
        doubted = self._doubted(machines)
        if running or doubted:
            self._let_go(running, force=force, own=own, sure=sure, within=within)
            self._report(Step(f"Stopping {len(running) + len(doubted)} of {len(machines)} machines"))
            stopped = self._stop([*running, *doubted])
            now = {machine.instance_id: machine for machine in stopped}
            machines = [now.get(machine.instance_id, machine) for machine in machines]
            if self._claims:
                self._claims.tidy()
        self._power_note.end()
        self._report(Done(f"{len(machines)} machines are stopped"))
        if not again:
            self._let_go_of_deadline()
        awake = [machine for machine in untagged if machine.state != "stopped"]
        if awake:
            raise not_ours(self.config, awake)
        return tuple(machines)

    def _unknown(self, outputs: Outputs | None, error: AwsError) -> PioTfError:
        """AWS can't be asked which machines run. Where pio-tf has never made any, that is all there is to say."""
        ids = [machine.instance_id for machine in (outputs.machines if outputs else self._seen)]
        return unknown(self.config, ids, error) if ids or self.config.stack_dir.exists() else error

    def _doubted(self, machines: Sequence[Machine]) -> list[Machine]:
        """Machines that AWS shows as stopped and that somebody may just have started: DescribeInstances may lag by
        seconds. They are told to stop all the same, which does nothing to those that have."""
        asleep = [machine for machine in machines if machine.state == "stopped"]
        mine = any(machine.instance_id in self._started for machine in asleep)
        if not asleep or not (mine or self._is_armed()):
            return []
        return [replace(machine, state="pending") for machine in asleep]

    def _say_left_on(self, error: BaseException) -> None:
        """Of an `up` that was interrupted, or failed: what goes on running, and until when."""
        if isinstance(error, MachinesMayBeRunning | Locked):
            return  # it says so itself; or they run for somebody else
        if isinstance(error, PioTfError) and not (self._started or any(one.is_on for one in self._seen)):
            return  # AWS is not asked once more for nothing
        awake = [machine for machine in self._still_awake() or () if machine.is_on]
        if not awake and not self._started:
            return
        interrupted = "" if isinstance(error, PioTfError) else "interrupted; "
        which = names(awake) or "the machines that were started"
        self._report(Warned(f"{interrupted}left running: {which}; `pio-tf down` stops them"))
        if self._armed is not None:
            self._say_until()

    def _any_runs(self) -> bool:
        """Whether a machine runs, as far as AWS tells; where it cannot be asked, one may."""
        if self._started or any(machine.is_on for machine in self._seen):
            return True
        try:
            return any(machine.is_on for machine in self._machines(None, strict=False))
        except AwsError:
            return True

    def _stop(self, machines: Sequence[Machine]) -> list[Machine]:
        stopped = super()._stop(machines)
        self._started -= {machine.instance_id for machine in stopped}
        return stopped

    def status(self) -> ClusterStatus:
        """The machines and their power, and which workers Spark has. Changes nothing."""
        outputs = self._outputs_if_any()
        machines = tuple(self._machines(outputs, strict=False))
        for machine in machines:
            if machine.spot:
                self._report(Warned(f"{machine.name} ({machine.instance_id}) {IS_SPOT}; {LEAVE_SPOT}"))
        left = self._power_note.left()
        started = left.started(machines, and_new=True) if left else []
        if started:
            self._report(
                Warned(f"an apply that was cut off has left running: {names(started)}; `pio-tf down` stops them")
            )
        alive, run = asyncio.run(self._ask_driver(machines))
        deadline = self._deadline_if_known(machines)
        return ClusterStatus(self.config.cluster.name, outputs is not None, machines, alive, run, deadline)

    def _up(self, *, apply: bool = True) -> tuple[tuple[Machine, ...], Outputs]:
        outputs = self.outputs() if not apply else self._deployment.outputs() if self._is_applied() else None
        if outputs is None:
            there = self._machines(None)
            one_apply = self._one_apply(there)
            try:
                plan = self._plan_whole(there)
                self._refuse_to_cut_off(plan, there)
                self._arm_before_changes(plan, staying(there))
                outputs = self._create(plan, one_apply)
                found = self._machines(outputs)
                self._arm(outputs, staying(found))
            except PioTfError as error:  # also where no deadline can be armed: what was made runs, and is stopped
                self._restore_power(one_apply, failed=error)
                raise
            self._power_note.end()
        else:
            found = self._machines(outputs)
            self._arm(outputs, staying(found))
        machines = self._ours(found)
        asleep = [machine for machine in machines if machine.state != "running"]
        if asleep:
            self._report(Step(f"Starting {len(asleep)} of {len(machines)} machines"))
            self._start(asleep, workers=len(outputs.workers))
            self._check_still_armed()
            machines = self._own(outputs)
        self._power_note.end()  # they are wanted now
        return tuple(machines), outputs

    def _start(self, asleep: Sequence[Machine], *, workers: int) -> None:
        """Start these machines, of a cluster with so many workers; all or, for want of capacity, none of them."""
        cluster, spark = self.config.cluster, self.config.spark
        self._started |= {machine.instance_id for machine in asleep}
        try:
            started = start_machines(
                self._ec2,
                asleep,
                timeout=cluster.start_timeout,
                capacity_wait=cluster.capacity_wait,
                may_lack=max(0, workers - (spark.min_workers or workers)),
                reporter=self._report,
                clock=self._clock,
                sleep=self._sleep,
            )
        except NotReady as error:
            if "lacking" not in error.details:
                raise
            self._take_back(asleep, error)
        absent = [machine for machine in started if machine.state != "running"]
        if absent:
            self._report(
                Warned(
                    f"going on with {workers - len(absent)} of {workers} workers (spark.min_workers is "
                    f"{spark.min_workers}): AWS has no capacity for {lacking(absent)}"
                )
            )

    def _take_back(self, asleep: Sequence[Machine], error: NotReady) -> NoReturn:
        """Stop what was started in vain, and say why it was in vain."""
        ids = {machine.instance_id for machine in asleep}
        awake = [one for one in self._machines(None, strict=False) if one.instance_id in ids and one.state != "stopped"]
        if awake:
            self._report(Step(f"Stopping the {len(awake)} machines that were started"))
            try:
                self._stop(awake)
            except MachinesMayBeRunning as left:
                left.cause = f"before that: {short(error)}\n       stopping: {left.cause}"
                raise left from error
        self._started -= ids
        raise NotReady(
            error.what,
            cause=error.cause,
            next_step=f"{CAPACITY_ADVICE}; `spark.min_workers` in {self.config.path.name} goes on with fewer workers. "
            "What was started in vain is stopped again",
            details=error.details,
        ) from error
