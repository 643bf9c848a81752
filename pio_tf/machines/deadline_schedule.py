"""The deadline: a one-time schedule of EventBridge Scheduler that stops a cluster's machines, whatever became of us.

It is one schedule a cluster, and one StopInstances call for all machines: an instance id takes 24 bytes of a target's
input, which may be 256 KiB, and StopInstances takes 1000 ids, twice as many as a cluster can have.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pio_tf.aws.arns import partition_of
from pio_tf.aws.errors import UNAUTHORISED, aws_errors, error_code, error_message
from pio_tf.errors import AwsError, PioTfError
from pio_tf.events import Done, Step, Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from botocore.client import BaseClient
    from typing_extensions import Self

    from pio_tf.events import Reporter

EVENT_AGE: Final = 3600
"""Seconds for which Scheduler tries again. No longer: a stop that comes late would hit the machines' next start."""
RELEASED_EVENT_AGE: Final = 60
"""The same of a deadline that was let go: Scheduler's minimum, for there is nothing to stop, most likely."""
DUE: Final = timedelta(seconds=90)
"""For how long after its time a schedule may still be about to stop the machines: Scheduler is up to a minute late."""
ATTEMPTS: Final = 185
"""Scheduler's maximum."""
NEW_ROLE_PATIENCE: Final = 60.0
"""Seconds until a role that has just been made is known everywhere: IAM is eventually consistent."""
_PAUSE: Final = 2.0
_READ_BACKS: Final = 5
_OTHERWISE: Final = {"ConflictException": False, "ResourceNotFoundException": True}
"""Whether to create it after all, by what AWS says."""
_MINUTE: Final = timedelta(minutes=1)
_GROUP: Final = "default"
_ARMED: Final = "Stops the machines of pio-tf's cluster"
_RELEASED: Final = "Looks once more whether all machines are stopped of pio-tf's cluster"
"""A schedule's description, before the cluster's name."""
_NO_ROLE: Final = "assume the role"
"""Scheduler's words where a role is not there, or is not for it."""


@dataclass(frozen=True)
class ScheduledDeadline:
    """When AWS stops a cluster's machines."""

    at: datetime
    """UTC, a whole minute."""
    ids: frozenset[str]
    """The instances that are stopped then."""
    role_arn: str = ""
    """The role that they are stopped with."""
    released: bool = False
    """Whether nobody counts on it any more: see :meth:`DeadlineSchedule.release`."""


def whole_minute(moment: datetime) -> datetime:
    """In UTC, and rounded up: Scheduler is precise to the minute, and nobody is to get less than was asked for."""
    moment = moment.astimezone(timezone.utc)
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + _MINUTE


class DeadlineSchedule:
    """The schedule of one cluster.

    Args:
        scheduler: a botocore client of EventBridge Scheduler, in the machines' region.
        cluster: its name.
        reporter: told what is waited for.
        now: the time of day.
    """

    def __init__(
        self,
        scheduler: BaseClient,
        *,
        cluster: str,
        reporter: Reporter = lambda _event: None,
        now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._scheduler: Any = scheduler
        self._cluster = cluster
        self._report = reporter
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self.name = f"pio-tf-{cluster}"

    def find(self) -> ScheduledDeadline | None:
        """The deadline that is armed now.

        Raises:
            AwsError: AWS can't be asked.
        """
        with self._told("looking for the deadline"):
            return _read(self._get())

    def arm(self, ids: Iterable[str], at: datetime, *, role_arn: str, if_due_wait: bool = False) -> ScheduledDeadline:
        """Let AWS stop these instances then; prove it by reading the schedule back. Safe to repeat.

        Args:
            at: rounded up to the minute. A deadline that is armed already, and later, stands: somebody counts on it,
                unless it was released.
            if_due_wait: until one that is due this very minute has passed: it would stop what is started now.

        Returns:
            What is armed now, for these instances.

        Raises:
            AwsError: it was not armed: a permission is missing, the role can't be used, or what was read back is
                something else.
        """
        with self._told("arming the deadline"):
            there = self._get_once_not_due() if if_due_wait else self._get()
            before = _read(there)
            counts = before is not None and not before.released
            moment = max(whole_minute(at), before.at) if before and counts else whole_minute(at)
            wanted = ScheduledDeadline(moment, frozenset(ids), role_arn)
            request = self._request(wanted)
            self._put(request, create=there is None)
            for left in reversed(range(_READ_BACKS)):
                found = self._get()
                differ = _differences(request, found)
                if not differ:
                    return wanted
                if left:  # eventually consistent, as all of AWS
                    self._sleep(_PAUSE)
        raise AwsError(
            f"the deadline of {self._cluster} is not armed as it was asked for",
            cause="read back from AWS, it differs in " + ", ".join(differ),
            next_step="try again; if somebody else changes the schedule "
            f"{self.name}, find out who. `--no-deadline` starts the machines without one",
            details={"schedule": self.name, "differ": differ},
        )

    def release(self, at: datetime) -> ScheduledDeadline | None:
        """Let go of it, once all machines are proved stopped: it ends then, unless it ends before, and removes itself.

        It is not removed at once. Another client may have armed it and read it back, and be about to start machines;
        if that client dies, nothing but this stops them. Scheduler knows no removal on a condition that would tell.

        Args:
            at: rounded up to the minute; later than a start that is under way now can take.

        Returns:
            What is armed now; None: nothing is, nor was.

        Raises:
            AwsError: AWS can't be asked, or refuses: it stands as it was.
        """
        with self._told("letting go of the deadline"):
            before = _read(self._get())
            if before is None or (before.released and before.at <= whole_minute(at)):
                return before
            wanted = replace(before, at=min(before.at, whole_minute(at)), released=True)
            error = self._try_to_put(self._request(wanted), create=False)
            if error is None:
                return wanted
            if error_code(error) != "ResourceNotFoundException":
                raise error
        return None

    def remove(self) -> bool:
        """Remove it, of a cluster without machines. Whether there was one.

        Raises:
            AwsError: AWS can't be asked, or refuses.
        """
        with self._told("removing the deadline"):
            try:
                self._scheduler.delete_schedule(Name=self.name, GroupName=_GROUP)
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
                return False
        return True

    def _get(self) -> dict[str, Any] | None:
        try:
            return dict(self._scheduler.get_schedule(Name=self.name, GroupName=_GROUP))
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return None

    def _get_once_not_due(self) -> dict[str, Any] | None:
        """What is there; but for one whose time has just come: AWS removes that once it has done its work."""
        found, said = self._get(), False
        while (one := _read(found)) is not None and one.at <= self._now() < one.at + DUE:
            if not said:
                said = True
                self._report(Step(f"Waiting until the deadline of {one.at:%H:%M} UTC has passed"))
            self._sleep(_PAUSE)
            found = self._get()
        return found

    def _put(self, request: dict[str, Any], *, create: bool) -> None:
        """Create or update, whichever it takes: another client, or the schedule's own end, may come in between."""
        give_up = self._clock() + NEW_ROLE_PATIENCE
        while (error := self._try_to_put(request, create=create)) is not None:
            code = error_code(error)
            new_role = code == "ValidationException" and _NO_ROLE in error_message(error)
            if self._clock() >= give_up or not (new_role or code in _OTHERWISE):
                raise error
            create = _OTHERWISE.get(code, create)
            self._sleep(_PAUSE)

    def _try_to_put(self, request: dict[str, Any], *, create: bool) -> ClientError | None:
        call = self._scheduler.create_schedule if create else self._scheduler.update_schedule
        try:
            call(**request)  # botocore adds a ClientToken, the same when it tries again: a request counts once
        except ClientError as error:
            return error
        return None

    def _request(self, wanted: ScheduledDeadline) -> dict[str, Any]:
        partition = partition_of(self._scheduler.meta.region_name)
        return {
            "Name": self.name,
            "GroupName": _GROUP,
            "Description": f"{_RELEASED if wanted.released else _ARMED} {self._cluster}",
            "ScheduleExpression": f"at({wanted.at:%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "State": "ENABLED",
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": f"arn:{partition}:scheduler:::aws-sdk:ec2:stopInstances",
                "RoleArn": wanted.role_arn,
                "Input": json.dumps({"InstanceIds": sorted(wanted.ids)}),
                "RetryPolicy": {
                    "MaximumEventAgeInSeconds": RELEASED_EVENT_AGE if wanted.released else EVENT_AGE,
                    "MaximumRetryAttempts": ATTEMPTS,
                },
            },
        }

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """As :func:`aws_errors`, with what a missing permission means here."""
        try:
            with aws_errors(doing, service="scheduler"):
                yield
        except AwsError as error:
            error.details["schedule"] = self.name
            if error.details.get("code") in UNAUTHORISED:
                error.next_step += (
                    " (`pio-tf iam --for train` shows all that is needed); or start with `--no-deadline`: then nothing "
                    "but the idle alarms stops the machines without a client"
                )
            elif _NO_ROLE in str(error.details.get("message")):
                error.next_step = (
                    "`pio-tf plan` shows whether the role is as Terraform made it, `pio-tf apply` puts it right; "
                    "`--no-deadline` starts without a deadline"
                )
            raise


class DeadlineUpdater:
    """A thread that arms, so that who reads Terraform's events does not wait for it. What comes while it is busy is
    armed together: machines that are made at once take a few calls.

    Args:
        at: the deadline.
        ids: instances that there are already.
        report: told when it is armed for the first time.
    """

    def __init__(
        self, schedule: DeadlineSchedule, at: datetime, *, ids: Iterable[str], role_arn: str, report: Reporter
    ) -> None:
        self._schedule = schedule
        self._at = at
        self._role_arn = role_arn
        self._report = report
        self._ids = set(ids)
        self._made: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="arming", daemon=True)
        self._armed = False
        self._error: PioTfError | None = None

    def add(self, instance_id: str) -> None:
        """A machine was made."""
        self._made.put(instance_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Waits until all are armed.

        Raises:
            AwsError: it could not be armed; not where something else has failed already: then that is told as a
                warning.
        """
        self._made.put(None)
        self._thread.join()
        if self._error is None:
            return
        if error is None:
            raise self._error
        self._report(Warned(f"and the machines that were made have no deadline: {self._error}"))

    def _work(self) -> None:
        going_on = True
        while going_on:
            new, going_on = self._take()
            if new and self._error is None:
                self._ids |= new
                self._arm()

    def _take(self) -> tuple[set[str], bool]:
        """What has come, once something has; and whether more may come."""
        taken = [self._made.get()]
        while not self._made.empty():  # nobody else takes from it
            taken.append(self._made.get())
        return {one for one in taken if one is not None}, None not in taken

    def _arm(self) -> None:
        try:
            armed = self._schedule.arm(self._ids, self._at, role_arn=self._role_arn)
        except PioTfError as error:
            self._error = error
            return
        if not self._armed:
            self._armed = True
            self._report(Done(f"AWS stops the machines that are being made at {armed.at:%Y-%m-%d %H:%M} UTC"))


def _read(found: dict[str, Any] | None) -> ScheduledDeadline | None:
    """None: there is none; or somebody has switched it off, or made something else of it, which stops nothing at a
    known time."""
    if found is None:
        return None
    try:
        at = datetime.strptime(f"{found['ScheduleExpression']}Z", "at(%Y-%m-%dT%H:%M:%S)%z")
        ids = frozenset(json.loads(found["Target"]["Input"])["InstanceIds"])
    except (KeyError, TypeError, ValueError):
        return None
    known = found.get("State") == "ENABLED" and found.get("ScheduleExpressionTimezone") == "UTC"
    released = str(found.get("Description", "")).startswith(_RELEASED)
    return ScheduledDeadline(at, ids, found["Target"].get("RoleArn", ""), released) if known else None


def _differences(wanted: dict[str, Any], found: dict[str, Any] | None) -> list[str]:
    """What a schedule is not as it was asked for."""
    if found is None:
        return ["everything: there is no such schedule"]
    flat, other = ({**one, **one.get("Target", {})} for one in (wanted, found))
    return [
        name
        for name, value in flat.items()
        if name != "Target" and _comparable(name, other.get(name)) != _comparable(name, value)
    ]


def _comparable(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if name != "Input":
        return value
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
