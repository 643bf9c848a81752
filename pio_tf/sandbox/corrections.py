"""Where moto's EC2 departs from AWS in ways that pio-tf's users would notice, and what stands in its place.

moto's server keeps one state for the whole process, so the corrections are put in when a :class:`LocalAws` starts and
taken out when it stops. Each names the behaviour of AWS that it restores. The subclasses keep the names of moto's own
classes: its serializer derives from them how a response field is called (``InstanceId`` is ``Instance.id``).

Checked against moto 5.2.
"""

from __future__ import annotations

import copy
import time
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from moto import settings
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import amis, elastic_ip_addresses, elastic_network_interfaces, instances
from moto.ec2.responses.account_attributes import AccountAttributes
from moto.ec2.responses.instances import InstanceResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


_JAMMY = {
    "ami_id": "ami-0a1b2c3d4e5f60718",
    "name": "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260101",
    "description": "Canonical, Ubuntu, 22.04 LTS, amd64 jammy image (known to the sandbox only)",
    "owner_id": "099720109477",
    "public": True,
    "virtualization_type": "hvm",
    "architecture": "x86_64",
    "state": "available",
    "image_type": "machine",
    "image_location": "099720109477/ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260101",
    "hypervisor": "xen",
    "root_device_type": "ebs",
    "root_device_name": "/dev/sda1",
    "sriov": "simple",
    "creation_date": "2026-01-01T00:00:00.000Z",
}
"""moto's newest Ubuntu is 16.04; the default of ``ami_filter`` must find its image here as it does on AWS."""


class PassingState(instances.InstanceState):  # type: ignore[misc]
    """A state that gives way to the next one when its time is over; computed when read, so it needs no timer."""

    def __init__(self, passing: str, *, then: str, seconds: float, clock: Callable[[], float]) -> None:
        self._passing = passing
        self._then = then
        self._clock = clock
        self._until = clock() + seconds

    @property
    def name(self) -> str:
        """Name of the state now."""
        return self._passing if self._clock() < self._until else self._then

    @property
    def code(self) -> int:
        """EC2's number of the state now."""
        return _CODES[self.name]

    def snapshot(self) -> instances.InstanceState:
        """The state now, which does not pass."""
        name = self.name
        return instances.InstanceState(name, _CODES[name])


def incorrect_state(message: str) -> EC2ClientError:
    """AWS's error for a call that the state of an instance does not allow."""
    return EC2ClientError("IncorrectInstanceState", message)


def _check_address(wanted: str, subnet: Any) -> None:  # noqa: ANN401 - moto's Subnet
    if ip_address(wanted) not in subnet.cidr:
        raise EC2ClientError(
            "InvalidParameterValue", f"Address {wanted} does not fall within the subnet's address range"
        )
    first = subnet.cidr.network_address
    if ip_address(wanted) in (first, first + 1, first + 2, first + 3, subnet.cidr.broadcast_address):
        raise EC2ClientError("InvalidParameterValue", f"Address {wanted} is in subnet's reserved address range")
    if wanted in subnet._subnet_ips:  # noqa: SLF001 - moto has no accessor
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {wanted} is in use.")


class Instance(instances.Instance):  # type: ignore[misc]
    """An instance whose power changes take a moment, and whose interface shows what AWS shows."""

    transition_seconds: ClassVar[float] = 0.5
    clock: ClassVar[Callable[[], float]] = staticmethod(time.monotonic)
    on_change: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - moto's own signature
        super().__init__(*args, **kwargs)
        self.state_reason = None  # moto: one with empty fields
        pair = self.ec2_backend.key_pairs.get(self.key_name)
        self.installed_key: str | None = pair.public_key.strip() if pair else None
        """Public key that was put into the machine at launch; it stays when the key pair is deleted, as on AWS."""
        self._never_ran_until = type(self).clock() + self.transition_seconds
        self._pass("pending", then="running")

    def _pass(self, passing: str, *, then: str) -> None:
        self._state = PassingState(passing, then=then, seconds=self.transition_seconds, clock=type(self).clock)
        type(self).on_change()

    def get_tags(self) -> list[dict[str, str]]:
        """Its tags. moto looks through those of everything, for each instance: seconds a page of 500 machines."""
        tags = self.ec2_backend.tags.get(self.id, {})
        return [
            {"resource_id": self.id, "resource_type": "instance", "key": key, "value": value}
            for key, value in tags.items()
        ]

    def prep_nics(self, nic_spec: list[dict[str, Any]], **kwargs: Any) -> None:  # noqa: ANN401 - moto's own signature
        """Refuses a private address that AWS would refuse: moto answers HTTP 500, which SDKs try again and again."""
        primary = next((nic for nic in nic_spec if int(nic.get("DeviceIndex", 0)) == 0), {})
        wanted = kwargs.get("private_ip") or self._get_private_ip_from_nic(primary)
        if wanted and self.subnet_id:
            _check_address(wanted, self.ec2_backend.get_subnet(self.subnet_id))
        super().prep_nics(nic_spec, **kwargs)

    @property
    def security_groups(self) -> list[Any]:
        """The primary interface's groups. moto leaves them out of DescribeInstances when they were given with the
        interface, and a plan then shows ``~ vpc_security_group_ids`` for ever."""
        nics = self.__dict__.get("nics")
        return list(nics[0]._group_set) if nics else self.__dict__.get("_asked_groups", [])  # noqa: SLF001

    @security_groups.setter
    def security_groups(self, groups: list[Any]) -> None:
        self._asked_groups = groups
        nics = self.__dict__.get("nics")
        if nics:
            nics[0]._group_set = list(groups)  # noqa: SLF001

    def start(self) -> Any:  # noqa: ANN401 - moto's InstanceState
        """``stopped`` → ``pending`` → ``running``; running and pending stay as they are."""
        before = self._state.snapshot()
        if before.name == "stopped":
            for nic in self.nics.values():
                nic.start()
            self.launch_time = utcnow()  # AWS: "the time of the last start"; moto keeps the first
            self._reason = ""
            self.state_reason = None
            self._pass("pending", then="running")
        return before

    def stop(self) -> Any:  # noqa: ANN401 - moto's InstanceState
        """``running`` → ``stopping`` → ``stopped``; stopping and stopped stay as they are."""
        before = self._state.snapshot()
        if before.name in ("running", "pending"):
            for nic in self.nics.values():
                nic.stop()
            self._user_initiated()
            self._pass("stopping", then="stopped")
        return before

    def terminate(self) -> Any:  # noqa: ANN401 - moto's InstanceState
        """Any state → ``shutting-down`` → ``terminated``; its addresses are free again, which moto leaves taken."""
        before = self._state.snapshot()
        if before.name in ("shutting-down", "terminated"):
            return before
        self._state = copy.copy(before)  # a plain state, which moto's method may write to
        super().terminate()
        for eip in [eip for eip in self.ec2_backend.addresses if eip.instance is self]:
            self.ec2_backend.disassociate_address(address=eip.public_ip)
        for nic in self.nics.values():
            self.ec2_backend.enis.pop(nic.id, None)
            for address in nic.private_ip_addresses:
                nic.subnet.del_subnet_ip(address["PrivateIpAddress"])
            nic.public_ip = None
        self._user_initiated()
        self._pass("shutting-down", then="terminated")
        return before

    def reboot(self) -> None:
        """A reboot does not show in the state."""

    def _user_initiated(self) -> None:
        # AWS writes GMT, moto UTC; the time in the parentheses is the only record of when a machine was stopped.
        self._reason = f"User initiated ({utcnow():%Y-%m-%d %H:%M:%S} GMT)"
        self.state_reason = instances.StateReason(
            "Client.UserInitiatedShutdown: User initiated shutdown", "Client.UserInitiatedShutdown"
        )

    @property
    def never_ran(self) -> bool:
        """Whether it is in its very first ``pending``."""
        return type(self).clock() < self._never_ran_until


class NetworkInterface(elastic_network_interfaces.NetworkInterface):  # type: ignore[misc]
    """An interface that loses only its passing public address at a stop, and has no empty Association."""

    @property
    def association(self) -> Any:  # noqa: ANN401 - moto's dict
        """None without a public address, as on AWS. moto writes an empty element, which hides the replacement that
        ``associate_public_ip_address = true`` causes on a stopped machine (terraform-provider-aws #33775)."""
        return super().association or None

    @property
    def group_set(self) -> list[Any]:
        """Its own groups: on AWS an interface has no others."""
        return list(self._group_set)

    def _has_eip(self) -> bool:
        return any(eip.eni is self for eip in self.ec2_backend.addresses)

    def stop(self) -> None:
        """An Elastic IP stays; moto takes it as well, where an address was assigned automatically before."""
        if not self._has_eip():
            super().stop()

    def start(self) -> None:
        """A new passing address, unless there is an Elastic IP."""
        if not self._has_eip():
            super().start()


def _start_instances(backend: Any, instance_ids: Sequence[str]) -> list[tuple[Any, Any]]:  # noqa: ANN401
    found = backend.get_multi_instances_by_id(instance_ids)
    for instance in found:  # AWS starts all of a call or none
        if instance.state in ("stopping", "shutting-down", "terminated"):
            raise incorrect_state(f"The instance '{instance.id}' is not in a state from which it can be started.")
    return [(instance, instance.start()) for instance in found]


def _stop_instances(backend: Any, instance_ids: Sequence[str]) -> list[tuple[Any, Any]]:  # noqa: ANN401
    found = backend.get_multi_instances_by_id(instance_ids)
    for instance in found:
        if instance.disable_api_stop is True:
            raise instances.OperationDisableApiStopNotPermitted(instance.id)
        if instance.state in ("shutting-down", "terminated"):
            raise incorrect_state(f"This instance '{instance.id}' is not in a state from which it can be stopped.")
        if instance.state == "pending" and instance.never_ran:
            raise incorrect_state(
                f"Instance '{instance.id}' cannot be stopped as it has never reached the 'running' state."
            )
    return [(instance, instance.stop()) for instance in found]


def _reboot_instances(backend: Any, instance_ids: Sequence[str]) -> list[Any]:  # noqa: ANN401
    found: list[Any] = backend.get_multi_instances_by_id(instance_ids)
    for instance in found:
        if instance.state != "running":
            raise incorrect_state(f"The instance '{instance.id}' is not in a state from which it can be rebooted.")
    return found


_allocate_address = elastic_ip_addresses.ElasticAddressBackend.allocate_address


def _allocate_in_a_vpc(backend: Any, domain: str | None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    # EC2-Classic is gone: AWS answers "vpc" whatever is asked. AWS provider 3.39 asks for "standard" where a
    # configuration says nothing, and then refuses to tag an address that is not in a VPC.
    del domain
    return _allocate_address(backend, "vpc", *args, **kwargs)


_describe_account_attributes = AccountAttributes.describe_account_attributes


def _without_classic(self: Any) -> ActionResult:  # noqa: ANN401 - moto's response class
    # EC2-Classic is gone from every account. Where moto says it is there, AWS provider 3.39 refuses to tag an address.
    answer = _describe_account_attributes(self)
    for attribute in answer.result["AccountAttributes"]:
        if attribute["AttributeName"] == "supported-platforms":
            attribute["AttributeValues"] = [{"AttributeValue": "VPC"}]
    return answer


_modify_by_value = InstanceResponse._dot_value_instance_attribute_handler  # noqa: SLF001


def _modify_shutdown_behavior_too(self: Any) -> bool:  # noqa: ANN401 - moto's response class
    # moto does not know InstanceInitiatedShutdownBehavior here, and takes the call for one that removes all groups.
    value = self._get_param("InstanceInitiatedShutdownBehavior.Value")
    if value is None:
        return bool(_modify_by_value(self))
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    instance.instance_initiated_shutdown_behavior = value
    return True


_modify_instance_attribute = instances.InstanceBackend.modify_instance_attribute


def _modify_only_while_stopped(backend: Any, instance_id: str, key: str, value: Any) -> Any:  # noqa: ANN401
    # AWS changes type and user data of a stopped instance only; moto at any time.
    if key in ("instance_type", "user_data") and backend.get_instance(instance_id).state != "stopped":
        raise incorrect_state(f"The instance '{instance_id}' is not in the 'stopped' state.")
    return _modify_instance_attribute(backend, instance_id, key, value)


def _changes(response: str, call: str) -> Callable[[Any], ActionResult]:
    """A handler that answers with the state before and the real one now; moto writes a constant for the latter."""

    def handle(self: Any) -> ActionResult:  # noqa: ANN401 - moto's response class
        self.error_on_dryrun()
        changed = getattr(self.ec2_backend, call)(self._get_param("InstanceIds", []))
        entries = [
            {"InstanceId": instance.id, "CurrentState": instance._state.snapshot(), "PreviousState": before}  # noqa: SLF001
            for instance, before in changed
        ]
        return ActionResult({response: entries})

    return handle


@contextmanager
def corrected(
    *, transition_seconds: float, clock: Callable[[], float], on_change: Callable[[], None]
) -> Iterator[None]:
    """moto as corrected, until the block ends.

    Args:
        transition_seconds: how long an instance is pending, stopping and shutting-down.
        clock: seconds, monotonic, that these are counted with.
        on_change: called, in the thread of the request, when an instance begins to change its state. Must be quick.
    """
    backend = instances.InstanceBackend
    with ExitStack() as stack:
        for owner, name, value in (
            (Instance, "transition_seconds", transition_seconds),
            (Instance, "clock", staticmethod(clock)),
            (Instance, "on_change", staticmethod(on_change)),
            (amis, "AMIS", [*amis.AMIS, dict(_JAMMY)]),
            (instances, "Instance", Instance),
            (elastic_network_interfaces, "NetworkInterface", NetworkInterface),
            (backend, "start_instances", _start_instances),
            (backend, "stop_instances", _stop_instances),
            (backend, "reboot_instances", _reboot_instances),
            (backend, "modify_instance_attribute", _modify_only_while_stopped),
            (elastic_ip_addresses.ElasticAddressBackend, "allocate_address", _allocate_in_a_vpc),
            (InstanceResponse, "start_instances", _changes("StartingInstances", "start_instances")),
            (InstanceResponse, "stop_instances", _changes("StoppingInstances", "stop_instances")),
            (InstanceResponse, "terminate_instances", _changes("TerminatingInstances", "terminate_instances")),
            (InstanceResponse, "_dot_value_instance_attribute_handler", _modify_shutdown_behavior_too),
            (AccountAttributes, "describe_account_attributes", _without_classic),
            # AWS refuses what does not exist; moto only when asked to.
            (settings, "ENABLE_AMI_VALIDATION", True),
            (settings, "ENABLE_KEYPAIR_VALIDATION", True),
            (settings, "EC2_ENABLE_INSTANCE_TYPE_VALIDATION", True),
        ):
            stack.enter_context(patch.object(owner, name, value))
        yield
