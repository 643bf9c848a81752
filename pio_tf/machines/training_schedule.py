"""Trainings on AWS's own clock: recurring schedules of EventBridge Scheduler that start and stop a cluster.

There are three. The *mark* sets the tag ``pio-tf:scheduled-start`` on all machines at the time that the user has named:
a token, and the scheduled time. The *start* comes two minutes later, and the *stop* after the longest training. Their
role may start and stop only machines that carry the tag, so a client that removes the tag takes the machines over.

The driver knows the token. It trains if it boots with a tag that has it, and a recent time.
"""

from __future__ import annotations

import json
import time as clock_module
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from pio_tf.aws.errors import aws_errors
from pio_tf.config.recurring_time import START_AFTER, START_RETRIES, RecurringTime, find_zone, parse_recurring_time
from pio_tf.errors import AwsError
from pio_tf.machines.scheduler import Scheduler, scheduler_errors
from pio_tf.model import SCHEDULED_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from zoneinfo import ZoneInfo

    from botocore.client import BaseClient
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.model import Machine

_FROM_FILE: Final = "that pio-tf.hcl names"
_FROM_COMMAND: Final = "that `pio-tf schedule set` has named"
_SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"
"""Scheduler puts the time of the call in its place, such as ``2026-11-29T02:00:00Z``."""


@dataclass(frozen=True)
class ClusterSchedule:
    """When AWS starts a cluster for a training."""

    time: RecurringTime
    zone: ZoneInfo
    token: str
    """Tells the driver that a start is this schedule's. It is no secret: the tags show it."""
    ids: frozenset[str]
    """The instances to start."""
    role_arn: str
    """The role that Scheduler acts with."""
    paused: bool = False
    from_file: bool = False
    """True if pio-tf.hcl names the time."""
    modified: datetime | None = field(default=None, compare=False)
    """When a client wrote it last, by AWS's clock."""

    def training_ends(self, moment: datetime, *, max_runtime: int, now: datetime) -> datetime | None:
        """Return when AWS stops the training that would run at a moment; None: AWS starts none for it from now on."""
        due = self.time.last_until(moment, self.zone)
        if due is None or self.paused or due + START_AFTER + START_RETRIES <= now:
            return None
        end = ScheduledStart(self.token, due).stops_at(max_runtime)
        return end if end > moment else None


class ScheduledStart(Struct, frozen=True):
    """What the tag of a machine says about the last start."""

    token: str
    at: datetime
    """The time of the schedule, UTC."""

    @classmethod
    def read(cls, tag: str) -> ScheduledStart | None:
        """Return the start of a tag's value; None if it names none."""
        token, _, at = tag.partition(" ")
        try:
            return cls(token, datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc))
        except ValueError:
            return None

    def stops_at(self, max_runtime: int) -> datetime:
        """Return when AWS stops the machines of this start."""
        return self.at + START_AFTER + timedelta(seconds=max_runtime)


def remove_marks(ec2: EC2Client, machines: Iterable[Machine]) -> list[Machine]:
    """Take machines over from their schedule: it may no longer start or stop them. Return those that it had marked.

    Raises:
        AwsError: the tags can't be removed.
    """
    marked = [machine for machine in machines if machine.scheduled_start]
    if marked:
        with aws_errors("taking the machines over from their schedule"):
            ec2.delete_tags(Resources=[machine.instance_id for machine in marked], Tags=[{"Key": SCHEDULED_TAG}])
    return marked


def show_tags(ec2: EC2Client, driver: Machine) -> None:
    """Let a driver read its tags, if it may not yet.

    Raises:
        AwsError: it may not.
    """
    if driver.reads_tags:
        return
    try:
        with aws_errors("letting the driver read its tags"):
            ec2.modify_instance_metadata_options(InstanceId=driver.instance_id, InstanceMetadataTags="enabled")
    except AwsError as error:
        error.next_step += "; EC2 also refuses it if a tag of the driver has a space or a slash in its key"
        raise


class TrainingSchedule:
    """The EventBridge schedules that start and stop one cluster for its trainings.

    Args:
        scheduler: a botocore client of EventBridge Scheduler, in the machines' region.
        cluster: the cluster's name.
    """

    def __init__(
        self,
        scheduler: BaseClient,
        *,
        cluster: str,
        clock: Callable[[], float] = clock_module.monotonic,
        sleep: Callable[[float], None] = clock_module.sleep,
    ) -> None:
        self._calls = Scheduler(scheduler, clock=clock, sleep=sleep)
        self._cluster = cluster
        self._mark, self._start, self._stop = (f"pio-tf-{cluster}.{what}" for what in ("mark", "start", "stop"))

    def find(self) -> ClusterSchedule | None:
        """Return the schedule; None if there is none, or if another tool has changed it into something else.

        Raises:
            AwsError: pio-tf cannot read it.
        """
        with self._errors("looking for the schedule of trainings"):
            return _read(self._calls.get(self._mark))

    def put(
        self, wanted: ClusterSchedule, *, max_runtime: int, before_stop_changes: Callable[[], None] = lambda: None
    ) -> bool:
        """Write the schedules where they differ, and read them back. Return False if there was nothing to write.

        Args:
            max_runtime: seconds between start and stop.
            before_stop_changes: called before machines that run lose their stop.

        Raises:
            ValueError: one expression can't name the times of the start or the stop.
            AwsError: they are not as requested.
        """
        with self._errors("setting the schedule of trainings"):
            # The mark is last: without it, the others may not touch a machine.
            requests = [one for one in self._requests(wanted, max_runtime) if self._calls.differs(one)]
            for request in requests:
                if request["Name"] == self._stop:
                    before_stop_changes()
                _, differ = self._calls.put_and_read(request, create=False)
                if differ:
                    raise AwsError(
                        f"the schedule {request['Name']} is not as requested",
                        cause="the schedule in AWS differs in " + ", ".join(differ),
                        next_step="try again; if another user or tool changes the schedule, stop that",
                        details={"schedule": request["Name"], "differ": differ},
                    )
        return bool(requests)

    def remove(self) -> bool:
        """Remove the schedules; return False if there was none.

        Raises:
            AwsError: pio-tf cannot remove one.
        """
        with self._errors("removing the schedule of trainings"):
            return {self._calls.delete(name) for name in (self._mark, self._start, self._stop)} != {False}

    def _requests(self, wanted: ClusterSchedule, max_runtime: int) -> Iterator[dict[str, Any]]:
        ids = sorted(wanted.ids)
        switched = {"InstanceIds": ids}
        stop = wanted.time.later(START_AFTER + timedelta(seconds=max_runtime))
        # A pause leaves the stop as it is, for the machines that run.
        yield self._request(self._stop, replace(wanted, paused=False), stop, "stopInstances", switched)
        start = wanted.time.later(START_AFTER)
        yield self._request(self._start, wanted, start, "startInstances", switched)
        tag = {"Key": SCHEDULED_TAG, "Value": f"{wanted.token} {_SCHEDULED_TIME}"}
        yield self._request(self._mark, wanted, wanted.time, "createTags", {"Resources": ids, "Tags": [tag]})

    def _request(
        self, name: str, wanted: ClusterSchedule, time: RecurringTime, call: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        # A mark that comes later than the start would let the machines start without it.
        age = START_AFTER if call == "createTags" else START_RETRIES
        return self._calls.request(
            name,
            description=f"Trains pio-tf's cluster {self._cluster} at the time "
            f"{_FROM_FILE if wanted.from_file else _FROM_COMMAND}",
            expression=str(time),
            timezone=wanted.zone.key,
            enabled=not wanted.paused,
            call=call,
            arguments=arguments,
            role_arn=wanted.role_arn,
            event_age=int(age.total_seconds()),
        )

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        return scheduler_errors(
            doing,
            schedule=self._mark,
            unauthorised=" (`pio-tf iam` lists all permissions)",
            no_role="a role of your own must trust scheduler.amazonaws.com",
        )


def _read(found: dict[str, Any] | None) -> ClusterSchedule | None:
    if found is None:
        return None
    try:
        arguments = json.loads(found["Target"]["Input"])
        return ClusterSchedule(
            time=parse_recurring_time(found["ScheduleExpression"]),
            zone=find_zone(found.get("ScheduleExpressionTimezone", "UTC")),
            token=arguments["Tags"][0]["Value"].partition(" ")[0],
            ids=frozenset(arguments["Resources"]),
            role_arn=found["Target"].get("RoleArn", ""),
            paused=found.get("State") == "DISABLED",
            from_file=str(found.get("Description", "")).endswith(_FROM_FILE),
            modified=found.get("LastModificationDate"),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
