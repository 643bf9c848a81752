"""Instances and interfaces of moto's EC2 that behave as on AWS. :mod:`pio_tf.sandbox.corrections` installs them.

The subclasses keep the names of moto's classes, because its serializer derives the names of response fields from them
(``InstanceId`` is ``Instance.id``).
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends, elastic_network_interfaces, instances
from moto.ec2.models.instance_types import INSTANCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pio_tf.model import PowerState

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class PassingState(instances.InstanceState):  # type: ignore[misc]
    """A state that becomes the next one after some time. It is computed when read, so it needs no timer."""

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
        """Return the state of this moment, which does not change."""
        name = self.name
        return instances.InstanceState(name, _CODES[name])


@dataclass(frozen=True)
class LocalInstance:
    """The facts about an EC2 instance from which its machine is built."""

    instance_id: str
    state: PowerState
    region: str
    private_ip: str
    instance_type: str
    memory_mib: int
    vcpus: int
    tags: dict[str, str]
    reboots: int
    """Number of reboots since it was created."""
    public_key: str | None
    """The public half of its key pair, in OpenSSH's one-line form; None without a key pair."""


def list_instances() -> list[LocalInstance]:
    """Return every instance of every region, terminated ones included, in the order of creation."""
    return [
        _local_instance(instance, region=region)
        for regions in list(ec2_backends.values())
        for region, backend in list(regions.items())
        for reservation in list(backend.reservations.values())
        for instance in reservation.instances
    ]


def power_off(instance_ids: Sequence[str]) -> None:
    """Do what AWS does when the machines of these running instances power themselves off."""
    for regions in list(ec2_backends.values()):
        for backend in list(regions.values()):
            for reservation in list(backend.reservations.values()):
                for instance in reservation.instances:
                    if instance.id in instance_ids:
                        instance.power_off()


def _local_instance(instance: Any, *, region: str) -> LocalInstance:  # noqa: ANN401
    kind = INSTANCE_TYPES[instance.instance_type]
    return LocalInstance(
        instance_id=instance.id,
        state=instance.state,
        region=region,
        private_ip=instance.private_ip,
        instance_type=instance.instance_type,
        memory_mib=kind["MemoryInfo"]["SizeInMiB"],
        vcpus=kind["VCpuInfo"]["DefaultVCpus"],
        tags=dict(instance.ec2_backend.tags[instance.id]),
        reboots=instance.reboots,
        public_key=instance.installed_key,
    )


def incorrect_state(message: str) -> EC2ClientError:
    """Return AWS's error for a call that the state of an instance does not allow."""
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
    """An instance with power changes that take a moment, and with the interface that AWS shows."""

    transition_seconds: ClassVar[float] = 0.5
    clock: ClassVar[Callable[[], float]] = staticmethod(time.monotonic)
    on_change: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    ena_support = True
    """As its image: see :func:`~pio_tf.sandbox.corrections.corrected`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - moto's own signature
        super().__init__(*args, **kwargs)
        self.state_reason = None  # moto: one with empty fields
        pair = self.ec2_backend.key_pairs.get(self.key_name)
        self.installed_key: str | None = pair.public_key.strip() if pair else None
        """The public key at launch. It stays when the key pair is deleted, as on AWS."""
        self.reboots = 0
        """Number of reboots since it was created."""
        self._never_ran_until = type(self).clock() + self.transition_seconds
        self._pass("pending", then="running")

    def _pass(self, passing: str, *, then: str) -> None:
        self._state = PassingState(passing, then=then, seconds=self.transition_seconds, clock=type(self).clock)
        type(self).on_change()

    def get_tags(self) -> list[dict[str, str]]:
        """Return its tags. moto searches the tags of all resources for each instance: seconds for 500 machines."""
        tags = self.ec2_backend.tags.get(self.id, {})
        return [
            {"resource_id": self.id, "resource_type": "instance", "key": key, "value": value}
            for key, value in tags.items()
        ]

    def prep_nics(self, nic_spec: list[dict[str, Any]], **kwargs: Any) -> None:  # noqa: ANN401 - moto's own signature
        """Refuse a private address that AWS would refuse. moto answers HTTP 500, which SDKs retry."""
        primary = next((nic for nic in nic_spec if int(nic.get("DeviceIndex", 0)) == 0), {})
        wanted = kwargs.get("private_ip") or self._get_private_ip_from_nic(primary)
        if wanted and self.subnet_id:
            _check_address(wanted, self.ec2_backend.get_subnet(self.subnet_id))
        super().prep_nics(nic_spec, **kwargs)

    @property
    def security_groups(self) -> list[Any]:
        """Return the primary interface's groups.

        If the interface sets them, moto omits them in DescribeInstances, and every plan shows ``~
        vpc_security_group_ids``.
        """
        nics = self.__dict__.get("nics")
        return list(nics[0]._group_set) if nics else self.__dict__.get("_asked_groups", [])  # noqa: SLF001

    @security_groups.setter
    def security_groups(self, groups: list[Any]) -> None:
        self._asked_groups = groups
        nics = self.__dict__.get("nics")
        if nics:
            nics[0]._group_set = list(groups)  # noqa: SLF001

    def start(self) -> Any:  # noqa: ANN401 - moto's InstanceState
        """Go from ``stopped`` to ``pending`` and ``running``; do nothing if running or pending."""
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
        """Go from ``running`` to ``stopping`` and ``stopped``; do nothing if stopping or stopped."""
        before = self._state.snapshot()
        if before.name in ("running", "pending"):
            for nic in self.nics.values():
                nic.stop()
            self._user_initiated()
            self._pass("stopping", then="stopped")
        return before

    def power_off(self) -> None:
        """Do what ``instance_initiated_shutdown_behavior`` says. ``disableApiStop`` does not matter here."""
        if self.state == "running":
            behavior = self.instance_initiated_shutdown_behavior or "stop"
            (self.terminate if behavior == "terminate" else self.stop)()
            self.state_reason = instances.StateReason(
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown", "Client.InstanceInitiatedShutdown"
            )

    def terminate(self) -> Any:  # noqa: ANN401 - moto's InstanceState
        """Go to ``shutting-down`` and ``terminated``, and free the addresses, which moto does not."""
        before = self._state.snapshot()
        if before.name in ("shutting-down", "terminated"):
            return before
        self._state = copy.copy(before)  # a plain state, which moto's method can change
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
        """Count the reboot, which does not show in the state, for the machine."""
        self.reboots += 1
        type(self).on_change()

    def _user_initiated(self) -> None:
        # AWS writes GMT, moto UTC. This time is the only record of when a machine was stopped.
        self._reason = f"User initiated ({utcnow():%Y-%m-%d %H:%M:%S} GMT)"
        self.state_reason = instances.StateReason(
            "Client.UserInitiatedShutdown: User initiated shutdown", "Client.UserInitiatedShutdown"
        )

    @property
    def never_ran(self) -> bool:
        """True if the instance is in its very first ``pending``."""
        return type(self).clock() < self._never_ran_until


class NetworkInterface(elastic_network_interfaces.NetworkInterface):  # type: ignore[misc]
    """An interface that loses only its temporary public address at a stop, and has no empty Association."""

    @property
    def association(self) -> Any:  # noqa: ANN401 - moto's dict
        """Return the public address; None without one, as on AWS.

        moto writes an empty element, which hides that ``associate_public_ip_address = true`` replaces a stopped machine
        (terraform-provider-aws #33775).
        """
        return super().association or None

    @property
    def group_set(self) -> list[Any]:
        """Its own groups. On AWS, an interface has no others."""
        return list(self._group_set)

    def _has_eip(self) -> bool:
        return any(eip.eni is self for eip in self.ec2_backend.addresses)

    def stop(self) -> None:
        """Keep an Elastic IP. moto removes it if an address was assigned automatically before."""
        if not self._has_eip():
            super().stop()

    def start(self) -> None:
        """Assign a new temporary address, unless there is an Elastic IP."""
        if not self._has_eip():
            super().start()
