"""Instances that exist already, as a cluster's machines: found, given their roles, and judged. Reads only."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.errors import aws_errors
from pio_tf.config.roles import role_of
from pio_tf.errors import AwsError, ConfigError
from pio_tf.machines.instance_types import ARCHITECTURE
from pio_tf.machines.inventory import IS_SPOT, describe_by_id, describe_live, find_terminating, tag_of
from pio_tf.model import CLUSTER_TAG, TERMINATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

    from pio_tf.config.schema import Config
    from pio_tf.model import Role

_GROUP_TAG: Final = "aws:autoscaling:groupName"
"""The tag that EC2 Auto Scaling sets on its instances: it replaces those that are stopped (EC2 Auto Scaling User Guide,
"Health checks for instances in an Auto Scaling group")."""
_NEXT: Final = "give other instances, or change what the message names"
_THREADS: Final = 8
_REGIONS_SECONDS: Final = 5.0


class Choice(Struct, frozen=True):
    """The instances that a user has named, by their ids. Empty: not named."""

    driver: tuple[str, ...] = ()
    master: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()

    def by_name(self) -> dict[str, str]:
        """Return the ids by the names of the machines.

        Raises:
            ConfigError: a role is missing, or has more instances than it can, or an instance has two roles.
        """
        for role, found in (("driver", self.driver), ("master", self.master)):
            if len(found) > 1:
                raise ConfigError(
                    f"{len(found)} {role}s: {', '.join(found)}",
                    cause=f"a cluster has one {role}",
                    next_step=f"name one of them with --{role}",
                    details={"role": role, "machines": list(found)},
                )
        missing = [f"--{role}" for role in ("driver", "master") if not getattr(self, role)]
        missing += [] if self.workers else ["--worker"]
        if missing:
            raise ConfigError(
                f"no instance is named as {', '.join(one.removeprefix('--') for one in missing)}",
                cause="a cluster has a driver, a Spark master and at least one worker",
                next_step=f"give {' and '.join(f'{one} i-…' for one in missing)}, or --tag KEY=VALUE",
            )
        named = {"driver": self.driver[0], "master": self.master[0]}
        named |= {f"worker-{number}": one for number, one in enumerate(self.workers, 1)}
        names: dict[str, str] = {}
        for name, one in named.items():
            if one in names:
                raise ConfigError(
                    f"{one} is named as {names[one]} and as {name}",
                    cause="pio-tf knows one role for each machine",
                    next_step="give each role an instance of its own",
                    details={"machine": one},
                )
            names[one] = name
        return named


class ExistingMachine(Struct, frozen=True):
    """An instance that exists already, and its role."""

    name: str
    role: Role
    instance_id: str
    label: str
    """Its tag ``Name``."""
    instance_type: str
    state: str
    private_ip: str
    public_ip: str | None
    eip: str | None
    """Its Elastic IP, which is its public address also after a stop."""
    vpc: str
    subnet: str
    zone: str
    image: str
    key_pair: str
    security_groups: tuple[str, ...]
    """Ids of the groups."""
    network_interfaces: int
    disks: tuple[str, ...]
    """A text for each volume, the root disk first: ``100 GiB gp2, not encrypted``."""

    def describe(self) -> str:
        """Return a line about the machine as it is."""
        parts = [
            self.label.replace("\n", " "),
            self.instance_type,
            *self.disks,
            f"{self.private_ip} in {self.subnet} ({self.zone})",
            f"Elastic IP {self.eip}" if self.eip else "",
            f"{self.network_interfaces} network interfaces" if self.network_interfaces > 1 else "",
            f"groups {', '.join(self.security_groups)}" if self.security_groups else "",
            f"key pair {self.key_pair}" if self.key_pair else "",
            self.image,
        ]
        return "; ".join(part for part in parts if part)


def choose_by_tag(ec2: EC2Client, tag: str, choice: Choice) -> Choice:
    """Return a choice with the instances that carry a tag, in the roles that are not named yet.

    An instance with ``driver`` or ``master`` in its tag ``Name`` has that role, and the others are workers.

    Args:
        tag: ``KEY=VALUE``; the value may have ``*`` as a wildcard.

    Raises:
        ConfigError: it is no such text, or no instance carries the tag.
        AwsError: the call failed.
    """
    key, equals, value = tag.partition("=")
    if not (key and equals and value):
        raise ConfigError(f"--tag {tag!r} is not KEY=VALUE", next_step="write it like --tag Name='spark-*'")
    found = describe_live(ec2, {"Name": f"tag:{key}", "Values": [value]})
    if not found:
        raise ConfigError(
            f"no instance in {ec2.meta.region_name} carries the tag {tag}", next_step="check --tag and --region"
        )
    named = {*choice.driver, *choice.master, *choice.workers}
    names = {one["InstanceId"]: tag_of(one, "Name") for one in found if one["InstanceId"] not in named}
    drivers = tuple(one for one, name in names.items() if re.search("driver", name, re.IGNORECASE))
    masters = tuple(one for one, name in names.items() if re.search("master", name, re.IGNORECASE))
    taken = {*(choice.driver or drivers), *(choice.master or masters)}
    others = sorted((one for one in names if one not in taken), key=lambda one: _natural(names[one]))
    return replace(
        choice,
        driver=choice.driver or drivers,
        master=choice.master or masters,
        workers=choice.workers or tuple(others),
    )


def list_instances(ec2: EC2Client) -> list[str]:
    """Return a line for each instance that may be chosen: id, type, state, zone and name."""
    found = [one for one in describe_live(ec2) if not tag_of(one, CLUSTER_TAG)]
    return [
        f"  {one['InstanceId']}  {one['InstanceType']:12} {one['State']['Name']:8} "
        f"{one['Placement']['AvailabilityZone']}  {tag_of(one, 'Name')}"
        for one in sorted(found, key=lambda one: _natural(tag_of(one, "Name")))
    ]


def find_existing(
    ec2: EC2Client, ids: Mapping[str, str], *, account: str, in_region: Callable[[str], Any]
) -> tuple[ExistingMachine, ...]:
    """Return the instances as a cluster's machines.

    Args:
        ids: instance ids, by the names of the machines.
        account: the credentials' account, for messages.
        in_region: makes an EC2 client of another region, to find an instance there.

    Raises:
        ConfigError: pio-tf can't work with one, or not with all together. The error names every reason.
        AwsError: a call failed.
    """
    found = describe_by_id(ec2, ids.values())
    missing = [one for one in ids.values() if one not in found]
    elsewhere = _find_elsewhere(ec2, missing, in_region) if missing else {}
    problems: list[str] = []
    for name, one in ids.items():
        label = f"{name} ({one})"
        if one in found:
            problems += (f"{label} {why}" for why in _problems(found[one]))
        elif one in elsewhere:
            problems.append(f"{label} is in {elsewhere[one]}, not in {ec2.meta.region_name}: give --region")
        else:
            problems.append(f"{label} does not exist in account {account}: check the id, and the credentials")
    networks = sorted({one.get("VpcId", "") for one in found.values()})
    if len(networks) > 1:
        where = "; ".join(
            f"{network}: {', '.join(name for name, one in ids.items() if found.get(one, {}).get('VpcId') == network)}"
            for network in networks
        )
        problems.append(f"the machines are in {len(networks)} networks ({where}): driver and workers must reach others")
    if not problems:
        problems += _protected(ec2, ids)
    if problems:
        raise ConfigError(
            "\n".join(problems), next_step=_NEXT, details={"problems": problems, "region": ec2.meta.region_name}
        )
    disks, addresses = _describe_disks(ec2, found), _find_addresses(ec2, found)
    return tuple(_machine(name, found[one], disks[one], addresses.get(one)) for name, one in ids.items())


def refuse_taken_name(ec2: EC2Client, cluster: str) -> None:
    """Refuse the name of a cluster that Terraform has made: both would use one deadline.

    Raises:
        ConfigError: machines carry its tag.
        AwsError: the call failed.
    """
    if found := describe_live(ec2, {"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}):
        raise ConfigError(
            f"there is a cluster {cluster} in {ec2.meta.region_name} already",
            cause=f"{found[0]['InstanceId']} carries the tag {CLUSTER_TAG}={cluster}",
            next_step="choose another name: pio-tf adopt NAME …",
            details={"cluster": cluster},
        )


def find_remarks(ec2: EC2Client, machines: Sequence[ExistingMachine]) -> tuple[str, ...]:
    """Return what is worth knowing about machines that pio-tf can work with."""
    remarks = []
    if len(zones := sorted({one.zone for one in machines})) > 1:
        remarks.append(f"the machines are in {', '.join(zones)}: AWS bills what they send each other across zones")
    terminating = find_terminating(ec2, {one.name: one.instance_id for one in machines})
    if terminating:
        remarks.append(
            f"AWS terminates {', '.join(terminating)} if it is shut down from inside: pio-tf does not do that"
        )
    return tuple(remarks)


def refuse_terminating(ec2: EC2Client, config: Config) -> None:
    """Refuse machines that a power-off from inside would terminate, if they are to power themselves off.

    pio-tf makes its own machines so that it stops them.

    Raises:
        ConfigError: there is one.
    """
    if not (config.adopted and config.self_stops):
        return
    if names := find_terminating(ec2, config.machines.ids):
        ids = [config.machines.ids[name] for name in names]
        raise ConfigError(
            f"{config.where('failsafe.self_stop')}: {', '.join(names)} must not power off from inside",
            cause="AWS would terminate it then: its instance-initiated shutdown behavior is `terminate`",
            next_step=f"change that behavior: {AwsCliHints.of(config).stop_at_shutdown(ids)}; or remove "
            "failsafe.self_stop",
            details={"machines": list(names)},
        )


def _problems(instance: InstanceTypeDef) -> Iterator[str]:
    """Yield why pio-tf can't work with an instance."""
    state, cluster = instance["State"]["Name"], tag_of(instance, CLUSTER_TAG)
    if state in TERMINATED:
        yield f"is {state}: its disk is lost"
        return
    if cluster:
        yield f"is a machine of the cluster {cluster}, which has a pio-tf.hcl of its own"
    if instance.get("InstanceLifecycle") == "spot":
        yield IS_SPOT
    if instance.get("RootDeviceType") == "instance-store":
        yield "has its root disk in the instance store: AWS can't stop it, only terminate it"
    if (kind := instance.get("Architecture", ARCHITECTURE)) != ARCHITECTURE:
        yield f"is {kind}, and not {ARCHITECTURE}: PredictionIO's Spark and Hadoop have native libraries for no other"
    if group := tag_of(instance, _GROUP_TAG):
        yield f"is in the Auto Scaling group {group}, which replaces machines that are stopped: detach it first"


def _protected(ec2: EC2Client, ids: Mapping[str, str]) -> Iterator[str]:
    """Yield the machines that AWS refuses to stop."""

    def is_protected(one: str) -> bool:
        with aws_errors(f"looking up the stop protection of {one}"):
            answer: Any = ec2.describe_instance_attribute(InstanceId=one, Attribute="disableApiStop")
        return bool(answer.get("DisableApiStop", {}).get("Value"))

    with ThreadPoolExecutor(_THREADS) as pool:
        for (name, one), protected in zip(ids.items(), pool.map(is_protected, ids.values()), strict=True):
            if protected:
                command = AwsCliHints.of_client(ec2).unprotect(one)
                yield f"{name} ({one}) is protected against stops (disableApiStop): {command}"


def _find_elsewhere(ec2: EC2Client, ids: Sequence[str], in_region: Callable[[str], Any]) -> dict[str, str]:
    """Return the regions of instances that are not in this one, as far as AWS tells."""

    def look(region: str) -> dict[str, str]:
        try:
            return dict.fromkeys(describe_by_id(in_region(region), ids), region)
        except AwsError:  # the other message is true as well
            return {}

    try:
        with aws_errors("listing the regions"):
            regions = [one["RegionName"] for one in ec2.describe_regions()["Regions"]]
    except AwsError:
        return {}
    with ThreadPoolExecutor(_THREADS) as pool:
        others = pool.map(look, (one for one in regions if one != ec2.meta.region_name))
        return {one: region for found in others for one, region in found.items()}


def _describe_disks(ec2: EC2Client, found: Mapping[str, InstanceTypeDef]) -> dict[str, tuple[str, ...]]:
    """Return a text for each volume of instances, the root disk first, by the ids of the instances."""
    attached: FilterTypeDef = {"Name": "attachment.instance-id", "Values": [*found]}
    with aws_errors("looking up the disks"):
        pages = ec2.get_paginator("describe_volumes").paginate(Filters=[attached])
        volumes = [volume for page in pages for volume in page["Volumes"]]
    disks: dict[str, list[tuple[bool, str]]] = {one: [] for one in found}
    for volume in volumes:
        encrypted = "encrypted" if volume.get("Encrypted") else "not encrypted"
        text = f"{volume['Size']} GiB {volume.get('VolumeType', 'standard')}, {encrypted}"
        for attachment in volume.get("Attachments", []):
            if (one := attachment.get("InstanceId", "")) in disks:
                is_root = attachment.get("Device") == found[one].get("RootDeviceName")
                disks[one].append((not is_root, text))
    return {one: tuple(text for _, text in sorted(some)) for one, some in disks.items()}


def _find_addresses(ec2: EC2Client, found: Mapping[str, InstanceTypeDef]) -> dict[str, str]:
    """Return the Elastic IPs of instances by their ids."""
    with aws_errors("looking up the addresses"):
        described = ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [*found]}])
    return {one["InstanceId"]: one["PublicIp"] for one in described["Addresses"] if one.get("InstanceId") in found}


def _machine(name: str, instance: InstanceTypeDef, disks: tuple[str, ...], eip: str | None) -> ExistingMachine:
    return ExistingMachine(
        name=name,
        role=role_of(name),
        instance_id=instance["InstanceId"],
        label=tag_of(instance, "Name"),
        instance_type=instance["InstanceType"],
        state=instance["State"]["Name"],
        private_ip=instance.get("PrivateIpAddress", ""),
        public_ip=instance.get("PublicIpAddress") or None,
        eip=eip,
        vpc=instance.get("VpcId", ""),
        subnet=instance.get("SubnetId", ""),
        zone=instance["Placement"]["AvailabilityZone"],
        image=instance.get("ImageId", ""),
        key_pair=instance.get("KeyName", ""),
        security_groups=tuple(group["GroupId"] for group in instance.get("SecurityGroups", [])),
        network_interfaces=len(instance.get("NetworkInterfaces", [])),
        disks=disks,
    )


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts worker-2 before worker-10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]
