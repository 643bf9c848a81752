"""The power of a cluster: up and down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.cluster.apply_guard import PowerNote
from pio_tf.cluster.defaults import always
from pio_tf.cluster.driver import unwritten
from pio_tf.cluster.fleet import Fleet
from pio_tf.cluster.messages import interrupted, names, not_ours, unanswered, unknown
from pio_tf.cluster.worker_choice import choose_workers
from pio_tf.errors import AwsError, Locked, MachinesMayBeRunning, PioTfError, RemoteError
from pio_tf.events import Done, Step, Warned
from pio_tf.model import count

if TYPE_CHECKING:
    from datetime import datetime

    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.defaults import Agree
    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import FleetView
    from pio_tf.cluster.named_machines import MachineSource
    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine, Outputs
    from pio_tf.training.runs.run_storage import RunStorage


class Power(Struct, frozen=True):
    """The power of one cluster, as one command switches it."""

    context: ClusterContext
    fleet: Fleet
    deadline: Deadline
    driver: Driver
    source: MachineSource
    storage: RunStorage

    def up(self, duration: float | None, *, deadline: bool, agree: Agree = always) -> tuple[Machine, ...]:
        """Create what is missing, start what is stopped, wait until Spark has every worker, configure the driver."""
        self.check_before_start()
        until = self.deadline.after(duration) if deadline else None
        try:
            view, whole = self.start(until, agree=agree)
            outputs = view.at_work(whole)
            sizing = self.fleet.sizing(view.running)
            self.driver.session(view, lambda session: session.configure_for_use(outputs, sizing), wait=True)
        except (KeyboardInterrupt, PioTfError) as error:
            if not isinstance(error, RemoteError) or error.details.get("kind") != "write":
                self._say_left_on(error)
            # The cluster is up, as asked for, even if its files can't be written yet. `train` insists on them.
            self.context.report(unwritten(error))
        return view.machines

    def check_before_start(self) -> None:
        """Check SSH key, sizes and passwords, before a machine is created or started for nothing."""
        self.driver.check_login()
        self.fleet.check_types()
        _ = self.context.secrets

    def start(
        self, until: datetime | None, *, apply: bool = True, agree: Agree = always, workers: int | None = None
    ) -> tuple[FleetView, Outputs]:
        """Start the machines, and wait until EC2 shows them as running. Return only those that are wanted.

        Args:
            until: the deadline, which is armed before, for all machines; None: no deadline.
            apply: first create and change what pio-tf.hcl asks for.
            agree: is asked before machines are created.
            workers: start so many, and leave the others alone; None: all.
        """
        outputs, found = self.source.prepare_start(until, apply=apply, agree=agree)
        view = self.fleet.own(found)
        self.fleet.warn_of_types(view)
        wanted = outputs if workers is None else choose_workers(outputs, view, workers, self.context.report)
        names_wanted = {machine.name for machine in wanted.machines}
        stopped = [one for one in view.machines if one.state != "running" and one.name in names_wanted]
        tried: set[str] = set()
        while stopped:
            self.context.report(Step(f"Starting {len(stopped)} of {count(view.machines)}", "under a minute"))
            try:
                self.fleet.start(stopped, workers=len(wanted.workers), before_call=self.deadline.arm_again)
            except PioTfError:  # some may run
                self.deadline.check_still_armed()
                raise
            self.deadline.check_still_armed()
            view = self.fleet.own(self.fleet.look(outputs))
            self.deadline.take_over(view)  # their schedule may have marked them meanwhile
            # Machines that still ran at the first look may have followed the last training since.
            tried |= {machine.instance_id for machine in stopped}
            stopped = [
                one
                for one in view.machines
                if one.powered_itself_off and one.instance_id not in tried and one.name in names_wanted
            ]
        self._note.remove()  # these machines are wanted now
        return view.only(names_wanted), wanted

    def down(self, *, force: bool = False) -> tuple[Machine, ...]:
        """Stop all machines and wait until AWS confirms it; ``force``: whatever runs on them."""
        try:
            return self.stop(force=force)
        except KeyboardInterrupt as error:
            left = self.fleet.not_off()
            if left is None and (self.context.config.power_only or self.context.config.stack_dir.exists()):
                raise unknown(self.context.config, [*self.context.config.machines.ids.values()], None) from error
            if not left:
                raise
            raise interrupted(self.context.config, left) from error

    def down_if_idle(self, *, idle_for: float) -> tuple[Machine, ...]:
        """Stop the machines like :meth:`down` if no client uses them; else stop nothing, and report the reason."""
        from pio_tf.training.idle import find_runs, find_starts

        try:
            view = Fleet(self.context).look(strict=False)  # not enough for a `down` that is interrupted to go by
        except AwsError as error:
            raise self._unknown(self.source.outputs_if_any(), error) from error
        busy = find_starts(view.on, grace=idle_for, now=time.time())
        if not busy and view.driver_runs:
            try:
                busy = find_runs(self.driver.state(view), grace=idle_for, now=time.time())
            except PioTfError as error:
                if not self.driver.has_gone_off(view):
                    raise unanswered(self.context.config, view.on, error) from error
        if not busy:
            try:
                return self.down()
            except Locked as error:  # a run has begun this very moment
                busy = error.what
        self.context.report(Done(f"nothing was stopped: {busy}"))
        return self.fleet.look(self.source.outputs_if_any(), strict=False).machines

    def stop(
        self,
        *,
        force: bool = False,
        own_run: str = "",
        driver_may_have_run: bool | None = True,
        timeout: float | None = None,
        interrupted_before: bool = False,
    ) -> tuple[Machine, ...]:
        """Stop the machines like :meth:`down`, for a command that continues after Ctrl-C.

        The arguments are those of :meth:`Driver.prepare_stop`.

        Args:
            interrupted_before: do not ask Terraform: the machines' tags must do.
        """
        outputs = None if interrupted_before else self.source.outputs_if_any()
        try:
            view = self.fleet.look(outputs, strict=False)
            untagged = self.fleet.untagged(outputs, view)
        except AwsError as error:
            raise self._unknown(outputs, error) from error
        if not view.machines and not untagged:
            self.context.report(Done(f"{self.context.config.cluster.name} has no machines"))
            self.deadline.remove()
            return ()
        to_stop = [*view.not_stopped, *self._possibly_running(view)]
        if to_stop:
            self.driver.prepare_stop(
                view.with_driver_of(untagged),
                force=force,
                own_run=own_run,
                driver_may_have_run=driver_may_have_run,
                timeout=timeout,
            )
            self.deadline.report_missed(view)
            self.context.report(Step(f"Stopping {len(to_stop)} of {count(view.machines)}", "1 to 2 minutes"))
            view = view.updated(self.fleet.stop(to_stop))
            if self.storage.lock:
                self.storage.lock.remove_stale()
        self._note.remove()
        verb = "is" if len(view.machines) == 1 else "are"
        self.context.report(Done(f"{count(view.machines)} {verb} stopped"))
        if not interrupted_before:
            self.deadline.release()
        foreign = [machine for machine in untagged if machine.state != "stopped"]
        if foreign:
            raise not_ours(self.context.config, foreign)
        return view.machines

    @property
    def _note(self) -> PowerNote:
        return PowerNote.of(self.context.config)

    def _unknown(self, outputs: Outputs | None, error: AwsError) -> PioTfError:
        """Return the error for machines that AWS can't be asked about; AWS's own if pio-tf has never created any."""
        known = outputs.machines if outputs else self.fleet.seen.machines if self.fleet.seen else ()
        config = self.context.config
        ids = [machine.instance_id for machine in known] or [*config.machines.ids.values()]
        return unknown(config, ids, error) if ids or config.stack_dir.exists() else error

    def _possibly_running(self, view: FleetView) -> list[Machine]:
        """Return machines that AWS shows as stopped, but that may just have been started.

        DescribeInstances lags by seconds. pio-tf stops these machines too: the call changes nothing if they have
        stopped.
        """
        stopped = [machine for machine in view.machines if machine.state == "stopped"]
        mine = any(machine.instance_id in self.fleet.started for machine in stopped)
        if not stopped or not (mine or self.deadline.is_in_force()):
            return []
        return [replace(machine, state="pending") for machine in stopped]

    def _say_left_on(self, error: BaseException) -> None:
        """After an `up` that failed or was interrupted: warn what is left running, and until when."""
        if isinstance(error, MachinesMayBeRunning | Locked):
            return  # it says so itself; or they run for another client
        fleet = self.fleet
        if isinstance(error, PioTfError) and not (fleet.started or (fleet.seen and fleet.seen.on)):
            return  # there is no need to ask AWS once more
        left = [machine for machine in fleet.not_off() or () if machine.is_on]
        if not left and not fleet.started:
            return
        why = "" if isinstance(error, PioTfError) else "interrupted; "
        which = names(left) or "the machines that were started"
        self.context.report(Warned(f"{why}left running: {which}; `pio-tf down` stops them"))
        if self.deadline.armed is not None:
            if not isinstance(error, PioTfError):
                self.deadline.check_still_armed()  # Ctrl-C came before the start had ended
            self.deadline.say_until()
