"""Power: every machine of a cluster on, or off, from whatever mixture of states, and proved by DescribeInstances.

A start or stop is one call for all, then one DescribeInstances a poll for those that still change. An error that
concerns one machine does not hold up the others: it is raised, with the machine's name, when they are done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from pio_tf.errors import AwsError
from pio_tf.events import MachineProgress, Reporter, Warned, silent
from pio_tf.machines import power_errors
from pio_tf.machines.batch import MAX_BATCH, Sent, send_batch
from pio_tf.machines.failures import aws_errors, error_code, error_message, explain, is_passing
from pio_tf.machines.inventory import machine_from
from pio_tf.machines.power_errors import Failure, failure_from, label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceStateChangeTypeDef, InstanceTypeDef

    from pio_tf.machines.model import Machine, PowerState

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
"""Seconds between polls; each pause is 1.6 times the one before. AWS takes some 10-60 s for a start and for a stop."""
ASK_AGAIN: Final = 30.0
"""Seconds after which a machine that still shows its old state is asked again (a stop) or taken for failed (a start).
DescribeInstances may lag behind a call by some seconds."""
LOST_AFTER: Final = 60.0
"""Seconds for which an instance id may be unknown to EC2, which is eventually consistent."""
OUTAGE_LIMIT: Final = 120.0
"""Seconds of throttling or of no network, without one answer in between, after which waiting ends with that error."""

_GONE: Final = ("shutting-down", "terminated")


def start_machines(
    ec2: EC2Client,
    machines: Iterable[Machine],
    *,
    timeout: float,
    reporter: Reporter = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Machine]:
    """Start what is stopped, wait until everything is running. Machines that are stopping are started when they have.

    Args:
        machines: of :func:`~pio_tf.machines.inventory.find_machines`; nothing else is touched.
        timeout: seconds for all of it.

    Returns:
        The machines as they are now, in the order given. Without any call where all are running already.

    Raises:
        AwsError: AWS can't be called; or a machine is terminated, and then nothing has been started.
        NotReady: some are not running: no capacity, refused, or not in time. The others are.
    """
    machines = list(machines)
    if gone := [machine for machine in machines if machine.state in _GONE]:
        raise power_errors.gone(gone, doing="started")
    change = _Change(ec2, machines, _START, timeout=timeout, reporter=reporter, clock=clock, sleep=sleep)
    change.run()
    if change.failed or change.open:
        raise power_errors.not_started(ec2, change.machines, change.failed.values(), timeout=timeout)
    return change.machines


def stop_machines(
    ec2: EC2Client,
    machines: Iterable[Machine],
    *,
    timeout: float,
    reporter: Reporter = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Machine]:
    """Stop what runs or is about to, wait until everything is stopped.

    Arguments and result as of :func:`start_machines`. A machine on its way to being terminated counts as off.

    Raises:
        MachinesMayBeRunning: some are not stopped, or it is not known: each with id, state, reason, and what to do.
        AwsError: a machine was terminated meanwhile by somebody else; everything else is stopped.
    """
    machines = list(machines)
    change = _Change(ec2, machines, _STOP, timeout=timeout, reporter=reporter, clock=clock, sleep=sleep)
    try:
        change.run()
    except AwsError as error:
        raise power_errors.may_be_running(ec2, change.machines, cause=error) from error
    awake = [machine for machine in change.machines if machine.state not in ("stopped", *_GONE)]
    if awake:
        raise power_errors.not_stopped(ec2, change.machines, change.failed.values(), timeout=timeout)
    if lost := [failure.machine for failure in change.failed.values()]:
        raise power_errors.gone(lost, doing="stopped")
    return change.machines


@dataclass(frozen=True)
class _Direction:
    """Which way the power goes."""

    verb: str
    wanted: PowerState
    ready: tuple[PowerState, ...]
    """States in which AWS is asked."""
    done: tuple[PowerState, ...]
    """States in which a machine is left alone from the beginning."""


_START: Final = _Direction("starting", wanted="running", ready=("stopped",), done=("running",))
# A machine that is pending for the first time can't be stopped yet, one that has run before can: ask, and ask again.
_STOP: Final = _Direction("stopping", wanted="stopped", ready=("running", "pending"), done=("stopped", *_GONE))


@dataclass(frozen=True)
class _Asked:
    """That AWS has been asked to switch a machine."""

    at: float
    state: PowerState
    accepted: bool


class _Change:
    """The change of some machines' power, from the first call to the last poll."""

    def __init__(
        self,
        ec2: EC2Client,
        machines: Sequence[Machine],
        direction: _Direction,
        *,
        timeout: float,
        reporter: Reporter,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._ec2 = ec2
        self._way = direction
        self._report = reporter
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + timeout
        self._now = {machine.instance_id: machine for machine in machines}
        self._asked: dict[str, _Asked] = {}
        self._seen_pending: set[str] = set()
        self._last_seen = dict.fromkeys(self._now, clock())
        self._outage_since: float | None = None
        self._held_up = False
        self.open = {machine.instance_id for machine in machines if machine.state not in direction.done}
        """Ids of those that are not yet as wanted, and have not failed."""
        self.failed: dict[str, Failure] = {}

    @property
    def machines(self) -> list[Machine]:
        """The machines as last seen, in the order given."""
        return list(self._now.values())

    def run(self) -> None:
        """Ask and poll until nothing is open, or the time is over.

        Raises:
            AwsError: AWS can't be called, or not any more.
        """
        pause = FIRST_PAUSE
        while self.open:
            self._held_up = False
            if self._ask() and not self._held_up:
                pause = FIRST_PAUSE
            if not self.open:
                break
            self._poll()
            if self._due() and not self._held_up:
                continue  # something may be asked for that could not before
            left = self._deadline - self._clock()
            if not self.open or left <= 0:
                break
            self._sleep(min(pause, left))
            pause = min(pause * 1.6, LONGEST_PAUSE)

    def _due(self) -> list[Machine]:
        """The open machines that AWS is to be asked for now, in order."""
        return [
            machine
            for machine in self.machines
            if machine.instance_id in self.open
            and machine.state in self._way.ready
            and self._may_ask(self._asked.get(machine.instance_id))
        ]

    def _may_ask(self, asked: _Asked | None) -> bool:
        if asked is None:
            return True
        if self._way is _START and asked.accepted:
            return False
        return self._deadline > self._clock() >= asked.at + ASK_AGAIN

    def _ask(self) -> bool:
        """Starts or stops the machines that are due. Whether there were any."""
        due = self._due()
        if not due:
            return False
        with aws_errors(f"{self._way.verb} {len(due)} machines"):
            sent = send_batch(self._call, due)
        self._note(sent)
        for instance_id, error in sent.failed.items():
            self._fail(failure_from(self._now[instance_id], error))
        if sent.passing is not None:
            self._outage(sent.passing)
        else:
            self._outage_since = None
        return True

    def _call(self, ids: Sequence[str]) -> dict[str, PowerState]:
        changes: list[InstanceStateChangeTypeDef]
        if self._way is _START:
            changes = self._ec2.start_instances(InstanceIds=list(ids))["StartingInstances"]
        else:
            changes = self._ec2.stop_instances(InstanceIds=list(ids))["StoppingInstances"]
        return {change["InstanceId"]: change["CurrentState"]["Name"] for change in changes}

    def _note(self, sent: Sent) -> None:
        now = self._clock()
        for instance_id in sent.not_now:
            self._asked[instance_id] = _Asked(now, self._now[instance_id].state, accepted=False)
        for instance_id, state in sent.states.items():
            self._asked[instance_id] = _Asked(now, self._now[instance_id].state, accepted=True)
            self._see(replace(self._now[instance_id], state=state))

    def _poll(self) -> None:
        """One DescribeInstances for all that are open, which settles those that are done."""
        try:
            for instance in self._describe(sorted(self.open)):
                self._settle(instance)
        except (ClientError, BotoCoreError) as error:
            if not is_passing(error):
                raise explain(error, doing=f"{self._way.verb} machines") from error
            self._outage(error)
            return
        self._outage_since = None
        now = self._clock()
        for instance_id in [i for i in self.open if now - self._last_seen[i] >= LOST_AFTER]:
            machine = self._now[instance_id] = replace(self._now[instance_id], state="terminated")
            self._fail(Failure(machine, "EC2 does not know it any more"))

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

    def _settle(self, instance: InstanceTypeDef) -> None:
        instance_id = instance["InstanceId"]
        before = self._now[instance_id]
        seen = machine_from(instance)
        self._last_seen[instance_id] = self._clock()
        asked = self._asked.get(instance_id)
        if asked and not asked.accepted and seen.state != asked.state:
            del self._asked[instance_id]
        if seen.state == "pending":
            self._seen_pending.add(instance_id)
        self._see(replace(before, state=seen.state, public_ip=seen.public_ip, since=seen.since))
        machine = self._now[instance_id]
        if seen.state in _GONE:
            self._fail(Failure(machine, "it was terminated meanwhile, and not by pio-tf"))
        elif seen.state == self._way.wanted:
            if seen.private_ip != before.private_ip:
                self._fail(Failure(machine, f"its private address is {seen.private_ip}, not {before.private_ip}"))
            self.open.discard(instance_id)
        elif self._fell_back(seen.state, instance_id):
            self._fail(power_errors.start_failed(machine, instance))

    def _fell_back(self, state: PowerState, instance_id: str) -> bool:
        """Whether AWS accepted a start and then stopped the machine again: no capacity, a disk's key, a broken host."""
        asked = self._asked.get(instance_id)
        if self._way is not _START or state != "stopped" or asked is None or not asked.accepted:
            return False
        return instance_id in self._seen_pending or self._clock() - asked.at >= ASK_AGAIN

    def _see(self, machine: Machine) -> None:
        before = self._now[machine.instance_id]
        self._now[machine.instance_id] = machine
        if machine.state != before.state:
            self._report(MachineProgress(machine.name, machine.state, ready=machine.state == "stopped"))

    def _fail(self, failure: Failure) -> None:
        self.failed[failure.machine.instance_id] = failure
        self.open.discard(failure.machine.instance_id)
        self._report(Warned(f"{label(failure.machine)}: {failure.reason}"))

    def _outage(self, error: Exception) -> None:
        now = self._clock()
        self._held_up = True
        story = explain(error, doing=f"{self._way.verb} machines")
        if self._outage_since is None:
            self._outage_since = now
            self._report(Warned(f"{story.what} ({story.cause}): trying again"))
        elif now - self._outage_since >= OUTAGE_LIMIT or now >= self._deadline:
            raise story from error
