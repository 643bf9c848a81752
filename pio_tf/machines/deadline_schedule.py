"""The deadline in AWS: one-time schedules of EventBridge Scheduler that stop a cluster's machines without any client.

The cluster's schedule has one StopInstances call for all machines: an instance id takes 24 bytes of a target's input,
which may have 256 KiB, and StopInstances accepts 1000 ids, twice as many as a cluster can have. It holds the deadline:
clients read, extend and release this one.

AWS refuses that call for all machines because of one: terminated, without the cluster's tag, or with `disableApiStop`.
So each machine also has a schedule of its own for the same minute. It stays after it has fired: a machine that runs
although the time in it has passed is one that AWS did not stop.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from pio_tf.aws.errors import UNAUTHORISED, error_code
from pio_tf.errors import AwsError, PioTfError
from pio_tf.events import Done, Step, Warned
from pio_tf.machines.scheduler import CREATE_NEXT, PAUSE, Scheduler, scheduler_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from botocore.client import BaseClient
    from typing_extensions import Self

    from pio_tf.events import Reporter
    from pio_tf.model import Machine

EVENT_AGE: Final = 3600
"""Seconds that Scheduler retries for. A later stop could hit the machines' next start."""
RELEASED_EVENT_AGE: Final = 60
"""The same for a released deadline, which most likely finds nothing to stop: Scheduler's minimum."""
DUE: Final = timedelta(seconds=90)
"""How long after its time a schedule may still stop the machines: Scheduler is up to a minute late."""
_THREADS: Final = 10
"""botocore's connections of a client."""
_PER_THREAD: Final = 10
"""One more thread calls Scheduler for each so many machines."""
LOOK_EVERY: Final = 2.0
"""Seconds between two looks for machines that Terraform is creating. It reports a machine ten seconds later or more."""
_MINUTE: Final = timedelta(minutes=1)
_ARMED: Final = "Stops the machines of pio-tf's cluster"
_RELEASED: Final = "Looks once more whether all machines are stopped of pio-tf's cluster"
"""The description of a schedule begins with one of these, and ends with the cluster's name."""


@dataclass(frozen=True)
class ScheduledDeadline:
    """The time at which AWS stops a cluster's machines."""

    at: datetime
    """UTC, a whole minute."""
    ids: frozenset[str]
    """The instances to stop."""
    role_arn: str = ""
    """The role that Scheduler stops them with."""
    released: bool = False
    """True if no client relies on it any more: see :meth:`DeadlineSchedule.release`."""
    modified: datetime | None = field(default=None, compare=False)
    """When a client wrote it last, by AWS's clock. Two clients that arm the same deadline differ only in this."""

    replaced: datetime | None = field(default=None, compare=False)
    """When the deadline that this one replaced was written; None: there was none."""

    def is_as(self, other: ScheduledDeadline) -> bool:
        """Return whether no client has written it since ``other`` was read."""
        return (self, self.modified) == (other, other.modified)


def whole_minute(moment: datetime) -> datetime:
    """Return a time in UTC, rounded up to a minute, Scheduler's precision: no user gets less time than requested."""
    moment = moment.astimezone(timezone.utc)
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + _MINUTE


class DeadlineSchedule:
    """The EventBridge schedule that stops one cluster, and those of its machines.

    Args:
        scheduler: a botocore client of EventBridge Scheduler, in the machines' region.
        cluster: the cluster's name.
        reporter: receives what pio-tf waits for.
        now: returns the time of day.
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
        self._calls = Scheduler(scheduler, clock=clock, sleep=sleep)
        self._cluster = cluster
        self._report = reporter
        self._now = now
        self._sleep = sleep
        self.name = f"pio-tf-{cluster}"

    def find(self) -> ScheduledDeadline | None:
        """Return the armed deadline; None if there is none.

        Raises:
            AwsError: pio-tf cannot read the schedule.
        """
        with self._errors("looking for the deadline"):
            return _read(self._get())

    def arm(
        self,
        ids: Iterable[str],
        at: datetime,
        *,
        role_arn: str,
        mine: ScheduledDeadline | None = None,
        if_due_wait: bool = False,
    ) -> ScheduledDeadline:
        """Arm the deadline for these instances, and confirm it by reading the schedule back. Safe to repeat.

        Args:
            at: rounded up to the minute. A later deadline that is armed stays: another client relies on it, unless it
                was released.
            mine: the deadline as this caller armed it moments ago, without the instances that are new. If no client has
                written it since, only the new ones get a schedule of their own. Without it, each gets its own once
                more: another client may have been killed while it moved them.
            if_due_wait: wait until a deadline of this very minute has passed: it would stop machines that start now.

        Returns:
            The armed deadline.

        Raises:
            AwsError: it is not armed: a permission is missing, Scheduler cannot use the role, or the schedule differs
                from the request.
        """
        with self._errors("arming the deadline"):
            existing = self._get_once_not_due() if if_due_wait else self._get()
            before = _read(existing)
            relied_on = before is not None and not before.released
            moment = max(whole_minute(at), before.at) if before and relied_on else whole_minute(at)
            wanted = ScheduledDeadline(moment, frozenset(ids), role_arn)
            request = self._request(wanted)
            found, differ = self._calls.put_and_read(request, create=existing is None)
            if not differ:
                self._put_each(wanted, having=_have_their_own(mine, before, wanted) if mine and before else frozenset())
                armed = _read(found) or wanted
                return replace(armed, replaced=before.modified if before else None)
        raise AwsError(
            f"the deadline of {self._cluster} is not armed as requested",
            cause="the schedule in AWS differs in " + ", ".join(differ),
            next_step=f"try again; if another user or tool changes the schedule {self.name}, stop that. "
            "`--no-deadline` starts the machines without a deadline",
            details={"schedule": self.name, "differ": differ},
        )

    def release(
        self, before: ScheduledDeadline, at: datetime, *, clear: Callable[[datetime], datetime] | None = None
    ) -> ScheduledDeadline | None:
        """Release the deadline once AWS has confirmed all machines as stopped: move it to ``at``, if that is earlier.

        It then ends, and removes itself. pio-tf does not remove it at once: another client may have armed it and be
        about to start machines. If that client dies, only this deadline stops them. Scheduler has no conditional
        change: another client may arm between the look here and the change. So clients arm right before they start
        machines, and once more after.

        Args:
            before: the deadline as it was before AWS confirmed that all machines are stopped.
            at: rounded up to the minute; later than a start that has begun now can take.
            clear: moves a time at which AWS must stop no machine to a later one.

        Returns:
            The released deadline; None if it is gone, or another client has written it since: then it stands.

        Raises:
            AwsError: pio-tf cannot read or change the schedule, which stays as it was.
        """
        with self._errors("releasing the deadline"):
            now = _read(self._get())
            if now is None or not now.is_as(before):
                return None
            moment = min(before.at, whole_minute(at))
            wanted = replace(before, at=whole_minute(clear(moment)) if clear else moment, released=True)
            if now == wanted:
                return now
            error = self._calls.try_to_put(self._request(wanted), create=False)
            if error is None:
                self._put_each(wanted)
                now = _read(self._get())
                if now is None or now.released:
                    return wanted
                self._put_each(now)  # another client has armed meanwhile: its machines' own schedules count, too
                return None
            if error_code(error) != "ResourceNotFoundException":
                raise error
        return None

    def remove(self, ids: Iterable[str] = ()) -> bool:
        """Remove the deadline of a cluster without machines; return False if there was none.

        Args:
            ids: remove the own schedules of these machines, too.

        Raises:
            AwsError: pio-tf cannot remove a schedule.
        """
        with self._errors("removing the deadline"):
            _for_each(ids, lambda instance_id: self._calls.delete(self._name_of(instance_id)))
            return self._calls.delete(self.name)

    def remove_all(self) -> bool:
        """Remove the deadline and every machine's own, also those of machines that no longer exist.

        Raises:
            AwsError: pio-tf cannot list or remove schedules.
        """
        removed = self.remove()
        with self._errors("looking for the machines' own deadlines"):
            own = self._calls.names(f"{self.name}.")
        with self._errors("removing the machines' own deadlines"):
            _for_each(own, self._calls.delete)
        return removed or bool(own)

    def find_missed(self, machines: Iterable[Machine]) -> list[Machine]:
        """Return the machines that run although their own deadline has passed: AWS did not stop them.

        Raises:
            AwsError: pio-tf cannot read the schedules.
        """
        on = {machine.instance_id: machine for machine in machines if machine.is_on}
        passed: dict[str, datetime] = {}

        def look(instance_id: str) -> None:
            found = self._get(self._name_of(instance_id))
            own = _read(found and {**found, "State": "ENABLED"})
            if own is not None and own.at + DUE <= self._now():
                passed[instance_id] = own.at

        with self._errors("looking for deadlines that have passed"):
            _for_each(on, look)
        return [one for key, one in on.items() if key in passed and (one.since is None or one.since < passed[key])]

    def _put_each(self, wanted: ScheduledDeadline, *, having: frozenset[str] = frozenset()) -> None:
        """Give each machine a schedule of its own with the deadline that is armed, or released.

        Args:
            having: machines that have it. If there are some, the others are new.
        """
        if len(wanted.ids) == 1:
            return  # the cluster's schedule is about this machine alone
        create = bool(having)

        def put(instance_id: str) -> None:
            request = self._request(replace(wanted, ids=frozenset({instance_id})), name=self._name_of(instance_id))
            error = self._calls.try_to_put(request, create=create)
            if error is not None and CREATE_NEXT.get(error_code(error)) is (not create) and not wanted.released:
                error = self._calls.try_to_put(request, create=not create)
            if error is not None and error_code(error) not in CREATE_NEXT:
                raise error

        try:
            with self._errors("arming each machine's own deadline"):
                _for_each(wanted.ids - having, put)
        except AwsError as error:
            if error.details.get("code") not in UNAUTHORISED:
                raise
            # A policy of an older pio-tf, most likely. The cluster's deadline stands.
            self._report(Warned(f"a machine that AWS can't stop would keep the others running: {error.what}"))

    def _name_of(self, instance_id: str) -> str:
        """Return the name of a machine's own schedule: 64 characters at most, so without an id's first digit."""
        return f"{self.name}.{instance_id[-16:]}"

    def _get(self, name: str = "") -> dict[str, Any] | None:
        return self._calls.get(name or self.name)

    def _get_once_not_due(self) -> dict[str, Any] | None:
        """Return the schedule. If it is due, wait first: AWS removes it once it has fired."""
        found, reported = self._get(), False
        while (one := _read(found)) is not None and one.at <= self._now() < one.at + DUE:
            if not reported:
                reported = True
                self._report(Step(f"Waiting until the deadline of {one.at:%H:%M} UTC has passed", "under 2 minutes"))
            self._sleep(PAUSE)
            found = self._get()
        return found

    def _request(self, wanted: ScheduledDeadline, *, name: str = "") -> dict[str, Any]:
        """Return the request for the cluster's schedule, or for a machine's own."""
        return self._calls.request(
            name or self.name,
            description=f"{_RELEASED if wanted.released else _ARMED} {self._cluster}",
            expression=f"at({wanted.at:%Y-%m-%dT%H:%M:%S})",
            call="stopInstances",
            arguments={"InstanceIds": sorted(wanted.ids)},
            role_arn=wanted.role_arn,
            event_age=RELEASED_EVENT_AGE if wanted.released else EVENT_AGE,
            removes_itself=not name,
        )

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        return scheduler_errors(
            doing,
            schedule=self.name,
            unauthorised=" (`pio-tf iam --for train` lists all permissions); or start with `--no-deadline`: then only "
            "the idle alarms stop the machines without a client",
            no_role="`--no-deadline` starts without a deadline",
        )


class DeadlineUpdater:
    """A thread that arms the deadline for machines while Terraform creates them, without delaying Terraform's events.

    Terraform reports a machine once it runs. Until EC2 shows it, the thread looks for it there every two seconds: the
    deadline covers what it has found even if the client is killed meanwhile. It arms all machines that arrive while it
    is busy at once.

    Args:
        at: the deadline.
        ids: instances that exist.
        find: returns the ids of the cluster's instances.
        report: receives an event when the deadline is first armed.
    """

    def __init__(
        self,
        schedule: DeadlineSchedule,
        at: datetime,
        *,
        ids: Iterable[str],
        find: Callable[[], Iterable[str]],
        role_arn: str,
        report: Reporter,
    ) -> None:
        self._schedule = schedule
        self._at = at
        self._role_arn = role_arn
        self._report = report
        self._ids = set(ids)
        self._find = find
        self._last = len(self._ids)
        """How many machines there are once EC2 shows all that Terraform has begun to create."""
        self._made: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="arming", daemon=True)
        self.armed: ScheduledDeadline | None = None
        """The deadline as this thread has written it last."""
        self._error: PioTfError | None = None

    def expect(self) -> None:
        """Look for one more machine, which Terraform begins to create."""
        self._made.put("")

    def add(self, instance_id: str) -> None:
        """Add a new machine to the deadline: Terraform has created it."""
        self._made.put(instance_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until the deadline covers all machines.

        Raises:
            AwsError: it does not. After another error, this is a warning instead.
        """
        self._made.put(None)
        self._thread.join()
        if self._error is None:
            return
        if error is None:
            raise self._error
        self._report(Warned(f"the new machines have no deadline: {self._error}"))

    def _work(self) -> None:
        more = True
        while more:
            new, more = self._take()
            if self._misses(new) and more:
                new |= self._look()
            if new - self._ids and self._error is None:
                self._ids |= new
                self._arm()

    def _take(self) -> tuple[set[str], bool]:
        """Wait for new machines, or until it is time to look for them; return them, and whether more may come."""
        try:
            taken = [self._made.get(timeout=LOOK_EVERY if self._misses() else None)]
        except Empty:
            return set(), True
        while not self._made.empty():  # only this thread takes from it
            taken.append(self._made.get())
        self._last += taken.count("")
        return {one for one in taken if one}, None not in taken

    def _misses(self, new: Iterable[str] = ()) -> bool:
        return self._error is None and len(self._ids.union(new)) < self._last

    def _look(self) -> set[str]:
        try:
            return set(self._find())
        except PioTfError:  # Terraform reports the machines, too
            return set()

    def _arm(self) -> None:
        try:
            armed = self._schedule.arm(self._ids, self._at, role_arn=self._role_arn, mine=self.armed)
        except PioTfError as error:
            self._error = error
            return
        first, self.armed = self.armed is None, armed
        if first:
            self._report(Done(f"AWS stops the new machines at {armed.at:%Y-%m-%d %H:%M} UTC"))


def _read(found: dict[str, Any] | None) -> ScheduledDeadline | None:
    """Return the deadline of a schedule; None if it does not exist, is disabled, or stops nothing at a known time."""
    if found is None:
        return None
    try:
        at = datetime.strptime(f"{found['ScheduleExpression']}Z", "at(%Y-%m-%dT%H:%M:%S)%z")
        ids = frozenset(json.loads(found["Target"]["Input"])["InstanceIds"])
    except (KeyError, TypeError, ValueError):
        return None
    known = found.get("State") == "ENABLED" and found.get("ScheduleExpressionTimezone") == "UTC"
    released = str(found.get("Description", "")).startswith(_RELEASED)
    role, modified = found["Target"].get("RoleArn", ""), found.get("LastModificationDate")
    return ScheduledDeadline(at, ids, role, released, modified) if known else None


def _have_their_own(mine: ScheduledDeadline, before: ScheduledDeadline, wanted: ScheduledDeadline) -> frozenset[str]:
    """Return the machines that have a schedule of their own, exactly as ``wanted`` asks for it.

    This client gave one to each machine of ``mine``. They still have it if no client has written the deadline since,
    and ``wanted`` only adds machines. A deadline of a single machine has no schedule beside it.
    """
    only_joined = before.is_as(mine) and replace(mine, ids=wanted.ids) == wanted
    return mine.ids if only_joined and len(mine.ids) > 1 else frozenset()


def _for_each(ids: Iterable[str], call: Callable[[str], object]) -> None:
    """Call something for each machine, for many of them at the same time."""
    ids = sorted(ids)
    threads = min(_THREADS, -(-len(ids) // _PER_THREAD))
    if threads <= 1:
        for instance_id in ids:
            call(instance_id)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, ids))
