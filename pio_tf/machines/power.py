"""The power of a cluster's machines: start all, or stop all, from any mixture of states, until EC2 confirms it.

One StartInstances or StopInstances call covers all machines. Then one DescribeInstances a poll covers those that still
change. An error about one machine does not hold up the others: pio-tf raises it when they are done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from pio_tf.aws.errors import (
    NO_CAPACITY,
    TYPE_REFUSED,
    UNAUTHORISED,
    aws_errors,
    error_code,
    error_message,
    explain,
    is_expired,
    is_passing,
    is_without_answer,
)
from pio_tf.errors import AwsError
from pio_tf.events import MachineProgress, Reporter, Warned, silent
from pio_tf.machines import power_errors
from pio_tf.machines.batch import MAX_BATCH, send_batch
from pio_tf.machines.inventory import machine_from
from pio_tf.machines.power_errors import Failure, failure_from, label, lacking
from pio_tf.model import TERMINATED, count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceStateChangeTypeDef, InstanceTypeDef

    from pio_tf.model import Machine, PowerState

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
"""Seconds between polls; each pause is 1.6 times the one before. AWS takes some 10-60 s for a start and for a stop."""
ASK_AGAIN: Final = 30.0
"""Seconds after which a machine that still shows its old state is asked again (a stop) or counts as failed (a start).
DescribeInstances may lag behind a call by some seconds."""
LOST_AFTER: Final = 60.0
"""Seconds during which EC2, being eventually consistent, may not know an instance id."""
OUTAGE_LIMIT: Final = 120.0
"""Seconds of throttling, of no network or of expired credentials, without one answer in between. Then waiting ends with
that error."""
CAPACITY_PAUSE: Final = 10.0
LONGEST_CAPACITY_PAUSE: Final = 60.0
"""Seconds between two attempts to start machines without capacity; each pause is twice the one before. Capacity returns
within minutes, as other customers stop machines, and an attempt for many machines uses up the account's rate limit."""


def start_machines(
    ec2: EC2Client,
    machines: Iterable[Machine],
    *,
    timeout: float,
    capacity_wait: float = 0.0,
    may_lack: int = 0,
    types: Mapping[str, Sequence[str]] | None = None,
    before_call: Callable[[], None] = lambda: None,
    on_others: Callable[[set[str]], None] = lambda _ids: None,
    reporter: Reporter = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Machine]:
    """Start stopped machines, and wait until all run. A machine that is stopping is started once it has stopped.

    If AWS has no capacity for the type of a machine, pio-tf gives it the next of ``types``, and starts it as that. Only
    once AWS has none for all of them, pio-tf waits. The machine keeps the type that it was started or tried with last.

    Args:
        machines: from :func:`~pio_tf.machines.inventory.find_machines`; pio-tf touches no others.
        timeout: seconds for all machines together.
        capacity_wait: seconds, beside ``timeout``, in which pio-tf retries machines that AWS has no capacity for.
        may_lack: how many workers may stay stopped for lack of capacity.
        types: by instance id, the types that a machine may take, in order of preference.
        before_call: called right before each StartInstances. If it raises AwsError, pio-tf does not call.
        on_others: called with ids of machines that StartInstances found started already, by another client.

    Returns:
        The machines as they are now, in the order given. All run, except workers that ``may_lack``. If all run already,
        pio-tf makes no call.

    Raises:
        AwsError: pio-tf cannot call AWS; or a machine is terminated, and then pio-tf has started nothing.
        MachinesMayBeRunning: pio-tf can no longer call AWS, and some machines have or may have started.
        NotReady: some do not run: no capacity (``details["lacking"]``), refused, or too slow. The others run.
    """
    machines = list(machines)
    if terminated := [machine for machine in machines if machine.is_terminated]:
        raise power_errors.already_terminated(terminated, doing="started")
    change = _PowerChange(
        ec2,
        machines,
        start=True,
        timeout=timeout,
        capacity_wait=capacity_wait,
        types=types,
        before_call=before_call,
        on_others=on_others,
        reporter=reporter,
        clock=clock,
        sleep=sleep,
    )
    try:
        change.run()
    except AwsError as error:
        if all(machine.state == "stopped" for machine in change.possibly_running):
            raise
        raise power_errors.may_be_running(ec2, change.possibly_running, cause=error) from error
    without_capacity = [one for one in change.failures if one.code in NO_CAPACITY and one.machine.role == "worker"]
    if change.open or len(without_capacity) < len(change.failures) or len(without_capacity) > may_lack:
        raise power_errors.not_started(ec2, change.machines, change.failures, timeout=timeout)
    return change.machines


def set_type(ec2: EC2Client, machine: Machine, kind: str) -> None:
    """Change the instance type of a stopped machine.

    Raises:
        ClientError, BotoCoreError: AWS refused, or did not answer.
    """
    ec2.modify_instance_attribute(InstanceId=machine.instance_id, InstanceType={"Value": kind})


def stop_machines(
    ec2: EC2Client,
    machines: Iterable[Machine],
    *,
    timeout: float,
    force_after: float = 0.0,
    reporter: Reporter = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Machine]:
    """Stop machines that run or are about to, and wait until all are stopped. Terminated machines count as stopped.

    Arguments and result as for :func:`start_machines`.

    Args:
        force_after: seconds in ``stopping`` after which AWS stops a machine by force, without waiting for its operating
            system; 0: never.

    Raises:
        MachinesMayBeRunning: some are not stopped, or may not be: each with id, state, reason and what to do.
        AwsError: a machine was terminated meanwhile, but not by pio-tf; all others are stopped.
    """
    change = _PowerChange(
        ec2,
        list(machines),
        start=False,
        timeout=timeout,
        force_after=force_after,
        reporter=reporter,
        clock=clock,
        sleep=sleep,
    )
    try:
        change.run()
    except AwsError as error:
        raise power_errors.may_be_running(ec2, change.machines, cause=error) from error
    if not all(machine.is_off for machine in change.machines):
        raise power_errors.not_stopped(ec2, change.machines, change.failures, timeout=timeout)
    if lost := [failure.machine for failure in change.failures]:
        raise power_errors.already_terminated(lost, doing="stopped")
    return change.machines


@dataclass
class _Tracked:
    """One machine during a change of power."""

    machine: Machine
    """The machine as EC2 last showed it."""
    described: float
    """When EC2 last described it."""
    open: bool
    """True until it is as wanted, or has failed."""
    failure: Failure | None = None
    asked: float | None = None
    """When AWS was last asked to switch it; None: not yet, or the answer no longer counts."""
    refused_in: PowerState | None = None
    """The state in which AWS refused for now (IncorrectInstanceState); None: AWS accepted."""
    unanswered: bool = False
    """True if a call for it was not answered: it may have taken effect."""
    was_pending: bool = False
    """True if it was seen starting."""
    force_at: float | None = None
    waits_for_capacity: bool = False
    types: list[str] = field(default_factory=list)
    """The types that it may take, in order of preference."""
    tried: list[str] = field(default_factory=list)
    """Those that AWS had no capacity for, since the last wait."""
    lacked: Failure | None = None
    """The last time that AWS had no capacity for it."""
    has_new_type: bool = False
    """True if it has not been started as its present type."""


class _PowerChange:
    """One start or stop of some machines, from the first call to the last poll."""

    def __init__(
        self,
        ec2: EC2Client,
        machines: Sequence[Machine],
        *,
        start: bool,
        timeout: float,
        capacity_wait: float = 0.0,
        force_after: float = 0.0,
        types: Mapping[str, Sequence[str]] | None = None,
        before_call: Callable[[], None] = lambda: None,
        on_others: Callable[[set[str]], None] = lambda _ids: None,
        reporter: Reporter,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._ec2 = ec2
        self._start = start
        self._verb = "starting" if start else "stopping"
        self._wanted: PowerState = "running" if start else "stopped"
        # A machine that is pending for the first time can't be stopped yet, one that has run before can.
        self._switchable: tuple[PowerState, ...] = ("stopped",) if start else ("running", "pending")
        self._timeout = timeout
        self._deadline = clock() + timeout
        self._capacity_wait = capacity_wait
        self._force_after = force_after
        self._before_call = before_call
        self._on_others = on_others
        self._report = reporter
        self._clock = clock
        self._sleep = sleep
        done = (self._wanted,) if start else (self._wanted, *TERMINATED)
        others = types or {}
        self._all = {
            m.instance_id: _Tracked(m, clock(), open=m.state not in done, types=list(others.get(m.instance_id, ())))
            for m in machines
        }
        self._outage_since: float | None = None
        self._capacity_until: float | None = None
        self._capacity_pause = CAPACITY_PAUSE
        self._capacity_next = 0.0

    @property
    def machines(self) -> list[Machine]:
        """Return the machines as EC2 last showed them, in the order given."""
        return [one.machine for one in self._all.values()]

    @property
    def possibly_running(self) -> list[Machine]:
        """Return the same, with machines as pending whose start was not answered."""
        return [
            replace(one.machine, state="pending") if one.unanswered and one.machine.state == "stopped" else one.machine
            for one in self._all.values()
        ]

    @property
    def open(self) -> list[_Tracked]:
        """Return the machines that are not yet as wanted, and have not failed."""
        return [one for one in self._all.values() if one.open]

    @property
    def failures(self) -> list[Failure]:
        """Return the failures of single machines."""
        return [one.failure for one in self._all.values() if one.failure is not None]

    def run(self) -> None:
        """Ask and poll until no machine is open, or the time is up.

        Raises:
            AwsError: pio-tf cannot call AWS, or can no longer.
        """
        pause = FIRST_PAUSE
        while self.open:
            answered = True
            if due := self._due():
                answered = self._ask(due)
                pause = FIRST_PAUSE if answered else pause
            if not self.open:
                return
            answered = self._poll() and answered
            if answered and self._due():
                continue  # AWS may accept now what it refused before
            self._force()
            left = max(self._deadline, self._capacity_deadline) - self._clock()
            if not self.open or left <= 0:
                return
            self._sleep(min(pause, left))
            pause = min(pause * 1.6, LONGEST_PAUSE)

    @property
    def _capacity_deadline(self) -> float:
        waiting = any(one.waits_for_capacity for one in self._all.values())
        return self._capacity_until if waiting and self._capacity_until is not None else 0.0

    def _due(self) -> list[_Tracked]:
        """Return the open machines to ask AWS for now, in order."""
        now = self._clock()
        return [
            one
            for one in self.open
            if one.machine.state in self._switchable
            and not (one.waits_for_capacity and not one.has_new_type and now < self._capacity_next)
            and (one.asked is None or self._may_ask_again(one, one.asked))
        ]

    def _may_ask_again(self, one: _Tracked, asked: float) -> bool:
        accepted = one.refused_in is None
        return not (self._start and accepted) and self._deadline > self._clock() >= asked + ASK_AGAIN

    def _ask(self, due: Sequence[_Tracked]) -> bool:
        """Start or stop these machines; return False if AWS did not answer."""
        try:
            self._before_call()
        except AwsError as error:
            reason = error.__cause__
            if isinstance(reason, ClientError | BotoCoreError) and (is_passing(reason) or is_expired(reason)):
                return self._not_answered(reason)
            raise
        for one in due:
            if not one.has_new_type:
                one.tried.clear()
            one.has_new_type = False
        with aws_errors(f"{self._verb} {count(due)}"):
            sent = send_batch(self._call, [one.machine for one in due])
        now = self._clock()
        asked = {one.machine.instance_id: one for one in due}
        for instance_id in sent.not_now:
            asked[instance_id].asked, asked[instance_id].refused_in = now, asked[instance_id].machine.state
        for instance_id, state in sent.states.items():
            one = asked[instance_id]
            if one.waits_for_capacity:
                self._deadline = max(self._deadline, now + self._timeout)
            one.asked, one.refused_in, one.unanswered, one.waits_for_capacity = now, None, False, False
            self._see(one, replace(one.machine, state=state))
        self._refused([failure_from(asked[instance_id].machine, error) for instance_id, error in sent.failed.items()])
        if sent.passing is None:
            return self._answered()
        if self._start and is_without_answer(sent.passing):
            for instance_id in asked.keys() - {*sent.states, *sent.not_now, *sent.failed}:
                asked[instance_id].unanswered = True
        return self._not_answered(sent.passing)

    def _call(self, ids: Sequence[str]) -> dict[str, PowerState]:
        changes: list[InstanceStateChangeTypeDef]
        if self._start:
            changes = self._ec2.start_instances(InstanceIds=list(ids))["StartingInstances"]
            self._on_others({one["InstanceId"] for one in changes if one["PreviousState"]["Name"] != "stopped"})
        else:
            changes = self._ec2.stop_instances(InstanceIds=list(ids))["StoppingInstances"]
        return {change["InstanceId"]: change["CurrentState"]["Name"] for change in changes}

    def _refused(self, failures: Sequence[Failure]) -> None:
        """Handle machines that AWS does not start or stop.

        Those without capacity get another type, or are retried later; the others have failed.
        """
        failures = self._take_other_types(failures) if self._start else failures
        retried = [one for one in failures if self._start and one.code in NO_CAPACITY]
        now, until = self._clock(), self._capacity_until
        if retried and until is None:
            until = self._capacity_until = now + self._capacity_wait
        if until is None or now >= until:
            retried = []
        if retried and until is not None:
            self._capacity_next = min(now + self._capacity_pause, until)  # the last attempt comes at the end
            self._capacity_pause = min(self._capacity_pause * 2, LONGEST_CAPACITY_PAUSE)
            for failure in retried:
                self._all[failure.machine.instance_id].waits_for_capacity = True
            self._report(Warned(f"AWS has no capacity for {lacking(retried)}: pio-tf retries later"))
        for failure in failures:
            if failure not in retried:
                self._fail(failure)

    def _take_other_types(self, failures: Sequence[Failure]) -> list[Failure]:
        """Give machines that AWS lacks capacity for the next type that they may have. Return the other failures."""
        left, changed = list[Failure](), dict[str, list[Failure]]()
        for failure in failures:
            one = self._all[failure.machine.instance_id]
            if failure.code not in TYPE_REFUSED or not one.types:
                left.append(failure)
                continue
            one.tried.append(failure.machine.instance_type)
            one.lacked = failure if failure.code in NO_CAPACITY else one.lacked
            if self._take_next_type(one):
                changed.setdefault(one.machine.instance_type, []).append(failure)
            else:
                left.append(replace(one.lacked or failure, types=tuple(one.tried)))
        for kind, those in changed.items():
            self._report(Warned(f"AWS has no capacity for {lacking(those)}: trying {kind}"))
        return left

    def _take_next_type(self, one: _Tracked) -> bool:
        """Change the type of a stopped machine to the next that is not tried; return False if there is none."""
        kind = next((kind for kind in one.types if kind not in one.tried), None)
        if kind is None:
            return False
        try:
            set_type(self._ec2, one.machine, kind)
        except (ClientError, BotoCoreError) as error:
            story = explain(error, doing=f"changing {label(one.machine)} to {kind}")
            self._report(Warned(f"{story.what} ({story.cause})"))
            code = error_code(error) if isinstance(error, ClientError) else ""
            if is_passing(error) or is_expired(error) or code == "IncorrectInstanceState":
                return False  # the next attempt may succeed
            if code in UNAUTHORISED:  # for every machine and type
                for each in self._all.values():
                    each.types.clear()
                return False
            one.types.remove(kind)
            return self._take_next_type(one)
        one.machine = replace(one.machine, instance_type=kind)
        one.asked, one.refused_in, one.has_new_type = None, None, True
        return True

    def _poll(self) -> bool:
        """Describe all open machines with one call; return False if AWS did not answer."""
        try:
            for instance in self._describe(sorted(one.machine.instance_id for one in self.open)):
                self._settle(self._all[instance["InstanceId"]], instance)
        except (ClientError, BotoCoreError) as error:
            if not (is_passing(error) or is_expired(error)):
                raise explain(error, doing=f"{self._verb} machines") from error
            return self._not_answered(error)
        for one in self.open:
            if self._clock() - one.described >= LOST_AFTER:
                one.machine = replace(one.machine, state="terminated")
                self._fail(Failure(one.machine, "EC2 no longer knows it"))
        return self._answered()

    def _describe(self, ids: list[str]) -> list[InstanceTypeDef]:
        found: list[InstanceTypeDef] = []
        for start in range(0, len(ids), MAX_BATCH):
            wanted = ids[start : start + MAX_BATCH]
            while wanted:
                try:
                    pages = list(self._ec2.get_paginator("describe_instances").paginate(InstanceIds=wanted))
                except ClientError as error:
                    known = [i for i in wanted if i not in error_message(error)]
                    if error_code(error) != "InvalidInstanceID.NotFound" or known == wanted:
                        raise
                    wanted = known  # one id that EC2 does not know (yet) fails the call for all
                    continue
                found += [item for page in pages for group in page["Reservations"] for item in group["Instances"]]
                break
        return found

    def _settle(self, one: _Tracked, instance: InstanceTypeDef) -> None:
        before, seen = one.machine, machine_from(instance)
        one.described = self._clock()
        if one.refused_in is not None and seen.state != one.refused_in:
            one.asked = one.refused_in = None
        one.was_pending = one.was_pending or seen.state == "pending"
        self._see(one, replace(before, state=seen.state, public_ip=seen.public_ip, since=seen.since))
        if seen.is_terminated:
            self._fail(Failure(one.machine, "it was terminated meanwhile, and not by pio-tf"))
        elif seen.state == self._wanted:
            if seen.private_ip != before.private_ip:
                self._fail(Failure(one.machine, f"its private address is {seen.private_ip}, not {before.private_ip}"))
            one.open = False
        elif self._has_fallen_back(one):
            one.asked, one.was_pending = None, False
            if not seen.powered_itself_off:  # after the last training: then it is started again
                self._refused([power_errors.start_failed(one.machine, instance)])

    def _has_fallen_back(self, one: _Tracked) -> bool:
        """Tell whether AWS accepted a start and then stopped the machine: no capacity, a disk's key, a broken host."""
        accepted = self._start and one.asked is not None and one.refused_in is None
        if not accepted or one.machine.state != "stopped" or one.asked is None:
            return False
        return one.was_pending or self._clock() - one.asked >= ASK_AGAIN

    def _force(self) -> None:
        """Stop by force the machines whose operating system, or host, has not stopped them for too long."""
        if self._start or not self._force_after:
            return
        now, stuck = self._clock(), list[_Tracked]()
        for one in self.open:
            if one.machine.state != "stopping":
                one.force_at = None
            elif one.force_at is None:
                one.force_at = now + self._force_after
            elif now >= one.force_at:
                one.force_at = now + self._force_after
                stuck.append(one)
                self._report(
                    Warned(
                        f"{label(one.machine)} has been stopping for {self._force_after:.0f} s: AWS now stops it by "
                        "force; its next start may check the disk"
                    )
                )
        if not stuck:
            return

        def call(ids: Sequence[str]) -> dict[str, PowerState]:
            self._ec2.stop_instances(InstanceIds=list(ids), Force=True)
            return {}

        with aws_errors(f"stopping {count(stuck)} by force"):
            sent = send_batch(call, sorted((one.machine for one in stuck), key=lambda machine: machine.instance_id))
        for instance_id, error in sent.failed.items():
            machine = self._all[instance_id].machine
            self._report(Warned(f"{label(machine)}: {failure_from(machine, error).reason}"))
        if sent.passing is not None:
            self._not_answered(sent.passing)

    def _see(self, one: _Tracked, machine: Machine) -> None:
        before, one.machine = one.machine, machine
        if machine.state != before.state:
            self._report(MachineProgress(machine.name, machine.state, ready=machine.state == "stopped"))

    def _fail(self, failure: Failure) -> None:
        one = self._all[failure.machine.instance_id]
        one.failure, one.open = failure, False
        self._report(Warned(f"{label(failure.machine)}: {failure.reason}"))

    def _answered(self) -> bool:
        self._outage_since = None
        return True

    def _not_answered(self, error: Exception) -> bool:
        """Report an error that may pass; raise it once it has lasted too long."""
        now = self._clock()
        story = explain(error, doing=f"{self._verb} machines")
        if self._outage_since is None:
            self._outage_since = now
            meanwhile = f"; meanwhile, {story.next_step}" if is_expired(error) else ""
            self._report(Warned(f"{story.what} ({story.cause}): trying again{meanwhile}"))
        elif now - self._outage_since >= OUTAGE_LIMIT or now >= self._deadline:
            raise story from error
        return False
