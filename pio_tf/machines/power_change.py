"""A change of some machines' power, from the first call to the last poll: see :mod:`pio_tf.machines.power`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from pio_tf.aws.errors import (
    NO_CAPACITY,
    aws_errors,
    error_code,
    error_message,
    explain,
    is_expired,
    is_passing,
    is_without_answer,
)
from pio_tf.events import MachineProgress, Reporter, Warned
from pio_tf.machines import power_errors
from pio_tf.machines.batch import MAX_BATCH, Sent, send_batch
from pio_tf.machines.capacity import CapacityWait, lacking
from pio_tf.machines.inventory import machine_from
from pio_tf.machines.power_errors import Failure, failure_from, label
from pio_tf.model import GONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceStateChangeTypeDef, InstanceTypeDef

    from pio_tf.model import Machine, PowerState

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
"""Seconds between polls; each pause is 1.6 times the one before. AWS takes some 10-60 s for a start and for a stop."""
ASK_AGAIN: Final = 30.0
"""Seconds after which a machine that still shows its old state is asked again (a stop) or taken for failed (a start).
DescribeInstances may lag behind a call by some seconds."""
LOST_AFTER: Final = 60.0
"""Seconds for which an instance id may be unknown to EC2, which is eventually consistent."""
OUTAGE_LIMIT: Final = 120.0
"""Seconds of throttling, of no network or of expired credentials, without one answer in between, after which waiting
ends with that error."""


@dataclass(frozen=True)
class Direction:
    """Which way the power goes."""

    verb: str
    wanted: PowerState
    ready: tuple[PowerState, ...]
    """States in which AWS is asked."""
    done: tuple[PowerState, ...]
    """States in which a machine is left alone from the beginning."""


START: Final = Direction("starting", wanted="running", ready=("stopped",), done=("running",))
# A machine that is pending for the first time can't be stopped yet, one that has run before can: ask, and ask again.
STOP: Final = Direction("stopping", wanted="stopped", ready=("running", "pending"), done=("stopped", *GONE))


@dataclass(frozen=True)
class _Asked:
    """That AWS has been asked to switch a machine."""

    at: float
    state: PowerState
    accepted: bool


class PowerChange:
    """The change of some machines' power, from the first call to the last poll."""

    def __init__(
        self,
        ec2: EC2Client,
        machines: Sequence[Machine],
        direction: Direction,
        *,
        timeout: float,
        capacity_wait: float = 0.0,
        force_after: float = 0.0,
        reporter: Reporter,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._ec2 = ec2
        self._way = direction
        self._report = reporter
        self._clock = clock
        self._sleep = sleep
        self._timeout = timeout
        self._deadline = clock() + timeout
        self._capacity = CapacityWait(budget=capacity_wait, clock=clock)
        self._force_after = force_after
        self._force_at: dict[str, float] = {}
        self._now = {machine.instance_id: machine for machine in machines}
        self._asked: dict[str, _Asked] = {}
        self._seen_pending: set[str] = set()
        self._last_seen = dict.fromkeys(self._now, clock())
        self._outage_since: float | None = None
        self._held_up = False
        self.open = {machine.instance_id for machine in machines if machine.state not in direction.done}
        """Ids of those that are not yet as wanted, and have not failed."""
        self._in_doubt: set[str] = set()
        """Ids that a call was for of which nobody knows whether it took effect: its answer never came."""
        self.failed: dict[str, Failure] = {}

    @property
    def machines(self) -> list[Machine]:
        """The machines as last seen, in the order given."""
        return list(self._now.values())

    @property
    def may_run(self) -> list[Machine]:
        """The same; of which a start was not answered, as if it had been accepted."""
        return [
            replace(machine, state="pending")
            if self._way is START and machine.instance_id in self._in_doubt and machine.state == "stopped"
            else machine
            for machine in self.machines
        ]

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
            self._force()
            left = max(self._deadline, self._capacity.until) - self._clock()
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
            and not self._capacity.holds_back(machine.instance_id)
            and self._may_ask(self._asked.get(machine.instance_id))
        ]

    def _may_ask(self, asked: _Asked | None) -> bool:
        if asked is None:
            return True
        if self._way is START and asked.accepted:
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
        self._refused([failure_from(self._now[instance_id], error) for instance_id, error in sent.failed.items()])
        if sent.passing is not None:
            if is_without_answer(sent.passing):
                settled = {*sent.states, *sent.not_now, *sent.failed}
                self._in_doubt |= {machine.instance_id for machine in due} - settled
            self._outage(sent.passing)
        else:
            self._outage_since = None
        return True

    def _refused(self, failures: Sequence[Failure]) -> None:
        """AWS does not start or stop these: for want of room now, or for good."""
        for_now = [one for one in failures if self._way is START and one.code in NO_CAPACITY]
        if for_now and self._capacity.hold(one.machine.instance_id for one in for_now):
            self._report(
                Warned(f"AWS has no capacity for {lacking(one.machine for one in for_now)}: asking again in a while")
            )
        else:
            for_now = []
        for failure in failures:
            if failure not in for_now:
                self._fail(failure)

    def _call(self, ids: Sequence[str]) -> dict[str, PowerState]:
        changes: list[InstanceStateChangeTypeDef]
        if self._way is START:
            changes = self._ec2.start_instances(InstanceIds=list(ids))["StartingInstances"]
        else:
            changes = self._ec2.stop_instances(InstanceIds=list(ids))["StoppingInstances"]
        return {change["InstanceId"]: change["CurrentState"]["Name"] for change in changes}

    def _note(self, sent: Sent) -> None:
        now = self._clock()
        for instance_id in sent.not_now:
            self._asked[instance_id] = _Asked(now, self._now[instance_id].state, accepted=False)
        if self._capacity.has_room(sent.states):
            self._deadline = max(self._deadline, now + self._timeout)
        for instance_id, state in sent.states.items():
            self._asked[instance_id] = _Asked(now, self._now[instance_id].state, accepted=True)
            self._in_doubt.discard(instance_id)
            self._see(replace(self._now[instance_id], state=state))

    def _poll(self) -> None:
        """One DescribeInstances for all that are open, which settles those that are done."""
        try:
            for instance in self._describe(sorted(self.open)):
                self._settle(instance)
        except (ClientError, BotoCoreError) as error:
            if not (is_passing(error) or is_expired(error)):
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
        if seen.is_going:
            self._fail(Failure(machine, "it was terminated meanwhile, and not by pio-tf"))
        elif seen.state == self._way.wanted:
            if seen.private_ip != before.private_ip:
                self._fail(Failure(machine, f"its private address is {seen.private_ip}, not {before.private_ip}"))
            self.open.discard(instance_id)
        elif self._fell_back(seen.state, instance_id):
            del self._asked[instance_id]
            self._seen_pending.discard(instance_id)
            self._refused([power_errors.start_failed(machine, instance)])

    def _fell_back(self, state: PowerState, instance_id: str) -> bool:
        """Whether AWS accepted a start and then stopped the machine again: no capacity, a disk's key, a broken host."""
        asked = self._asked.get(instance_id)
        if self._way is not START or state != "stopped" or asked is None or not asked.accepted:
            return False
        return instance_id in self._seen_pending or self._clock() - asked.at >= ASK_AGAIN

    def _force(self) -> None:
        """Stop by force what has been stopping for too long: its operating system hangs, or its host does."""
        now = self._clock()
        stopping = {i for i in self.open if self._way is STOP and self._now[i].state == "stopping"}
        self._force_at = {i: self._force_at.get(i, now + self._force_after) for i in stopping}
        stuck = [self._now[i] for i in sorted(stopping) if self._force_after and now >= self._force_at[i]]
        if not stuck:
            return
        for machine in stuck:
            self._force_at[machine.instance_id] = now + self._force_after
            message = f"has been stopping for {self._force_after:.0f} s: it is stopped by force"
            self._report(Warned(f"{label(machine)} {message}; its disk may want a check at the next start"))

        def call(ids: Sequence[str]) -> dict[str, PowerState]:
            self._ec2.stop_instances(InstanceIds=list(ids), Force=True)
            return {}

        with aws_errors(f"stopping {len(stuck)} machines by force"):
            sent = send_batch(call, stuck)
        for instance_id, error in sent.failed.items():
            self._report(
                Warned(f"{label(self._now[instance_id])}: {failure_from(self._now[instance_id], error).reason}")
            )
        if sent.passing is not None:
            self._outage(sent.passing)

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
            meanwhile = f"; meanwhile, {story.next_step}" if is_expired(error) else ""
            self._report(Warned(f"{story.what} ({story.cause}): trying again{meanwhile}"))
        elif now - self._outage_since >= OUTAGE_LIMIT or now >= self._deadline:
            raise story from error
