"""Corrections of moto where it differs from AWS in ways that pio-tf's users would notice.

moto's server keeps one state for the whole process, so a :class:`LocalAws` installs the corrections when it starts, and
removes them when it stops. Each names the behaviour of AWS that it restores. Instances and interfaces are in
:mod:`pio_tf.sandbox.ec2_models`. Checked against moto 5.2.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import patch

from moto import settings
from moto.core import responses
from moto.core.responses import ActionResult
from moto.core.serialize import EC2Serializer, ResponseSerializer
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import amis, elastic_ip_addresses, elastic_network_interfaces, instances
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses.account_attributes import AccountAttributes
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import Base64EncodedString
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.scheduler.models import EventBridgeSchedulerBackend

from pio_tf.sandbox.ec2_models import Instance, NetworkInterface, incorrect_state
from pio_tf.sandbox.quick_answers import get_field, write_body
from pio_tf.sandbox.schedules import create_schedule, update_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
"""moto's newest Ubuntu is 16.04, but the default of ``ami_filter`` must find its image as on AWS."""


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
    for instance in found:
        instance.reboot()
    return found


_allocate_address = elastic_ip_addresses.ElasticAddressBackend.allocate_address


def _allocate_in_a_vpc(backend: Any, domain: str | None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    # EC2-Classic is gone: AWS always answers "vpc". AWS provider 3.39 asks for "standard" by default, and then refuses
    # to tag an address that is not in a VPC.
    del domain
    return _allocate_address(backend, "vpc", *args, **kwargs)


_describe_account_attributes = AccountAttributes.describe_account_attributes


def _without_classic(self: Any) -> ActionResult:  # noqa: ANN401 - moto's response class
    # EC2-Classic is gone from every account, but moto reports it, so AWS provider 3.39 refuses to tag an address.
    answer = _describe_account_attributes(self)
    for attribute in answer.result["AccountAttributes"]:
        if attribute["AttributeName"] == "supported-platforms":
            attribute["AttributeValues"] = [{"AttributeValue": "VPC"}]
    return answer


_modify_by_value = InstanceResponse._dot_value_instance_attribute_handler  # noqa: SLF001


def _modify_shutdown_behavior_too(self: Any) -> bool:  # noqa: ANN401 - moto's response class
    # moto does not know InstanceInitiatedShutdownBehavior here, and would remove all security groups instead.
    value = self._get_param("InstanceInitiatedShutdownBehavior.Value")
    if value is None:
        return bool(_modify_by_value(self))
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    instance.instance_initiated_shutdown_behavior = value
    return True


_run_instances = InstanceResponse.run_instances
_parse_disks = InstanceResponse._parse_block_device_mapping  # noqa: SLF001


def _disks_without_iops(self: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - moto's response class
    # moto makes the disks of a machine without their IOPS, and refuses io1 and io2 without them.
    disks: list[dict[str, Any]] = _parse_disks(self)
    for disk in disks:
        if disk["Ebs"].get("VolumeType") in ("io1", "io2"):
            disk["Ebs"]["VolumeType"] = "gp3"  # until _run_as_asked
    return disks


def _run_as_asked(self: Any) -> ActionResult:  # noqa: ANN401 - moto's response class
    # moto forgets the termination protection, and type, IOPS and throughput of the disks. Then each plan has changes.
    answer = _run_instances(self)
    for instance in answer.result.instances:
        instance.disable_api_termination = self._get_param("DisableApiTermination") or False
        for disk in self._get_param("BlockDeviceMappings", []):
            volume = self.ec2_backend.get_volume(instance.block_device_mapping[disk["DeviceName"]].volume_id)
            asked = disk.get("Ebs", {})
            for name, value in (("volume_type", "VolumeType"), ("iops", "Iops"), ("throughput", "Throughput")):
                setattr(volume, name, asked.get(value) or getattr(volume, name))
    return answer


_modify_instance_attribute = instances.InstanceBackend.modify_instance_attribute


def _modify_only_while_stopped(backend: Any, instance_id: str, key: str, value: Any) -> Any:  # noqa: ANN401
    # AWS changes the type and user data only of a stopped instance; moto does at any time.
    if key in ("instance_type", "user_data") and backend.get_instance(instance_id).state != "stopped":
        raise incorrect_state(f"The instance '{instance_id}' is not in the 'stopped' state.")
    return _modify_instance_attribute(backend, instance_id, key, value)


_NO_LATEST = (
    "This instance type does not support retrieving the latest console logs. You can retrieve the latest console \
logs only for Nitro-based instances."
)


_modify_metadata_options = instances.InstanceBackend.modify_instance_metadata_options


def _modify_given_metadata_options(backend: Any, instance_id: str, **given: Any) -> Any:  # noqa: ANN401
    # AWS changes the options that the call names; moto empties all others.
    before = vars(backend.get_instance(instance_id).metadata_options)
    options = _modify_metadata_options(backend, instance_id=instance_id, **given)
    vars(options).update({name: value for name, value in before.items() if not getattr(options, name)})
    return options


def _console_output(console: Callable[[str], str]) -> Callable[[Any], ActionResult]:
    """Return a handler that answers with the machine's console log. moto has one text for all machines."""

    def handle(self: Any) -> ActionResult:  # noqa: ANN401 - moto's response class
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        xen = INSTANCE_TYPES[instance.instance_type]["Hypervisor"] == "xen"
        if xen and self._get_bool_param("Latest"):
            raise EC2ClientError("UnsupportedOperation", _NO_LATEST)
        answer = {"InstanceId": instance.id, "Timestamp": utcnow()}
        text = console(instance.id)
        return ActionResult({**answer, "Output": Base64EncodedString.from_raw_string(text)} if text else answer)

    return handle


def _changes(response: str, call: str) -> Callable[[Any], ActionResult]:
    """Return a handler that answers with the state before and the state now. moto writes a constant for the latter."""

    def handle(self: Any) -> ActionResult:  # noqa: ANN401 - moto's response class
        self.error_on_dryrun()
        changed = getattr(self.ec2_backend, call)(self._get_param("InstanceIds", []))
        entries = [
            {"InstanceId": instance.id, "CurrentState": instance._state.snapshot(), "PreviousState": before}  # noqa: SLF001
            for instance, before in changed
        ]
        return ActionResult({response: entries})

    return handle


_head_bucket = S3Response.head_bucket


def _head_an_own_bucket(self: Any) -> Any:  # noqa: ANN401 - moto's response
    """Refuse a bucket of another account than the expected owner, as AWS does."""
    expected = self.headers.get("x-amz-expected-bucket-owner")
    _partition, owner = s3_backends.bucket_accounts.get(self.bucket_name, ("", expected))
    return (403, {}, "") if expected and owner != expected else _head_bucket(self)


def _no_more_images(path: str) -> NoReturn:
    """Let EC2 begin without the 1,250 images of other systems that moto has for a region: they take 0.1 s each time."""
    raise FileNotFoundError(path)


@contextmanager
def corrected(
    *,
    transition_seconds: float,
    clock: Callable[[], float],
    on_change: Callable[[], None],
    console: Callable[[str], str],
) -> Iterator[None]:
    """Correct moto until the block ends.

    Args:
        transition_seconds: how long an instance is pending, stopping and shutting-down.
        clock: seconds, monotonic, for these transitions.
        on_change: called in the thread of the request when an instance begins to change its state. It must be quick.
        console: returns the console log of an instance by its id.
    """
    backend = instances.InstanceBackend
    with ExitStack() as stack:
        for owner, name, value in (
            (Instance, "transition_seconds", transition_seconds),
            (Instance, "clock", staticmethod(clock)),
            (Instance, "on_change", staticmethod(on_change)),
            (amis, "AMIS", [*amis.AMIS, dict(_JAMMY)]),
            (amis, "load_resource", _no_more_images),
            (instances, "Instance", Instance),
            (elastic_network_interfaces, "NetworkInterface", NetworkInterface),
            (backend, "start_instances", _start_instances),
            (backend, "stop_instances", _stop_instances),
            (backend, "reboot_instances", _reboot_instances),
            (backend, "modify_instance_attribute", _modify_only_while_stopped),
            (backend, "modify_instance_metadata_options", _modify_given_metadata_options),
            (elastic_ip_addresses.ElasticAddressBackend, "allocate_address", _allocate_in_a_vpc),
            (InstanceResponse, "run_instances", _run_as_asked),
            (InstanceResponse, "_parse_block_device_mapping", _disks_without_iops),
            (InstanceResponse, "start_instances", _changes("StartingInstances", "start_instances")),
            (InstanceResponse, "stop_instances", _changes("StoppingInstances", "stop_instances")),
            (InstanceResponse, "terminate_instances", _changes("TerminatingInstances", "terminate_instances")),
            (InstanceResponse, "_dot_value_instance_attribute_handler", _modify_shutdown_behavior_too),
            (General, "get_console_output", _console_output(console)),
            (AccountAttributes, "describe_account_attributes", _without_classic),
            (S3Response, "head_bucket", _head_an_own_bucket),
            (EventBridgeSchedulerBackend, "create_schedule", create_schedule),
            (EventBridgeSchedulerBackend, "update_schedule", update_schedule),
            # AWS refuses resources that do not exist; moto does so only with these settings.
            (settings, "ENABLE_AMI_VALIDATION", True),
            (settings, "ENABLE_KEYPAIR_VALIDATION", True),
            (settings, "EC2_ENABLE_INSTANCE_TYPE_VALIDATION", True),
            # What moto looks up again for each request.
            (responses, "method_names_from_class", cache(responses.method_names_from_class)),
            (ResponseSerializer, "get_value", get_field),
            (EC2Serializer, "_serialize_body", write_body),
        ):
            stack.enter_context(patch.object(owner, name, value))
        # moto has no such attribute. Every image that AWS offers now supports it, as most instance types need it.
        stack.enter_context(patch.object(amis.Ami, "ena_support", True, create=True))
        yield
