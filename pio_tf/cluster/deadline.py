"""A cluster's deadline: armed in AWS before a machine starts, moved, and let go of once all are stopped."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.aws.arns import deadline_role_arn
from pio_tf.aws.identity import who_am_i
from pio_tf.cluster.base import short, staying
from pio_tf.cluster.driver import DriverWork
from pio_tf.durations import duration
from pio_tf.errors import ConfigError, NotReady, PioTfError
from pio_tf.events import Done, ResourceProgress, Warned
from pio_tf.machines.deadline_schedule import DeadlineSchedule, DeadlineUpdater, ScheduledDeadline, whole_minute
from pio_tf.model import CLUSTER_TAG
from pio_tf.training.deadline import DeadlineWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pio_tf.events import Event
    from pio_tf.infra.plan import Plan
    from pio_tf.model import Machine, Outputs

_MACHINE = re.compile(r"\.aws_instance\.")


@dataclass(frozen=True)
class Extended:
    """What ``extend`` did."""

    before: datetime | None
    """The deadline that it was; None: there was none."""
    deadline: datetime


class DeadlineWork(DriverWork):
    """A cluster with its deadline."""

    _wanted: datetime | None = None
    """What `up` or `train` asks for; None: no deadline."""
    _armed: ScheduledDeadline | None = None
    """What is armed, as far as this client knows."""
    _arming: DeadlineUpdater | None = None
    """Arms the deadline of machines that Terraform is making."""

    @property
    def armed(self) -> datetime | None:
        """The deadline that this object has armed, or met; None: none."""
        return self._armed.at if self._armed else None

    def deadline(self) -> datetime | None:
        """When AWS stops the machines, in UTC; None: there is no deadline. Changes nothing.

        Raises:
            AwsError: AWS can't be asked.
        """
        found = self._schedule.find()
        return found.at if found else None

    def extend(self, seconds: float) -> Extended:
        """Let the machines run for so many seconds from now.

        Raises:
            NotReady: no machine runs.
            ConfigError: the deadline is later already: it is never shortened.
            AwsError: it could not be armed; the old one stands.
        """
        outputs = self.outputs()
        machines = staying(self._machines(outputs, strict=False))
        if not any(machine.is_on for machine in machines):
            raise NotReady(
                "no machine runs: there is no deadline to extend",
                next_step="`pio-tf up --for` starts the machines for a time",
            )
        found = self._schedule.find()
        before = found.at if found else None
        wanted = whole_minute(self._now() + timedelta(seconds=seconds))
        if found is not None and found.at > wanted and not found.released:
            raise ConfigError(
                f"the deadline is {self._said(found.at)} already, later than {self._said(wanted)}",
                cause="somebody may count on it: a deadline is never shortened",
                next_step="`pio-tf down` stops the machines now",
                details={"deadline": found.at.isoformat(), "asked": wanted.isoformat()},
            )
        return Extended(before, self._arm_for(machines, wanted, role_arn=self._role(outputs)).at)

    def _want_deadline(self, seconds: float | None, *, deadline: bool) -> None:
        """What this command's machines are to have. Counted from the moment that they are started."""
        self._wanted = self._armed = None
        if deadline:
            lasting = self.config.train.max_runtime if seconds is None else seconds
            self._wanted = self._now() + timedelta(seconds=lasting)

    def _arm(self, outputs: Outputs, machines: Sequence[Machine]) -> None:
        """Before any machine starts: let AWS stop them all at their deadline, and prove that it will.

        Args:
            machines: all that carry the cluster's tag, those that Terraform does not know too.

        Raises:
            ConfigError: there is no role to do it with.
            AwsError: it is not armed. Nothing has been started.
        """
        if self._wanted is None:
            self._say_there_is_none()
            return
        all_off = all(machine.state == "stopped" for machine in machines)
        armed = self._arm_for(machines, self._wanted, role_arn=self._role(outputs), if_due_wait=all_off)
        if armed.at > whole_minute(self._wanted):
            self._report(Warned("the deadline was later than asked for already, and is never shortened"))
        self._report(Done(f"AWS stops the machines at {self._said(armed.at)}, whatever happens to this client"))

    def _arm_before_changes(self, plan: Plan, there: Sequence[Machine]) -> None:
        """The AWS provider stops and starts a machine whose type changes (terraform-provider-aws #1998): a start, too.
        Where the role is yet to be made, it is armed after the apply."""
        if self._wanted is None or not plan.changed_machines:
            return
        outputs = self._deployment.outputs()
        if outputs is not None and outputs.deadline_role_arn is not None:
            self._arm(outputs, there)

    def _arm_for(
        self, machines: Sequence[Machine], at: datetime, *, role_arn: str, if_due_wait: bool = False
    ) -> ScheduledDeadline:
        ids = [machine.instance_id for machine in machines]
        self._armed = self._schedule.arm(ids, at, role_arn=role_arn, if_due_wait=if_due_wait)
        return self._armed

    def _look_after_deadline(self) -> datetime | None:
        """What is armed now. What this client has armed, and somebody has removed or shortened since, is armed again:
        a `down` of another client, which had stopped the machines before they were started here, may end after that.

        Raises:
            AwsError: AWS can't be asked, or refuses.
        """
        found, mine = self._schedule.find(), self._armed
        lost = mine is not None and self._now() < mine.at and (found is None or found.at < mine.at)
        if mine is None or not lost:
            self._armed = found or mine
            return found.at if found else None
        self._report(Warned("somebody has removed or shortened the deadline meanwhile: it is armed again"))
        self._armed = self._schedule.arm(mine.ids, mine.at, role_arn=mine.role_arn)
        return self._armed.at

    def _watch_deadline(self) -> datetime | None:
        """Of a run that is followed. One machine that was terminated, or has lost its tag, would fail the deadline's
        StopInstances call for all of them: it is left out.

        Raises:
            AwsError: as :meth:`_look_after_deadline`.
        """
        at, armed = self._look_after_deadline(), self._armed
        if at is None or armed is None:
            return at
        there = {machine.instance_id for machine in staying(self._machines(None, strict=False))}
        gone = armed.ids - there
        if not gone or gone == armed.ids:
            return at
        self._armed = self._schedule.arm(armed.ids - gone, armed.at, role_arn=armed.role_arn)
        self._report(
            Warned(
                f"the deadline leaves out {', '.join(sorted(gone))}: terminated, or without the tag {CLUSTER_TAG}; AWS "
                "would stop none of the machines with it"
            )
        )
        return self._armed.at

    def _check_still_armed(self) -> None:
        """After a start."""
        if self._armed is not None:
            try:
                self._look_after_deadline()
            except PioTfError as error:  # it was armed and read back before the start
                self._report(Warned(f"the deadline was not looked at once more: {short(error)}"))

    def _deadline_watch(self) -> DeadlineWatch | None:
        if not self._has_role:
            return None
        return DeadlineWatch(self._watch_deadline, at=self.armed, reporter=self._report, now=self._now)

    @contextlib.contextmanager
    def _armed_as_made(self, there: Sequence[Machine]) -> Iterator[None]:
        """While Terraform makes machines: each is in the deadline as soon as its creation is reported.

        Args:
            there: the machines that there are already.

        Raises:
            AwsError: the deadline cannot be armed. Nothing has been made yet, if AWS said so before.
        """
        if self._wanted is None:
            yield
            return
        self._schedule.find()  # whether it may be asked for at all, before anything is made
        role_arn = deadline_role_arn(self.config, account=who_am_i(self._aws.client).account)
        if role_arn is None:
            raise self._no_role()
        self._arming = DeadlineUpdater(
            self._schedule,
            self._wanted,
            ids=[machine.instance_id for machine in there],
            role_arn=role_arn,
            report=self._report,
        )
        try:
            with self._arming:
                yield
        finally:
            self._arming = None

    def _heard(self, event: Event) -> None:
        if self._arming is not None and isinstance(event, ResourceProgress):
            made = event.action == "create" and event.status == "done" and event.id
            if made and _MACHINE.search(f".{event.address}"):
                self._arming.add(event.id)
        self._report(event)

    def _let_go_of_deadline(self) -> None:
        """Once all machines are proved stopped. AWS looks once more, after a start that is under way now must have
        ended: what another client has started by then, and has died before it looked after its deadline, is stopped."""
        self._armed = None
        if not self._has_role:
            return
        try:
            left = self._schedule.release(self._now() + timedelta(seconds=self.config.cluster.start_timeout))
        except PioTfError as error:
            self._report(Warned(f"the deadline stays; it will find the machines stopped: {short(error)}"))
            return
        if left is not None:
            self._report(Done(f"the deadline ends at {self._said(left.at)}, and finds the machines stopped"))

    def _disarm(self) -> None:
        """Once there are no machines."""
        self._armed = None
        if not self._has_role:
            return
        try:
            if self._schedule.remove():
                self._report(Done("the deadline is removed"))
        except PioTfError as error:
            self._report(Warned(f"the deadline is not removed; it will find no machines: {short(error)}"))

    def _is_armed(self) -> bool:
        """Whether a deadline is armed that somebody counts on, as far as AWS tells: then machines may have been
        started."""
        if not self._has_role:
            return False
        try:
            found = self._schedule.find()
        except PioTfError:
            return False
        return found is not None and not found.released

    def _deadline_if_known(self, machines: Sequence[Machine]) -> datetime | None:
        """For `status`: of machines that are on, where AWS tells."""
        if not self._has_role or not any(not machine.is_off for machine in machines):
            return None
        try:
            return self.deadline()
        except PioTfError as error:
            self._report(Warned(f"the deadline is not known: {short(error)}"))
            return None

    def _say_until(self) -> None:
        """Of machines that are left running: until when."""
        if self._armed is not None:
            self._report(Warned(f"AWS stops them at {self._said(self._armed.at)}; `pio-tf extend` sets another time"))
        else:
            self._report(Warned("no deadline is known: they run until somebody stops them, or an idle alarm does"))

    def _say_there_is_none(self) -> None:
        with contextlib.suppress(PioTfError):  # who has no permission for deadlines has none to hear of
            found = self._schedule.find()
            if found is not None and found.released:
                self._schedule.remove()
            elif found is not None:
                self._armed = found
                self._report(
                    Warned(f"AWS stops the machines at {self._said(found.at)} all the same: somebody has set that")
                )
                return
        self._report(Warned("without a deadline: the machines run until somebody stops them, or an idle alarm does"))

    def _role(self, outputs: Outputs) -> str:
        if outputs.deadline_role_arn is not None:
            return outputs.deadline_role_arn
        raise self._no_role()

    def _no_role(self) -> ConfigError:
        if not self._has_role:
            return ConfigError(
                f"{self.config.where('failsafe.role')}: there is no role to stop the machines with at a deadline",
                cause="failsafe.role is false, and failsafe.role_arn names none",
                next_step="name one in failsafe.role_arn; `--no-deadline` starts the machines without a deadline",
            )
        return ConfigError(
            "there is no role to stop the machines with at a deadline",
            cause="the cluster was applied last by a pio-tf that had no deadlines, or without the role",
            next_step="`pio-tf apply` makes it; `--no-deadline` starts the machines without a deadline",
        )

    def _said(self, moment: datetime) -> str:
        return describe(moment, self._now())

    @property
    def _has_role(self) -> bool:
        return self.config.failsafe.role or self.config.failsafe.role_arn is not None

    @cached_property
    def _schedule(self) -> DeadlineSchedule:
        return DeadlineSchedule(
            self._aws.client("scheduler"),
            cluster=self.config.cluster.name,
            reporter=self._report,
            now=self._now,
            clock=self._clock,
            sleep=self._sleep,
        )


def describe(moment: datetime, now: datetime) -> str:
    """``18:30 UTC (in 1 h 59 min)``, with the day where it is not today."""
    day = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M} UTC (in {duration((moment - now).total_seconds())})"
