"""Trainings on AWS's own clock: their schedule is set, paused, removed, shown, and kept in step with pio-tf.hcl."""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.cluster.messages import warning, without_terraform
from pio_tf.config.recurring_time import (
    EXAMPLE,
    START_AFTER,
    START_RETRIES,
    check_runtime,
    find_zone,
    parse_recurring_time,
)
from pio_tf.errors import ConfigError, NotReady, PioTfError
from pio_tf.events import Done, Warned
from pio_tf.machines.training_schedule import ClusterSchedule, ScheduledStart, show_tags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.fleet import Fleet, FleetView
    from pio_tf.context import ClusterContext
    from pio_tf.model import Outputs
    from pio_tf.training.runs.driver_runs import DriverState
    from pio_tf.training.runs.record import RunRecord

_USAGE = f'pio-tf schedule set "{EXAMPLE}" --timezone Europe/Berlin'
UNKNOWN_TO_DRIVER = "the driver learns of the schedule at the next `pio-tf up` or `train`, and trains only after that"
_SHOWN = 3
"""How many of the next trainings are shown."""


class ScheduleStatus(Struct, frozen=True):
    """The schedule of a cluster, and what came of its last time."""

    cron: str
    timezone: str
    paused: bool
    from_file: bool
    """True if pio-tf.hcl names the time."""
    role_arn: str
    next: tuple[datetime, ...]
    """The next times, UTC; empty if it is paused."""
    last: datetime | None
    """The last time at which AWS marked the machines, as far as their tags tell; None: they carry no mark."""
    stops: datetime | None
    """When the schedule stops machines that run now; None: it stops none."""
    run: str
    """The training of the last time; empty: none is known."""
    problem: str
    """What went wrong with the last time; empty: nothing that is known."""
    driver_knows: bool | None = None
    """Whether the driver trains on this schedule; None: it is off, or could not be asked."""


class Scheduling(Struct, frozen=True):
    """The schedule of one cluster's trainings, as one command works with it."""

    context: ClusterContext
    fleet: Fleet
    deadline: Deadline

    def find(self) -> ClusterSchedule | None:
        """Return the schedule; None if there is none. Without a block in pio-tf.hcl, AWS is not asked."""
        return None if self.context.config.schedule is None else self.deadline.trainings.find()

    def token(self) -> str | None:
        """Return the token that the driver must know; empty: there is no schedule; None: AWS could not be asked."""
        try:
            found = self.find()
        except PioTfError as error:
            self.context.report(Warned(f"the driver keeps the schedule that it knows: {error}"))
            return None
        return found.token if found else ""

    def set(self, outputs: Outputs, cron: str, timezone: str) -> None:
        """Set the time of trainings, in place of any other.

        Raises:
            ConfigError: the time or the zone is wrong, pio-tf.hcl names a time, or there is no role.
            AwsError: the schedule is not set.
        """
        self._refuse_if_in_file("set")
        wanted = self._wanted(outputs, cron, timezone)
        if next(wanted.time.after(self.context.now(), wanted.zone), None) is None:
            raise ConfigError(f"{wanted.time} never comes", next_step="choose a day that exists, in a year to come")
        before = self.find()
        if before is not None:  # with its token, which the driver knows
            self.context.report(Done(f"replacing the schedule {before.time} ({before.zone.key})"))
            wanted = replace(wanted, token=before.token)
        self._put(outputs, wanted)

    def keep(self, outputs: Outputs, *, had_role: bool) -> None:
        """Bring the schedule in step with pio-tf.hcl and the machines, after an apply. A paused one stays paused.

        Args:
            had_role: whether the cluster had a role for schedules before.
        """
        block = self.context.config.schedule
        if block is None:
            if had_role and self.deadline.trainings.remove():
                self.context.report(Done("removed the schedule of trainings: pio-tf.hcl has no schedule block"))
            return
        found = self.deadline.trainings.find()
        if block.cron is not None:
            wanted = replace(self._wanted(outputs, block.cron, block.timezone), from_file=True)
            if found is not None:
                wanted = replace(wanted, token=found.token, paused=found.paused)
            self._put(outputs, wanted)
            if found is None:
                self.context.report(Warned(UNKNOWN_TO_DRIVER))
        elif found is not None and found.from_file:
            self._remove(outputs)
        elif found is not None:  # machines may be new, or train.max_runtime another one
            with warning(self.context.report, "the schedule of trainings stays as it was"):
                wanted = self._wanted(outputs, str(found.time), found.zone.key)
                self._put(outputs, replace(wanted, token=found.token, paused=found.paused))

    def pause(self, outputs: Outputs, *, paused: bool) -> None:
        """Let the schedule start no machines, or let it do so again.

        Raises:
            NotReady: there is no schedule.
        """
        found = self._existing()
        if found.paused == paused:
            self.context.report(Done(f"the schedule is {'paused' if paused else 'active'} already"))
            return
        self._put(outputs, replace(found, paused=paused))

    def remove(self, outputs: Outputs) -> None:
        """Remove the schedule.

        Raises:
            ConfigError: pio-tf.hcl names its time.
            NotReady: there is none.
        """
        self._refuse_if_in_file("remove")
        self._existing()
        self._remove(outputs)

    def remove_with_cluster(self, *, had_role: bool) -> None:
        """Remove the schedule of a cluster that no longer exists.

        Args:
            had_role: whether the cluster had a role for schedules. Without one, AWS is not asked.
        """
        if not had_role:
            return
        with warning(self.context.report, "could not remove the schedule of trainings, which will find no machines"):
            if self.deadline.trainings.remove():
                self.context.report(Done("removed the schedule of trainings"))

    def status(self, view: FleetView, runs: Sequence[RunRecord], driver: DriverState | None) -> ScheduleStatus | None:
        """Return the schedule and what came of its last time; None if there is none.

        Args:
            view: the machines.
            runs: the runs that are known.
            driver: what the driver says; None: it could not be asked.
        """
        found = self.find()
        if found is None:
            return None
        now, config = self.context.now(), self.context.config
        marks = [mark for one in view.machines if (mark := ScheduledStart.read(one.scheduled_start))]
        marked = max(marks, key=lambda mark: mark.at, default=None)
        trained = {start.at: one for one in runs if (start := ScheduledStart.read(f" {one.scheduled}"))}
        last = max([*trained, *(mark.at for mark in marks)], default=None)
        run = trained.get(last) if last else None
        on = any(one.is_on and one.scheduled_start for one in view.machines)
        return ScheduleStatus(
            cron=str(found.time),
            timezone=found.zone.key,
            paused=found.paused,
            from_file=found.from_file,
            role_arn=found.role_arn,
            next=() if found.paused else tuple(islice(found.time.after(now, found.zone), _SHOWN)),
            last=last,
            stops=marked.stops_at(config.train.max_runtime) if marked and on else None,
            run=run.id if run else "",
            problem=_silence(found, view, last, run, now, runs=None if driver is None else runs) or _failure(run, runs),
            driver_knows=None if driver is None else driver.schedule_token == found.token,
        )

    def _put(self, outputs: Outputs, wanted: ClusterSchedule) -> None:
        view = self.fleet.look(outputs, strict=False)
        for driver in (one for one in view.staying if one.role == "driver" and one.in_outputs):
            show_tags(self.context.ec2, driver)
        max_runtime = self.context.config.train.max_runtime
        if self.deadline.trainings.put(
            wanted, max_runtime=max_runtime, before_stop_changes=lambda: self._hand_over(outputs, view)
        ):
            state = ", paused" if wanted.paused else ""
            upcoming = next(wanted.time.after(self.context.now(), wanted.zone), None)
            following = f": next at {upcoming:%Y-%m-%d %H:%M} UTC" if upcoming and not wanted.paused else ""
            self.context.report(Done(f"trains at {wanted.time} ({wanted.zone.key}){state}{following}"))

    def _remove(self, outputs: Outputs) -> None:
        self._hand_over(outputs, self.fleet.look(outputs, strict=False))
        if self.deadline.trainings.remove():
            self.context.report(Done("removed the schedule of trainings"))

    def _hand_over(self, outputs: Outputs, view: FleetView) -> None:
        """Arm a deadline for machines that run for the schedule: its own stop is about to change, or to go."""
        if any(one.is_on and one.scheduled_start for one in view.machines):
            with warning(self.context.report, "the running machines have no deadline"):
                self.deadline.arm(outputs, view, self.deadline.after(None))

    def _existing(self) -> ClusterSchedule:
        found = self.find()
        if found is None:
            raise NotReady(
                f"{self.context.config.cluster.name} has no schedule of trainings",
                next_step=_USAGE,
            )
        return found

    def _wanted(self, outputs: Outputs, cron: str, timezone: str) -> ClusterSchedule:
        role, max_runtime = self._role(outputs), self.context.config.train.max_runtime
        try:
            time, zone = parse_recurring_time(cron), find_zone(timezone)
            check_runtime(time, zone, max_runtime=max_runtime, now=self.context.now())
        except ValueError as error:
            raise ConfigError(f"can't train at {cron} ({timezone}): {error}", next_step=_USAGE) from error
        return ClusterSchedule(time, zone, secrets.token_hex(8), _ids(outputs), role)

    def _role(self, outputs: Outputs) -> str:
        config = self.context.config
        if config.power_only:
            raise without_terraform(config, "needs a role that Terraform makes")
        if config.schedule is None:
            raise ConfigError(
                f"{config.path.name}: no role may start the machines on AWS's clock",
                cause="pio-tf makes such a role only if there is a schedule block",
                next_step="add `schedule {}` to it; then `pio-tf apply`",
            )
        if outputs.schedule_role_arn is not None:
            return outputs.schedule_role_arn
        raise NotReady(
            "no role may start the machines on AWS's clock yet",
            cause="the cluster was last applied without the schedule block",
            next_step="pio-tf apply",
        )

    def _refuse_if_in_file(self, doing: str) -> None:
        config = self.context.config
        if config.schedule is not None and config.schedule.cron is not None:
            raise ConfigError(
                f"{config.where('schedule.cron')}: the schedule is {config.schedule.cron}, "
                f"so `pio-tf schedule {doing}` can't change it",
                next_step="change it there, then `pio-tf apply`; `pio-tf schedule pause` suspends it",
            )


def _failure(run: RunRecord | None, runs: Sequence[RunRecord]) -> str:
    """Return why a scheduled training led to no model; empty if it did, runs, or another one has succeeded since."""
    if run is None or run.state == "running" or any(one.state == "succeeded" for one in runs[runs.index(run) :]):
        return ""
    return f"the scheduled training {run.id} led to no model: {run.cause or run.state}"


def _silence(
    found: ClusterSchedule,
    view: FleetView,
    last: datetime | None,
    run: RunRecord | None,
    now: datetime,
    *,
    runs: Sequence[RunRecord] | None,
) -> str:
    """Return why there was no training at the last time, as far as the machines, their marks and the driver tell.

    Args:
        runs: all runs; None: the driver was not asked.
    """
    due = found.time.last_until(now - START_AFTER, found.zone)
    if due is None or found.paused or (found.modified is not None and found.modified > due):
        return ""  # the time came before the schedule
    if run is not None and last is not None and last >= due:
        return ""
    at, is_over = f"{due:%Y-%m-%d %H:%M} UTC", now >= due + START_AFTER + START_RETRIES
    if not all(one.since is not None and one.since < due for one in view.machines):
        # Machines have been started or stopped since: the driver would know of a training.
        if runs is None or not is_over or _any_success(runs, since=due):
            return ""
        return f"there was no scheduled training at {at}: the machines ran already, or AWS did not start them"
    if last is None or last < due:
        return f"AWS did not start the machines at {at}: CloudTrail's CreateTags says why"
    if not is_over:
        return ""
    if view.on:
        return f"there was no training at {at}: the machines ran already"
    return f"AWS marked the machines at {at}, and did not start them: it had no capacity"


def _any_success(runs: Sequence[RunRecord], *, since: datetime) -> bool:
    return any(one.state == "succeeded" and (one.ended or 0) >= since.timestamp() for one in runs)


def _ids(outputs: Outputs) -> frozenset[str]:
    return frozenset(machine.instance_id for machine in outputs.machines)
