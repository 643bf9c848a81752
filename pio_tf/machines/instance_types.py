"""Instance types: their memory, vCPUs and architecture, from EC2 instead of a table that ages."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, NamedTuple

from pio_tf.aws.errors import aws_errors
from pio_tf.config.sizing import InstanceSpec
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeInfoTypeDef

    from pio_tf.config.schema import Config

ARCHITECTURE: Final = "x86_64"
"""The architecture of every machine, also of a type that supports several (t2 also runs i386)."""
_NEAR: Final = 6
"""How many types an error suggests instead of an unavailable one."""
_MEMORY_FAMILIES: Final = ("r", "m")
"""First letters of the memory-optimised and general-purpose families."""


class OptionProblem(NamedTuple):
    """A problem with an option of pio-tf.hcl."""

    name: str
    message: str


class WantedType(NamedTuple):
    """An instance type that machines may have."""

    option: str
    """The dotted name of the option that lists it."""
    name: str
    must_fit: bool
    """False: pio-tf does without it where it can't be used."""


def configured_types(config: Config) -> list[WantedType]:
    """Return every instance type that machines may have."""
    return [WantedType(one.option, kind, one.must_fit(kind)) for one in config.type_lists for kind in one.types]


def describe_instance_types(ec2: EC2Client, config: Config) -> dict[str, InstanceSpec]:
    """Return memory (MiB), vCPUs and architecture of the configured types, from DescribeInstanceTypes.

    Raises:
        ConfigError: EC2 does not have a type in this region, or it has another architecture; the error has the line in
            pio-tf.hcl and suggests types.
        AwsError: a call failed.
    """
    types = configured_types(config)
    found = find_instance_types(ec2, (one.name for one in types))
    problems = list(type_problems(ec2, types, found))
    refuse_problems(config, ec2, problems, next_step="correct instance_type in pio-tf.hcl, or aws.region")
    return found


def refuse_problems(config: Config, ec2: EC2Client, problems: Sequence[OptionProblem], *, next_step: str) -> None:
    """Raise a ConfigError with a line for each problem, if there are any."""
    if problems:
        raise ConfigError(
            "\n".join(f"{config.where(problem.name)}: {problem.name}: {problem.message}" for problem in problems),
            next_step=next_step,
            details={"problems": [problem._asdict() for problem in problems], "region": ec2.meta.region_name},
        )


def find_instance_types(ec2: EC2Client, names: Iterable[str]) -> dict[str, InstanceSpec]:
    """Return what EC2 knows of these types in this region, without unknown ones."""
    # A filter, unlike InstanceTypes, does not fail for one unknown name.
    return {item["InstanceType"]: _spec(item) for item in _describe(ec2, sorted(set(names)))}


def find_families(ec2: EC2Client, names: Iterable[str]) -> dict[str, InstanceSpec]:
    """Return all types of the families of these types that EC2 has in this region."""
    patterns = sorted({f"{name.partition('.')[0]}.*" for name in names})
    return {item["InstanceType"]: _spec(item) for item in _describe(ec2, patterns)} if patterns else {}


def type_problems(
    ec2: EC2Client, types: Iterable[WantedType], found: Mapping[str, InstanceSpec]
) -> Iterator[OptionProblem]:
    """Yield the configured types that are unavailable or unusable here, with suggestions.

    Args:
        types: from :func:`configured_types`.
        found: what EC2 knows of them, from :func:`find_instance_types`.
    """
    for name, kind, must_fit in types:
        spec = found.get(kind)
        if not must_fit:
            continue
        if spec is None:
            yield OptionProblem(name, _unknown_type(ec2, kind))
        elif spec.architecture != ARCHITECTURE:
            near = ", ".join(_near_types(ec2, kind)) or f"none of size {_size(kind)}"
            yield OptionProblem(
                name,
                f"{kind} is {spec.architecture}, but machines must be {ARCHITECTURE}: PredictionIO's Spark and "
                f"Hadoop have native libraries for no other; {ec2.meta.region_name} has {near}",
            )


def misfit(spec: InstanceSpec, *, architecture: str, virtualization: str, has_ena: bool) -> str:
    """Return why a machine or an image can't have this type, such as ``it lacks ENA support``; empty if it can."""
    if spec.architecture != architecture:
        return f"{spec.name} is {spec.architecture}, and it is for {architecture}"
    if virtualization not in spec.virtualizations:
        return f"{spec.name} runs {' and '.join(spec.virtualizations)}, and it is {virtualization}"
    if spec.needs_ena and not has_ena:
        return f"{spec.name} needs enhanced networking (ENA), which it does not support"
    return ""


def _unknown_type(ec2: EC2Client, name: str) -> str:
    """Return ``instance type r3.xlage does not exist in eu-west-1; r3 has r3.large, r3.xlarge …``."""
    family = name.partition(".")[0]
    known = sorted(_describe(ec2, [f"{family}.*"]), key=lambda item: (item["VCpuInfo"]["DefaultVCpus"], _memory(item)))
    region = ec2.meta.region_name
    if known:
        sizes = ", ".join(item["InstanceType"] for item in known)
        return f"instance type {name} does not exist in {region}; {family} has {sizes}"
    near = _near_types(ec2, name)
    instead = f"; of this size it has {', '.join(near)}" if near else ""
    return f"instance type {name} does not exist in {region}, which has no family {family}{instead}"


def _near_types(ec2: EC2Client, name: str) -> list[str]:
    """Return usable types of the same size, the most similar first, of its kind of family or of one with memory."""
    size = _size(name)
    for letters in (name[:1], *_MEMORY_FAMILIES):
        known = [_spec(item) for item in _describe(ec2, [f"{letters}*.{size}"])]
        usable = sorted(spec.name for spec in known if spec.architecture == ARCHITECTURE)
        if usable:
            return sorted(usable, key=lambda other: -SequenceMatcher(None, name, other).ratio())[:_NEAR]
    return []


def _size(name: str) -> str:
    return name.partition(".")[2]


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
        architecture=ARCHITECTURE if ARCHITECTURE in architectures else architectures[0],
        needs_ena=item["NetworkInfo"].get("EnaSupport") == "required",
        virtualizations=tuple(item.get("SupportedVirtualizationTypes", ("hvm",))),
    )
