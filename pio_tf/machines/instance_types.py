"""Memory, vCPUs and architecture of instance types, as EC2 says them: no table of ours that grows old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pio_tf.config.sizing import InstanceSpec
from pio_tf.errors import ConfigError
from pio_tf.machines.aws import aws_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeInfoTypeDef

_PREFERRED: Final = ("x86_64", "arm64")
"""Where a type runs several architectures (t2 runs i386 too), the one that Spark's machines use."""


def describe_instance_types(ec2: EC2Client, names: Iterable[str]) -> dict[str, InstanceSpec]:
    """Memory (MiB), vCPUs and architecture by name of the type, as DescribeInstanceTypes answers in this region.

    Raises:
        ConfigError: EC2 does not know a type, or not in this region; the sizes that its family has are listed.
        AwsError: the call failed.
    """
    names = sorted(set(names))
    found = find_instance_types(ec2, names)
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            "\n".join(unknown_type(ec2, name) for name in missing),
            next_step="correct instance_type in pio-tf.hcl, or aws.region",
            details={"unknown": missing, "region": ec2.meta.region_name},
        )
    return found


def find_instance_types(ec2: EC2Client, names: Iterable[str]) -> dict[str, InstanceSpec]:
    """As :func:`describe_instance_types`, leaving out the types that EC2 does not know in this region."""
    # A filter, unlike InstanceTypes, does not fail for one unknown name.
    return {item["InstanceType"]: _spec(item) for item in _describe(ec2, sorted(set(names)))}


def unknown_type(ec2: EC2Client, name: str) -> str:
    """``instance type r3.xlage does not exist in eu-west-1; r3 has r3.large, r3.xlarge …``."""
    family = name.partition(".")[0]
    known = sorted(_describe(ec2, [f"{family}.*"]), key=lambda item: (item["VCpuInfo"]["DefaultVCpus"], _memory(item)))
    region = ec2.meta.region_name
    if not known:
        return f"instance type {name} does not exist in {region}, which has no family {family}"
    sizes = ", ".join(item["InstanceType"] for item in known)
    return f"instance type {name} does not exist in {region}; {family} has {sizes}"


def _describe(ec2: EC2Client, patterns: list[str]) -> list[InstanceTypeInfoTypeDef]:
    with aws_errors("looking up instance types"):
        pages = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[{"Name": "instance-type", "Values": patterns}]
        )
        return [item for page in pages for item in page["InstanceTypes"]]


def _memory(item: InstanceTypeInfoTypeDef) -> int:
    return item["MemoryInfo"]["SizeInMiB"]


def _spec(item: InstanceTypeInfoTypeDef) -> InstanceSpec:
    architectures = [str(name) for name in item["ProcessorInfo"]["SupportedArchitectures"]]
    return InstanceSpec(
        name=item["InstanceType"],
        memory_mib=_memory(item),
        vcpus=item["VCpuInfo"]["DefaultVCpus"],
        architecture=next((name for name in _PREFERRED if name in architectures), architectures[0]),
    )
