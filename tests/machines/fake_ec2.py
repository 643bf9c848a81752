"""A small EC2 with a clock of its own, for what moto can't do: capacity, throttling, a stop that never ends, lag.

It behaves as AWS does in what it covers: a call for several instances succeeds or fails as a whole, states take their
time, an unknown id fails the call.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, Machine, PowerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.model import Role

LAUNCHED = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def client_error(
    code: str, message: str = "no", *, operation: str = "StartInstances", status: int = 400
) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "RequestId": "req-1",
                "HTTPStatusCode": status,
                "HTTPHeaders": {},
                "RetryAttempts": 0,
                "HostId": "",
            },
        },
        operation,
    )


@dataclass
class FakeInstance:
    instance_id: str
    name: str
    role: Role
    state: PowerState = "stopped"
    instance_type: str = "r3.xlarge"
    private_ip: str = "10.0.0.10"
    cluster: str | None = "rec"
    then: tuple[float, PowerState] | None = None
    never_ran: bool = False
    no_capacity: bool = False
    fails_after_start: str = ""
    protected: bool = False
    never_stops: bool = False
    hopeless: bool = False
    """Force does not stop it either."""
    room_from: float = 0.0
    """When AWS has capacity for it again, where it has not: see ``no_capacity``."""
    hidden_until: float = 0.0
    stale_until: float = 0.0
    reason: dict[str, str] = field(default_factory=dict)
    spot: bool = False
    not_indexed: bool = False
    """Found by id but not by its tags, as it may be for some seconds after its creation."""


class FakeEc2:
    def __init__(
        self, instances: Iterable[FakeInstance] = (), *, seconds: float = 4.0, ignores_filters: bool = False
    ) -> None:
        self.instances = {instance.instance_id: instance for instance in instances}
        self.seconds = seconds
        self.ignores_filters = ignores_filters
        self.sold_out: set[str] = set()
        """Instance types that AWS has no capacity for."""
        self.now = 0.0
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.faults: dict[str, deque[Exception]] = {
            name: deque[Exception]() for name in ("start", "stop", "force", "describe", "modify")
        }
        self.meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="https://ec2.eu-west-1.amazonaws.com")

    # the test's side

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    @property
    def client(self) -> EC2Client:
        return cast("EC2Client", self)

    @property
    def counts(self) -> Counter[str]:
        return Counter(name for name, _ in self.calls)

    def machines(self) -> list[Machine]:
        self._pass_time()
        return [
            Machine(
                i.name,
                i.role,
                i.instance_id,
                i.instance_type,
                i.state,
                i.private_ip,
                None,
                None,
                spot=i.spot,
                zone="eu-west-1b",
            )
            for i in self.instances.values()
            if i.cluster == "rec"
        ]

    def states(self) -> dict[str, PowerState]:
        self._pass_time()
        return {instance.name: instance.state for instance in self.instances.values()}

    # EC2's side

    def start_instances(self, *, InstanceIds: Sequence[str]) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        found = self._begin("start", InstanceIds)
        for instance in found:
            if instance.state == "stopping":
                message = f"The instance '{instance.instance_id}' is not in a state from which it can be started."
                raise client_error("IncorrectInstanceState", message)
        if any(i.state == "stopped" and self._lacks_room(i) for i in found):
            raise client_error(
                "InsufficientInstanceCapacity", "We currently do not have sufficient capacity", status=500
            )
        before = {instance.instance_id: instance.state for instance in found}
        for instance in found:
            if instance.state == "stopped":
                instance.state = "pending"
                instance.then = (self.now + self.seconds, "stopped" if instance.fails_after_start else "running")
        return {
            "StartingInstances": [
                {**self._change(instance), "PreviousState": {"Name": before[instance.instance_id], "Code": 0}}
                for instance in found
            ]
        }

    def stop_instances(self, *, InstanceIds: Sequence[str], Force: bool = False) -> dict[str, Any]:  # noqa: N803
        found = self._begin("force" if Force else "stop", InstanceIds)
        for instance in found:
            if instance.state == "pending" and instance.never_ran:
                message = (
                    f"Instance '{instance.instance_id}' cannot be stopped as it has never reached the 'running' state."
                )
                raise client_error("IncorrectInstanceState", message, operation="StopInstances")
            if instance.protected:
                message = f"The instance '{instance.instance_id}' may not be stopped. Modify its 'disableApiStop'"
                raise client_error("OperationNotPermitted", message, operation="StopInstances")
            if instance.spot:
                message = (
                    f"You can't stop the Spot Instance '{instance.instance_id}' because it is associated with a "
                    "one-time Spot Instance request."
                )
                raise client_error("UnsupportedOperation", message, operation="StopInstances")
        for instance in found:
            if Force and instance.state == "stopping" and not instance.hopeless:
                instance.then = (self.now + self.seconds, "stopped")
            if instance.state in ("running", "pending"):
                instance.state = "stopping"
                instance.then = None if instance.never_stops else (self.now + self.seconds, "stopped")
        return {"StoppingInstances": [self._change(instance) for instance in found]}

    def modify_instance_attribute(self, *, InstanceId: str, InstanceType: dict[str, str]) -> None:  # noqa: N803
        (found,) = self._begin("modify", [InstanceId])
        if found.state != "stopped":
            message = f"The instance '{InstanceId}' is not in the 'stopped' state."
            raise client_error("IncorrectInstanceState", message, operation="ModifyInstanceAttribute")
        found.instance_type = InstanceType["Value"]

    def _lacks_room(self, instance: FakeInstance) -> bool:
        return instance.no_capacity or instance.room_from > self.now or instance.instance_type in self.sold_out

    def get_paginator(self, name: str) -> FakeEc2:
        assert name == "describe_instances"
        return self

    def paginate(
        self,
        *,
        InstanceIds: Sequence[str] = (),  # noqa: N803
        Filters: Sequence[dict[str, Any]] = (),  # noqa: N803
        PaginationConfig: dict[str, int] | None = None,  # noqa: N803
    ) -> Iterator[dict[str, Any]]:
        found = self._begin("describe", InstanceIds) if InstanceIds else self._filtered(Filters)
        size = (PaginationConfig or {}).get("PageSize", 1000)
        for start in range(0, max(len(found), 1), size):
            page = found[start : start + size]
            yield {"Reservations": [{"Instances": [self._describe(instance)]} for instance in page]}

    def _begin(self, name: str, ids: Sequence[str]) -> list[FakeInstance]:
        self.calls.append((name, tuple(ids)))
        self._pass_time()
        if self.faults[name]:
            raise self.faults[name].popleft()
        unknown = [i for i in ids if i not in self.instances or self.instances[i].hidden_until > self.now]
        if unknown:
            message = f"The instance IDs '{', '.join(unknown)}' do not exist"
            raise client_error("InvalidInstanceID.NotFound", message)
        return [self.instances[i] for i in ids]

    def _filtered(self, filters: Sequence[dict[str, Any]]) -> list[FakeInstance]:
        found = self._begin("describe", ()) or list(self.instances.values())
        for one in filters if not self.ignores_filters else ():
            if one["Name"] == f"tag:{CLUSTER_TAG}":
                found = [i for i in found if i.cluster in one["Values"] and not i.not_indexed]
            elif one["Name"] == "instance-state-name":
                found = [i for i in found if i.state in one["Values"]]
            elif one["Name"] == "instance-id":
                found = [i for i in found if i.instance_id in one["Values"]]
        return found

    def _pass_time(self) -> None:
        for instance in self.instances.values():
            if instance.then and instance.then[0] <= self.now:
                instance.state = instance.then[1]
                instance.then = None
                instance.never_ran = False
                if instance.state == "stopped" and instance.fails_after_start:
                    instance.reason = {"Code": instance.fails_after_start, "Message": "Insufficient capacity."}

    def _change(self, instance: FakeInstance) -> dict[str, Any]:
        return {"InstanceId": instance.instance_id, "CurrentState": {"Name": instance.state, "Code": 0}}

    def _describe(self, instance: FakeInstance) -> dict[str, Any]:
        tags = {MACHINE_TAG: instance.name, ROLE_TAG: instance.role}
        if instance.cluster is not None:
            tags[CLUSTER_TAG] = instance.cluster
        state = instance.state
        if instance.stale_until > self.now:
            state = "stopped" if state == "pending" else "running"
        return {
            "InstanceId": instance.instance_id,
            "InstanceType": instance.instance_type,
            "State": {"Name": state, "Code": 0},
            "StateReason": instance.reason,
            "PrivateIpAddress": instance.private_ip,
            "Placement": {"AvailabilityZone": "eu-west-1b"},
            "LaunchTime": LAUNCHED,
            "StateTransitionReason": "User initiated (2026-03-02 08:30:00 GMT)" if state == "stopped" else "",
            **({"InstanceLifecycle": "spot"} if instance.spot else {}),
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }


def cluster_of(workers: int, state: PowerState = "stopped") -> list[FakeInstance]:
    """Return a driver, a master and workers, all in one state."""
    names = ["driver", "master", *(f"worker-{n}" for n in range(1, workers + 1))]
    roles: list[Role] = ["driver", "master", *["worker" for _ in range(workers)]]  # type: ignore[list-item]
    return [
        FakeInstance(f"i-{number:04x}", name, role, state, private_ip=f"10.0.0.{number + 10}")
        for number, (name, role) in enumerate(zip(names, roles, strict=True))
    ]
