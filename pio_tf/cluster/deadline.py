"""The deadline of one command's machines: armed in AWS before a machine starts, followed, extended and released."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.aws.identity import deadline_role_arn, who_am_i
from pio_tf.cluster.fleet import Fleet
from pio_tf.cluster.messages import names, warning
from pio_tf.durations import duration
from pio_tf.errors import ConfigError, NotReady, PioTfError
from pio_tf.events import Done, ResourceProgress, Warned
from pio_tf.machines.deadline_schedule import DeadlineSchedule, DeadlineUpdater, ScheduledDeadline, whole_minute
from pio_tf.machines.training_schedule import ScheduledStart, TrainingSchedule, remove_marks
from pio_tf.model import CLUSTER_TAG
from pio_tf.training.deadline_watch import DeadlineWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pio_tf.cluster.fleet import FleetView
    from pio_tf.context import ClusterContext
    from pio_tf.events import Event
    from pio_tf.machines.training_schedule import ClusterSchedule
    from pio_tf.model import Outputs

_TOO_NEAR = timedelta(minutes=2)
"""A deadline that is nearer may fire between the look at it and StartInstances: Scheduler is a minute late at most."""
_LATE = timedelta(minutes=1)
"""How late Scheduler may write the mark of a training."""
_MACHINE = re.compile(r"\.aws_instance\.")


class Extended(Struct, frozen=True):
    """The result of ``extend``."""

    before: datetime | None
    """The deadline before; None: there was none."""
    deadline: datetime


class Deadline:
    """The time at which AWS stops a cluster's machines, as one command arms it.

    Args:
        armed: what an earlier command of this program has armed, if this one continues with its run.
    """

    def __init__(self, context: ClusterContext, fleet: Fleet, *, armed: ScheduledDeadline | None = None) -> None:
        self._context = context
        self._config = context.config
        self._report = context.report
        self._fleet = fleet
        self._began = context.now()
        self.armed = armed
        """The deadline that is armed, as far as this command knows."""
        self._updater: DeadlineUpdater | None = None
        self._written: ScheduledDeadline | None = None
        """The deadline as this command wrote it last."""
        self._writing: datetime | None = None
        """What this command is writing, or was when Ctrl-C ended that: AWS may have it all the same."""
        self._others_armed = False
        """Whether another client has armed it between two times that this command did."""
        self._seconds: float | None = None
        """How long the machines may run after their start; None: without a deadline of this command's."""

    @property
    def has_role(self) -> bool:
        """True if AWS has a role to stop the machines with, or will have one after the next apply."""
        failsafe = self._config.failsafe
        return failsafe.role_arn is not None or (failsafe.role and not self._config.power_only)

    @cached_property
    def schedule(self) -> DeadlineSchedule:
        """The schedule in AWS."""
        return DeadlineSchedule(
            self._context.aws.client("scheduler"),
            cluster=self._config.cluster.name,
            reporter=self._report,
            now=self._context.now,
            clock=self._context.clock,
            sleep=self._context.sleep,
        )

    @cached_property
    def trainings(self) -> TrainingSchedule:
        """The schedule of trainings in AWS, which starts and stops the machines, too."""
        return TrainingSchedule(
            self._context.aws.client("scheduler"),
            cluster=self._config.cluster.name,
            clock=self._context.clock,
            sleep=self._context.sleep,
        )

    def after(self, seconds: float | None) -> datetime:
        """Return the deadline that is so far from now; default: ``train.max_runtime``."""
        self._seconds = self._config.train.max_runtime if seconds is None else seconds
        return self._context.now() + timedelta(seconds=self._seconds)

    def find(self) -> datetime | None:
        """Return when AWS stops the machines, in UTC; None: there is no deadline."""
        found = self.schedule.find()
        return found.at if found else None

    def ask(self) -> ScheduledDeadline | None:
        """Return what AWS has; None: no deadline, or no role for one. Report nothing."""
        return self.schedule.find() if self.has_role else None

    def find_if_known(self, view: FleetView, answer: Callable[[], ScheduledDeadline | None]) -> datetime | None:
        """Return the deadline if AWS can be asked. Warn of machines that run and that it leaves out.

        Args:
            answer: returns what :meth:`ask` has returned.
        """
        found: ScheduledDeadline | None = None
        with warning(self._report, "could not find the deadline"):
            found = answer()
        left_out = [machine for machine in view.on if found and machine.instance_id not in found.ids]
        if left_out:
            advice = "`pio-tf extend` sets a deadline for all machines"
            self._report(Warned(f"the deadline leaves out {names(left_out)}: {advice}"))
        return found.at if found else None

    def report_missed(self, view: FleetView) -> None:
        """Warn of machines that run although their deadline has passed: AWS could not stop them."""
        if not (view.on and self.has_role):
            return
        with contextlib.suppress(PioTfError):  # without permission for deadlines, there is none to report
            missed = [] if self.schedule.find() else self.schedule.find_missed(view.on)
            if missed:
                self._report(
                    Warned(
                        f"AWS did not stop {names(missed)} at the deadline: CloudTrail's StopInstances says why. "
                        "`pio-tf down` stops the machines now"
                    )
                )

    def is_in_force(self) -> bool:
        """Return whether AWS has a deadline that no client has released: then machines may have been started."""
        if not self.has_role:
            return False
        try:
            found = self.schedule.find()
        except PioTfError:
            return False
        return found is not None and not found.released

    def is_unchanged(self) -> bool:
        """Return whether no other client has armed the deadline since this command did.

        Each client that starts machines, or finds them running, arms it. Without a deadline, AWS has no sign of other
        clients: True.
        """
        mine = self._written
        if mine is None or self._others_armed:
            return mine is None
        try:
            found = self.schedule.find()
        except PioTfError:
            return False
        if found is None:
            return mine.at <= self._context.now()  # it has stopped the machines since, and no client has armed another
        return found.is_as(mine) or found.at == self._writing

    def extend(self, outputs: Outputs, seconds: float) -> Extended:
        """Keep the machines running for a number of seconds from now."""
        view = self._fleet.look(outputs, strict=False)
        self._fleet.warn_of_untagged(outputs, view)
        if not view.on:
            raise NotReady(
                "no machine runs: there is no deadline to extend",
                next_step="`pio-tf up --for` starts the machines for a time",
            )
        found, wanted = self.schedule.find(), whole_minute(self.after(seconds))
        if found is None:
            self.report_missed(view)
        if found is not None and found.at > wanted and not found.released:
            raise ConfigError(
                f"the deadline is {self._said(found.at)} already, later than {self._said(wanted)}",
                cause="another user may rely on it: pio-tf never shortens a deadline",
                next_step="`pio-tf down` stops the machines now",
                details={"deadline": found.at.isoformat(), "asked": wanted.isoformat()},
            )
        extended = Extended(found.at if found else None, self._put(_ids(view), wanted, role_arn=self._role(outputs)).at)
        self.take_over(view)
        return extended

    def arm(self, outputs: Outputs, view: FleetView, until: datetime | None) -> None:
        """Let AWS stop all machines at their deadline, and confirm that it will. No machine may start before.

        Args:
            view: all machines that carry the cluster's tag, including those that Terraform does not know.
            until: the deadline that the user asks for; None: no deadline.

        Raises:
            ConfigError: there is no role to do it with.
            AwsError: it is not armed.
        """
        self.report_missed(view)
        if until is None:
            self._say_there_is_none()
            self.take_over(view)
            return
        until = self._in_time(until)
        all_stopped = all(machine.state == "stopped" for machine in view.staying)
        armed = self._put(_ids(view), until, role_arn=self._role(outputs), if_due_wait=all_stopped)
        if armed.at > whole_minute(until):
            self._report(Warned("the deadline was later already: pio-tf never shortens it"))
        self._report(Done(f"AWS stops the machines at {self._said(armed.at)}, whatever happens to this client"))
        self.take_over(view)

    def take_over(self, view: FleetView) -> None:
        """Take machines over from their schedule, which would stop them at its own time. The deadline must be armed."""
        with warning(self._report, "the schedule of trainings may stop the machines"):
            if remove_marks(self._context.ec2, view.staying):
                self._report(Done("took the machines over from their schedule: it does not stop them"))

    @contextlib.contextmanager
    def armed_as_created(self, view: FleetView, until: datetime | None) -> Iterator[None]:
        """Arm each machine as soon as :meth:`hear` reports its creation, while Terraform creates machines.

        Raises:
            AwsError: the deadline can't be armed. If AWS says so at once, nothing has been created.
        """
        if until is None:
            yield
            return
        self.schedule.find()  # raises before anything is created if the deadline may not be read at all
        role_arn = deadline_role_arn(self._config, account=who_am_i(self._context.aws.client).account)
        if role_arn is None:
            raise self._no_role()
        until = self._in_time(until)
        self._updater = DeadlineUpdater(
            self.schedule, until, ids=_ids(view), find=self._find_ids, role_arn=role_arn, report=self._report
        )
        try:
            with self._updater:
                yield
        finally:
            self._written, self._updater = self._updater.armed or self._written, None

    def hear(self, event: Event) -> None:
        """Report what Terraform does, and add each machine that it has created to the deadline."""
        if self._updater and isinstance(event, ResourceProgress) and _creates_machine(event):
            if event.status == "started":
                self._updater.expect()
            elif event.status == "done" and event.id:
                self._updater.add(event.id)
        self._report(event)

    def arm_again(self) -> None:
        """Arm the deadline again, right before each StartInstances.

        Hours without capacity, or of a suspended computer, may lie between the first arming and the call. A deadline
        that has passed meanwhile counts from now.

        Raises:
            AwsError: it is not armed. No machine may start.
        """
        mine = self.armed
        if mine is None or self._seconds is None:
            return  # without a deadline, or with one that another command has armed
        at = self._in_time(mine.at)
        armed = self._put(mine.ids, at, role_arn=mine.role_arn)
        if mine.at <= self._context.now():
            when = self._said(armed.at)
            self._report(Warned(f"the deadline passed before the start: AWS now stops the machines at {when}"))

    def check_still_armed(self) -> None:
        """Arm the deadline again after a start: another client may have released it, or it may have passed."""
        if self.armed is None:
            return
        with warning(self._report, "could not check the deadline again"):  # it was read back before the start
            if self._seconds is None:
                self.look_after()
            else:
                self.arm_again()

    def look_after(self) -> datetime | None:
        """Return the armed deadline; arm it again if another client removed or shortened it.

        This restores only what this command has armed. A `down` that stopped the machines before they started here may
        end after that.
        """
        found, mine = self.schedule.find(), self.armed
        lost = mine is not None and self._context.now() < mine.at and (found is None or found.at < mine.at)
        if mine is None or not lost:
            self.armed = found or mine
            return found.at if found else None
        self._report(Warned("another client has removed or shortened the deadline: pio-tf has armed it again"))
        return self._put(mine.ids, mine.at, role_arn=mine.role_arn).at

    def watch(self) -> DeadlineWatch | None:
        """Return what looks after the deadline while a run is followed; None: no role stops the machines."""
        if not (self.has_role or self._config.schedule):
            return None
        at = self.armed.at if self.armed else None
        return DeadlineWatch(find=self._look_after_during_run, at=at, report=self._report, now=self._context.now)

    def release(self) -> None:
        """Bring the deadline forward once all machines are stopped.

        It then fires when a start that is under way now must have ended. The client that starts the machines may die
        before it looks after its deadline.

        If AWS may start a training before that, the deadline must not cut it off: it fires when the schedule stops the
        machines anyway.

        This client may have slept since AWS confirmed the stop. So AWS confirms it again, and the deadline stays as it
        is if another client has written it meanwhile, or has started machines.
        """
        self.armed = None
        if not self.has_role:
            return
        with warning(self._report, "could not release the deadline, which will find the machines stopped"):
            before = self.schedule.find()
            if before is None:
                return
            at = self._context.now() + timedelta(seconds=self._config.cluster.start_timeout)
            trainings = self.trainings.find() if self._config.schedule else None
            clear = partial(self._after_training, trainings) if trainings else None
            stopped = not self._fleet.look(strict=False).not_off
            left = self.schedule.release(before, at, clear=clear) if stopped else None
            if left is None:
                self._report(
                    Warned("left the deadline as it is: another client has changed it, or has started machines")
                )
            else:
                self._report(Done(f"released the deadline: it ends at {self._said(left.at)}"))

    def remove(self, *, destroyed: bool = False) -> None:
        """Remove the deadline of a cluster without machines; if it is ``destroyed``, also every machine's own."""
        self.armed = None
        if not self.has_role:
            return
        with warning(self._report, "could not remove the deadline, which will find no machines"):
            if self.schedule.remove_all() if destroyed else self.schedule.remove():
                self._report(Done("removed the deadline"))

    def say_until(self) -> None:
        """Warn when AWS stops machines that are left running."""
        if self.armed is not None:
            self._report(Warned(f"AWS stops them at {self._said(self.armed.at)}; `pio-tf extend` sets another time"))
            self._warn_of_training(self.armed.at)
        else:
            self._report(Warned("no deadline is known: they run until `pio-tf down` or an idle alarm stops them"))

    def _warn_of_training(self, at: datetime) -> None:
        """Warn if a deadline that no client may release would stop a training of the schedule."""
        with contextlib.suppress(PioTfError):
            trainings = self.trainings.find() if self._config.schedule else None
            if trainings and self._after_training(trainings, at) != at:
                advice = "`pio-tf down` after the run releases the deadline"
                self._report(Warned(f"AWS also stops the scheduled training before that time: {advice}"))

    def _after_training(self, trainings: ClusterSchedule, at: datetime) -> datetime:
        """Return a time, or the end of the training that AWS may start soon, and that would run then."""
        max_runtime = self._config.train.max_runtime
        return trainings.training_ends(at, max_runtime=max_runtime, now=self._context.now()) or at

    def _in_time(self, at: datetime) -> datetime:
        """Return a deadline, or the one that counts from now if it has passed, or is about to pass."""
        if self._seconds is None or at >= self._context.now() + _TOO_NEAR:
            return at
        return max(at, whole_minute(self.after(self._seconds)))

    def _find_ids(self) -> list[str]:
        """Return the ids of the machines that carry the cluster's tag, for a thread: the command's own view stays."""
        return _ids(Fleet(self._context).look(strict=False))

    def _put(self, ids: Iterable[str], at: datetime, *, role_arn: str, if_due_wait: bool = False) -> ScheduledDeadline:
        self._writing = whole_minute(at)
        armed = self.schedule.arm(ids, at, role_arn=role_arn, if_due_wait=if_due_wait)
        self._writing = None
        if self._written is not None and armed.replaced not in (None, self._written.modified):
            self._others_armed = True
        self.armed = self._written = armed
        return armed

    def _look_after_during_run(self) -> datetime | None:
        """Look after the deadline like :meth:`look_after`, and leave out machines that it cannot stop.

        A machine that was terminated or has lost its tag would fail the deadline's StopInstances call for all.
        """
        at, armed = (self.look_after(), self.armed) if self.has_role else (None, None)
        if at is None and self._config.schedule is None:
            return None
        view = self._fleet.look(strict=False)
        # A schedule that fires during a run marks its machines. Without a deadline, only its stop ends a training that
        # it has started itself: an older mark stays.
        if at is not None or _marked_since(view, self._began - _LATE):
            self.take_over(view)
        if at is None or armed is None:
            return at
        gone = armed.ids - {machine.instance_id for machine in view.staying}
        if not gone or gone == armed.ids:
            return at
        at = self._put(armed.ids - gone, armed.at, role_arn=armed.role_arn).at
        self._report(
            Warned(
                f"the deadline leaves out {', '.join(sorted(gone))}: terminated, or without the tag {CLUSTER_TAG}. "
                "AWS can't stop such a machine"
            )
        )
        return at

    def _say_there_is_none(self) -> None:
        with contextlib.suppress(PioTfError):  # without permission for deadlines, there is none to report
            found = self.schedule.find()
            if found is not None and found.released:
                self.schedule.remove(found.ids)
            elif found is not None:
                self.armed = found
                when = self._said(found.at)
                self._report(Warned(f"AWS stops the machines at {when} all the same: an earlier command set that"))
                return
        self._report(Warned("without a deadline: the machines run until `pio-tf down` or an idle alarm stops them"))

    def _role(self, outputs: Outputs) -> str:
        if outputs.deadline_role_arn is not None:
            return outputs.deadline_role_arn
        raise self._no_role()

    def _no_role(self) -> ConfigError:
        if self._config.power_only:
            return ConfigError(
                f"{self._config.where('machines.driver')}: no role can stop the machines at a deadline",
                cause="failsafe.role_arn names none, and there is no Terraform that makes one",
                next_step="name one in failsafe.role_arn: docs/adopting.md has its policies; `--no-deadline` starts "
                "the machines without a deadline",
            )
        if not self.has_role:
            return ConfigError(
                f"{self._config.where('failsafe.role')}: no role can stop the machines at a deadline",
                cause="failsafe.role is false, and failsafe.role_arn names none",
                next_step="name one in failsafe.role_arn; `--no-deadline` starts the machines without a deadline",
            )
        return ConfigError(
            "no role can stop the machines at a deadline",
            cause="the cluster was last applied without the role, or by a pio-tf that had no deadlines",
            next_step="`pio-tf apply` creates it; `--no-deadline` starts the machines without a deadline",
        )

    def _said(self, moment: datetime) -> str:
        """Return ``18:30 UTC (in 1 h 59 min)``, with the day if it is not today."""
        now = self._context.now()
        day = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
        return f"{day}{moment:%H:%M} UTC (in {duration((moment - now).total_seconds())})"


def _marked_since(view: FleetView, moment: datetime) -> bool:
    """Return whether a schedule has marked a machine since then."""
    marks = [mark for one in view.staying if (mark := ScheduledStart.read(one.scheduled_start))]
    return any(mark.at >= moment for mark in marks)


def _creates_machine(event: ResourceProgress) -> bool:
    return event.action == "create" and _MACHINE.search(f".{event.address}") is not None


def _ids(view: FleetView) -> list[str]:
    """Return the ids of the machines that AWS can stop."""
    return [machine.instance_id for machine in view.staying]
