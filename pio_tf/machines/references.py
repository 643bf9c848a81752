"""The resources that pio-tf.hcl refers to, checked before Terraform changes anything: it must not fail half-way."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from pio_tf.aws.errors import aws_errors, error_code
from pio_tf.config.blocks import AmiFilter
from pio_tf.machines.instance_types import (
    ARCHITECTURE,
    OptionProblem,
    configured_types,
    find_instance_types,
    misfit,
    refuse_problems,
    type_problems,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef

    from pio_tf.config.blocks import MachineBlock
    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import InstanceSpec

THREADS: Final = 4
"""Calls at once. The checks mostly wait for AWS: some 0.1-0.3 s a call, a second for DescribeImages."""
_RESERVED: Final = 4
"""Addresses that AWS reserves at the start of a subnet; it also reserves the last one."""

_NO_IMAGE: Final = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")


SUPPORTED: Final = "Ubuntu 18.04, 20.04, 22.04 and 24.04, and Debian 11 and 12"
"""The systems that the bootstrap script prepares."""
_FOREIGN: Final = ("Windows", "Red Hat", "SUSE")
"""The start of PlatformDetails for systems that AWS distinguishes; it calls all others Linux/UNIX."""


def check_references(config: Config, client: Callable[[str], Any], *, existing: Collection[str] = ()) -> None:
    """Check that VPC, subnet, addresses, zone, images, keys, types and profile exist and fit each other.

    Args:
        client: makes a botocore client of a service.
        existing: names of machines that exist. pio-tf does not check their image: it may be gone, and Terraform does
            not need it again.

    Raises:
        ConfigError: something does not; the error has a line for each: ``pio-tf.hcl:12: network.subnet_id: …``.
        AwsError: a call failed.
    """
    ec2: EC2Client = client("ec2")
    check = _References(config, ec2, client, existing=existing)
    parts: tuple[Callable[[], Iterable[OptionProblem]], ...] = (
        check.network,
        check.images_and_types,
        check.key_pair,
        lambda: _profile_problems(config, client),
        lambda: _key_problems(config, client),
    )
    with ThreadPoolExecutor(THREADS) as pool:
        problems = [problem for found in pool.map(lambda part: list(part()), parts) for problem in found]
    next_step = "correct pio-tf.hcl; check that aws.region and aws.profile name the region and account you want"
    refuse_problems(config, ec2, problems, next_step=next_step)


def _profile_problems(config: Config, client: Callable[[str], Any]) -> Iterator[OptionProblem]:
    """Yield what is wrong with the instance profile, if pio-tf.hcl names one."""
    name, option = config.machines.instance_profile, "machines.instance_profile"
    if name is None:
        return
    with aws_errors(f"looking up instance profile {name}", service="iam"):
        found = _find(lambda: client("iam").get_instance_profile(InstanceProfileName=name), missing="NoSuchEntity")
    if found is None:
        instead = "; without it, make_instance_profile = true makes one"
        yield OptionProblem(option, f"instance profile {name} does not exist in this account{instead}")
    elif not found["InstanceProfile"]["Roles"]:
        yield OptionProblem(option, f"instance profile {name} has no role, so machines get no credentials from it")


def _find(ask: Callable[[], Mapping[str, Any]], *, missing: str) -> Mapping[str, Any] | None:
    """Return the answer to a call; None if AWS knows no such thing, which it says with the error code ``missing``."""
    try:
        return ask()
    except ClientError as error:
        if error_code(error) != missing:
            raise
        return None


def _key_problems(config: Config, client: Callable[[str], Any]) -> Iterator[OptionProblem]:
    """Yield what is wrong with the key of the disks, if pio-tf.hcl names one.

    EBS takes symmetric keys only: "Amazon EBS encryption" in the EBS User Guide.
    """
    name, option = config.machines.kms_key_id, "machines.kms_key_id"
    if name is None:
        return
    with aws_errors(f"looking up KMS key {name}", service="kms"):
        found = _find(lambda: client("kms").describe_key(KeyId=name), missing="NotFoundException")
    if found is None:
        region = config.aws.region
        yield OptionProblem(option, f"{name} does not exist in {region}; keys of other regions do not fit")
        return
    key = found["KeyMetadata"]
    if key["KeyState"] != "Enabled":
        yield OptionProblem(option, f"{name} is {key['KeyState']}, so AWS starts no machine that it encrypts")
    if key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        yield OptionProblem(option, f"{name} is {key['KeySpec']}; disks need a symmetric key for encryption")


class _References:
    """The checks of references. Each makes one call, and more only to explain a problem."""

    def __init__(
        self, config: Config, ec2: EC2Client, client: Callable[[str], Any], *, existing: Collection[str]
    ) -> None:
        self._config = config
        self._ec2 = ec2
        self._client = client
        self._region = ec2.meta.region_name
        self._blocks: dict[str, MachineBlock] = {"driver": config.driver, "spark": config.spark}
        self._to_create = {
            "driver": "driver" not in existing,
            "spark": any(name not in existing for name in config.machine_names if name != "driver"),
        }
        self._types = configured_types(config)

    def network(self) -> Iterable[OptionProblem]:
        """Check an existing subnet or the zone of a new one, and that the zone offers the instance types."""
        network = self._config.network
        zone = network.availability_zone
        if network.subnet_id is not None:
            with aws_errors("looking up the subnet"):
                found = self._ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": [network.subnet_id]}])
            if not found["Subnets"]:
                yield OptionProblem("network.subnet_id", f"{network.subnet_id} does not exist in {self._region}")
                yield from self._vpc_exists()
                return
            subnet = found["Subnets"][0]
            zone = subnet["AvailabilityZone"]
            if subnet["VpcId"] != network.vpc_id:
                message = f"{network.subnet_id} is in {subnet['VpcId']}, not in {network.vpc_id}"
                yield OptionProblem("network.subnet_id", message)
                yield from self._vpc_exists()
            yield from self._addresses_fit(IPv4Network(subnet["CidrBlock"]))
            yield from self._groups_exist()
        if zone is not None:
            yield from self._offered_in(zone)

    def images_and_types(self) -> Iterable[OptionProblem]:
        """Check that pio-tf can create machines from the instance types and images."""
        keys = {name: self._image_key(name) for name in self._blocks}
        # Terraform reads a parameter also if it creates no machine.
        yield from (key for key in keys.values() if isinstance(key, OptionProblem))
        wanted = {name: key for name, key in keys.items() if not isinstance(key, OptionProblem)}
        with ThreadPoolExecutor(THREADS) as pool:
            describing = pool.submit(find_instance_types, self._ec2, [one.name for one in self._types])
            asked = {name: key for name, key in wanted.items() if self._to_create[name]}
            looking = {key: pool.submit(self._find_image, key) for key in dict.fromkeys(asked.values())}
            specs = describing.result()
            images = {name: looking[key].result() for name, key in asked.items()}
        yield from type_problems(self._ec2, self._types, specs)
        for name, image in images.items():
            yield from self._image_fits(name, wanted[name], image)
            if image is not None:
                yield from self._types_fit(name, image, specs)

    def _types_fit(self, name: str, image: ImageTypeDef, specs: Mapping[str, InstanceSpec]) -> Iterable[OptionProblem]:
        for one in self._types:
            spec = specs.get(one.name)
            if not one.must_fit or spec is None or spec.architecture != ARCHITECTURE or not one.option.startswith(name):
                continue
            why = misfit(
                spec,
                architecture=ARCHITECTURE,  # image_problems reports another one
                virtualization=image.get("VirtualizationType", "hvm"),
                has_ena=image.get("EnaSupport", False),
            )
            if why:
                yield OptionProblem(one.option, f"{image['ImageId']} can't run as {one.name}: {why}")

    def key_pair(self) -> Iterable[OptionProblem]:
        """Check the key pair, if pio-tf.hcl names one."""
        name = self._config.ssh.key_pair
        if name is None:
            return
        with aws_errors("looking up the key pair"):
            found = self._ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])
        if not found["KeyPairs"]:
            message = f"key pair {name} does not exist in {self._region}; without key_pair, one comes from ssh.key"
            yield OptionProblem("ssh.key_pair", message)

    def _vpc_exists(self) -> Iterable[OptionProblem]:
        vpc = self._config.network.vpc_id or ""
        with aws_errors("looking up the VPC"):
            found = self._ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
        if not found["Vpcs"]:
            yield OptionProblem("network.vpc_id", f"{vpc} does not exist in {self._region}")

    def _groups_exist(self) -> Iterable[OptionProblem]:
        wanted, vpc = self._config.network.security_group_ids, self._config.network.vpc_id
        if not wanted:
            return
        with aws_errors("looking up security groups"):
            found = self._ec2.describe_security_groups(Filters=[{"Name": "group-id", "Values": wanted}])
        vpcs = {group["GroupId"]: group.get("VpcId") for group in found["SecurityGroups"]}
        for group in wanted:
            if group not in vpcs:
                message = f"{group} does not exist in {self._region}"
            elif vpcs[group] != vpc:
                message = f"{group} is in {vpcs[group]}, not in {vpc}"
            else:
                continue
            yield OptionProblem("network.security_group_ids", message)

    def _addresses_fit(self, cidr: IPv4Network) -> Iterable[OptionProblem]:
        first, machines = self._config.first_host, len(self._config.machine_names)
        if first is None:
            if cidr.num_addresses - _RESERVED - 1 < machines:
                yield OptionProblem("network.subnet_id", f"{cidr} is too small for {machines} machines")
        elif first + machines + 1 > cidr.num_addresses:
            room = max(cidr.num_addresses - first - 1, 0)
            message = (
                f"{machines} machines from host {first} do not fit into the subnet's {cidr}, which has room for {room}"
            )
            yield OptionProblem("network.first_host", message)

    def _offered_in(self, zone: str) -> Iterable[OptionProblem]:
        wanted = [one for one in self._types if one.must_fit]
        kinds = sorted({one.name for one in wanted})
        with aws_errors("looking up instance types"):
            pages = self._ec2.get_paginator("describe_instance_type_offerings").paginate(
                LocationType="availability-zone",
                Filters=[{"Name": "location", "Values": [zone]}, {"Name": "instance-type", "Values": kinds}],
            )
            offered = {str(item["InstanceType"]) for page in pages for item in page["InstanceTypeOfferings"]}
        missing = [one for one in wanted if one.name not in offered]
        if not missing:
            return
        zones = self._zones()
        if zone not in zones:
            message = f"zone {zone} does not exist; {self._region} has {', '.join(zones)}"
            yield OptionProblem("network.availability_zone", message)
            return
        known = find_instance_types(self._ec2, [one.name for one in missing])
        for name, kind, _ in missing:
            if kind in known:  # another check reports a type that the whole region lacks
                yield OptionProblem(
                    name, f"{kind} is not offered in {zone}, the subnet's zone; choose another type or zone"
                )

    def _zones(self) -> list[str]:
        with aws_errors("looking up zones"):
            return sorted(zone["ZoneName"] for zone in self._ec2.describe_availability_zones()["AvailabilityZones"])

    def _image_key(self, name: str) -> str | AmiFilter | OptionProblem:
        """Return the id of an image, or the search for it; or why a parameter of Systems Manager holds no id."""
        block = self._blocks[name]
        if block.ami_parameter is None:
            return block.ami or block.ami_filter or AmiFilter()
        option, parameter = f"{name}.ami_parameter", f"the parameter {block.ami_parameter}"
        ssm = self._client("ssm")
        with aws_errors(f"reading {parameter}", service="ssm"):
            found = _find(lambda: ssm.get_parameter(Name=block.ami_parameter), missing="ParameterNotFound")
        if found is None:
            return OptionProblem(option, f"{parameter} does not exist in {self._region}")
        value = str(found["Parameter"]["Value"])
        if not re.fullmatch(r"ami-[0-9a-f]+", value):  # which may be a secret
            held = f"it holds {len(value)} characters"
            return OptionProblem(option, f"{parameter} must hold an image id, like ami-0a1b2c3d; {held}")
        return value

    def _find_image(self, key: str | AmiFilter) -> ImageTypeDef | None:
        """Return the image of this id, or the newest that the filter matches, as Terraform's ``aws_ami`` does."""
        with aws_errors("looking up the image"):
            if isinstance(key, str):
                try:
                    images = self._ec2.describe_images(ImageIds=[key])["Images"]
                except ClientError as error:
                    if error_code(error) in _NO_IMAGE:
                        return None
                    raise
            else:
                images = self._ec2.describe_images(
                    Owners=[key.owner],
                    Filters=[{"Name": "name", "Values": [key.name]}, {"Name": "state", "Values": ["available"]}],
                )["Images"]
        return max(images, key=lambda image: image.get("CreationDate", ""), default=None)

    def _image_fits(self, name: str, key: str | AmiFilter, image: ImageTypeDef | None) -> Iterable[OptionProblem]:
        block = self._blocks[name]
        where = f"{name}.{block.image_option or 'ami_filter'}"
        if image is None:
            if isinstance(key, str):
                yield OptionProblem(
                    where, f"{key} does not exist in {self._region}, or is not shared with this account"
                )
            else:
                yield OptionProblem(where, f"owner {key.owner} has no image {key.name} in {self._region}")
            return
        yield from (OptionProblem(where, problem) for problem in image_problems(image))
        smallest = root_disk_gib(image)
        if smallest > block.root_volume_gib:
            message = f"{block.root_volume_gib} GiB is less than the {smallest} GiB of {image['ImageId']}"
            yield OptionProblem(f"{name}.root_volume_gib", message)


class _Distribution(NamedTuple):
    """A distribution, as its publisher names images. Other owners may use any name."""

    name: str
    owners: tuple[str, ...]
    """The publisher's account id, or AWS's alias for it."""
    version: re.Pattern[str]
    supported: frozenset[str]


_DISTRIBUTIONS: Final = (
    _Distribution(
        "Ubuntu",
        ("099720109477",),
        re.compile(r"/ubuntu-[a-z]+-(\d\d\.\d\d)-"),
        frozenset({"18.04", "20.04", "22.04", "24.04"}),
    ),
    _Distribution("Debian", ("136693071363",), re.compile(r"^debian-(\d+)-"), frozenset({"11", "12"})),
    _Distribution("Amazon Linux", ("137112412989", "amazon"), re.compile(r"^(?:amzn|al)(\d*)-"), frozenset()),
)


def image_problems(image: ImageTypeDef) -> Iterator[str]:
    """Yield the reasons why pio-tf cannot create machines from this image, one sentence each.

    pio-tf knows only what AWS says: a user's own image passes with any system, and the bootstrap script refuses one
    that it cannot prepare.
    """
    label = image["ImageId"]
    if system := _unsupported_system(image):
        yield f"{label} is an image of {system}, which pio-tf does not support; it supports {SUPPORTED}"
    if (architecture := image.get("Architecture", ARCHITECTURE)) != ARCHITECTURE:
        yield f"{label} is for {architecture}, but machines must be {ARCHITECTURE}"
    if image.get("RootDeviceType", "ebs") != "ebs":
        yield f"{label} has its root disk in the instance store, not in EBS, so its machines cannot be stopped"


def root_disk_gib(image: ImageTypeDef) -> int:
    """Return the size of the image's root snapshot, the smallest root disk; 0 if the image does not state it."""
    root = image.get("RootDeviceName")
    sizes = [
        mapping.get("Ebs", {}).get("VolumeSize", 0)
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("DeviceName") == root
    ]
    return max(sizes, default=0)


def _unsupported_system(image: ImageTypeDef) -> str:
    """Return ``Windows``, ``Ubuntu 16.04``; empty if the system is supported, or AWS and the name do not state it."""
    details = image.get("PlatformDetails", "")
    if str(image.get("Platform", "")).lower() == "windows":
        return "Windows"
    if details.startswith(_FOREIGN):
        return details
    for distribution in _DISTRIBUTIONS:
        if {image.get("OwnerId"), image.get("ImageOwnerAlias")}.intersection(distribution.owners):
            version = distribution.version.search(image.get("Name", ""))
            if version and version[1] not in distribution.supported:
                return f"{distribution.name} {version[1]}".rstrip()
    return ""
