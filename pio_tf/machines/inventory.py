"""The inventory of a cluster: its machines in Terraform's outputs, joined with those in EC2 with the cluster's tag."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from pio_tf.aws.errors import aws_errors
from pio_tf.config.roles import ROLES, role_of
from pio_tf.errors import AwsError
from pio_tf.model import (
    CLUSTER_TAG,
    MACHINE_TAG,
    RIGHT_STATE,
    ROLE_TAG,
    SCHEDULED_TAG,
    TERMINATED,
    Machine,
    MachineOutput,
    another_region,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import AddressTypeDef, FilterTypeDef, InstanceTypeDef, VolumeTypeDef

    from pio_tf.model import Outputs, Role

_LIVE: Final = ("pending", "running", "stopping", "stopped", "shutting-down")
_PAGE: Final = 1000
"""Instances a page: EC2's maximum."""
_FROM_INSIDE: Final = "Client.InstanceInitiatedShutdown"
"""EC2's reason for the state of an instance whose system was shut down from inside."""
_THREADS: Final = 8
"""Calls at once for what EC2 tells of one machine only."""
_FILTER_VALUES: Final = 200
"""EC2's maximum for one filter."""
_STOPPED_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")

IS_SPOT: Final = "is a Spot instance, which can't be stopped and started again"
LEAVE_SPOT: Final = (
    "pio-tf works with on-demand machines, and starts none beside a Spot instance: terminate that instance, or remove "
    "the cluster's tags from it; `pio-tf up` then creates what is missing"
)


class _Discrepancy(NamedTuple):
    """A machine that is not in EC2 as Terraform's outputs say."""

    what: str
    next_step: str


def find_machines(ec2: EC2Client, *, cluster: str, outputs: Outputs | None, strict: bool = True) -> list[Machine]:
    """Return every machine of a cluster: one paged DescribeInstances by the tag ``pio-tf:cluster``.

    Args:
        cluster: the cluster's name, the value of that tag. No other machine is ever returned.
        outputs: Terraform's outputs, to compare with; None if there are none yet. A machine that they lack comes back
            with ``in_outputs=False``.
        strict: False returns what exists, whatever the outputs say: to show it, or to stop it.

    Returns:
        Driver, master, then the workers by number, without terminated machines.

    Raises:
        ConfigError: the outputs are of another region (strict only).
        AwsError: the call failed; or, strict only, a machine of the outputs is gone, has lost its tag, has another
            private address, or is a Spot instance, which can't be stopped and started. The error names all of them.
    """
    region = ec2.meta.region_name
    if outputs is not None and strict and outputs.region != region:
        raise another_region(outputs.cluster, region, created_in=outputs.region)
    known = {machine.instance_id: machine for machine in outputs.machines} if outputs else {}
    found = describe_live(ec2, {"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]})
    # Never by the filter alone: pio-tf switches only what carries the tag.
    found = [instance for instance in found if tag_of(instance, CLUSTER_TAG) == cluster]
    problems: list[_Discrepancy] = []
    missing = [known[instance_id] for instance_id in known.keys() - {one["InstanceId"] for one in found}]
    if missing and strict:
        appeared, problems = _explain_missing(ec2, sorted(missing, key=machine_order), cluster=cluster)
        found += appeared
    if strict:
        problems += [one for item in found for one in _discrepancies(item, known.get(item["InstanceId"]))]
    if problems:
        raise _discrepancy_error(problems, cluster=cluster, region=region)
    machines = [machine_from(item, output=known.get(item["InstanceId"])) for item in found]
    return sorted(_with_unique_names(machines), key=machine_order)


def find_named_machines(ec2: EC2Client, ids: Mapping[str, str], *, cluster: str, strict: bool = True) -> list[Machine]:
    """Return the machines of a cluster without Terraform: instances that pio-tf.hcl names.

    Args:
        ids: instance ids, by the names of the machines.
        cluster: the cluster's name. pio-tf returns no machine that carries the tag of another one.
        strict: False returns what exists, to show it, or to stop it.

    Raises:
        AwsError: the call failed; or, strict only, a machine is gone, is another cluster's, or is a Spot instance. The
            error names all of them.
    """
    found = describe_by_id(ec2, ids.values())
    machines: list[Machine] = []
    problems: list[_Discrepancy] = []
    for name, instance_id in ids.items():
        instance, label = found.get(instance_id), f"{name} ({instance_id})"
        if instance is None:
            what = f"{label} does not exist in {ec2.meta.region_name} for these credentials"
            step = "check the ids in the machines block, aws.region and the credentials' account"
            problems.append(_Discrepancy(what, step))
            continue
        output = MachineOutput(name, role_of(name), instance_id, instance.get("PrivateIpAddress", ""))
        machine = machine_from(instance, output=output)
        if machine.cluster not in ("", cluster):
            what = f"{label} is tagged for {machine.cluster}, not for {cluster}, so pio-tf does not touch it"
            problems.append(_Discrepancy(what, "remove it from the machines block, or use that cluster's pio-tf.hcl"))
            continue
        if machine.is_terminated:
            step = "its disk is lost; name another instance in the machines block"
            problems.append(_Discrepancy(f"{label} was terminated", step))
        elif machine.spot:
            problems.append(_Discrepancy(f"{label} {IS_SPOT}", "name an on-demand instance in the machines block"))
        if machine.state != "terminated":
            machines.append(machine)
    if problems and strict:
        raise _discrepancy_error(problems, cluster=cluster, region=ec2.meta.region_name)
    return machines


def _discrepancy_error(problems: Sequence[_Discrepancy], *, cluster: str, region: str) -> AwsError:
    return AwsError(
        "\n".join(problem.what for problem in problems),
        next_step="\n".join(dict.fromkeys(problem.next_step for problem in problems)),
        details={"cluster": cluster, "region": region, "problems": [problem.what for problem in problems]},
    )


def find_all_machines(ec2: EC2Client) -> list[Machine]:
    """Return the machines of all clusters, without terminated ones, in the order of :func:`find_machines`.

    Raises:
        AwsError: the call failed.
    """
    found = describe_live(ec2, {"Name": "tag-key", "Values": [CLUSTER_TAG]})
    return sorted((machine_from(instance) for instance in found), key=machine_order)


def find_untagged(ec2: EC2Client, *, cluster: str, outputs: Outputs, found: Iterable[Machine]) -> list[Machine]:
    """Return machines of the outputs that exist without the cluster's tag, or with another cluster's.

    pio-tf does not switch them, but names them.

    Args:
        found: the result of :func:`find_machines`. If that is all of them, pio-tf does not ask AWS.
    """
    ids = {machine.instance_id for machine in found}
    known = {machine.instance_id: machine for machine in outputs.machines if machine.instance_id not in ids}
    return [
        machine_from(instance, output=known[instance_id])
        for instance_id, instance in describe_by_id(ec2, known).items()
        if instance["State"]["Name"] in _LIVE and tag_of(instance, CLUSTER_TAG) != cluster
    ]


def security_groups(ec2: EC2Client, instance_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the ids of the security groups of each instance."""
    found = describe_by_id(ec2, instance_ids)
    return {one: frozenset(group["GroupId"] for group in found[one]["SecurityGroups"]) for one in found}


def machine_from(instance: InstanceTypeDef, *, output: MachineOutput | None = None) -> Machine:
    """Return the machine for one instance of DescribeInstances. Terraform's outputs add what its tags lack."""
    instance_id = instance["InstanceId"]
    name = output.name if output else tag_of(instance, MACHINE_TAG) or tag_of(instance, "Name") or instance_id
    return Machine(
        name=name,
        role=output.role if output else _role(tag_of(instance, ROLE_TAG), name=name),
        instance_id=instance_id,
        instance_type=instance["InstanceType"],
        state=instance["State"]["Name"],
        private_ip=instance.get("PrivateIpAddress", ""),
        public_ip=instance.get("PublicIpAddress") or None,
        since=_since(instance),
        spot=instance.get("InstanceLifecycle") == "spot",
        in_outputs=output is not None,
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        cluster=tag_of(instance, CLUSTER_TAG),
        architecture=instance.get("Architecture", "x86_64"),
        virtualization=instance.get("VirtualizationType", "hvm"),
        has_ena=instance.get("EnaSupport", False),
        powered_itself_off=_has_powered_itself_off(instance),
        reads_tags=instance.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled",
        scheduled_start=tag_of(instance, SCHEDULED_TAG),
    )


def find_powered_off(ec2: EC2Client, instance_ids: Sequence[str]) -> frozenset[str]:
    """Return the ids of those instances that have powered themselves off, or are doing so."""
    found = describe_by_id(ec2, instance_ids)
    return frozenset(one for one, instance in found.items() if _has_powered_itself_off(instance))


def machine_order(machine: Machine | MachineOutput) -> tuple[int, int, str]:
    """Return a key that sorts driver, master, worker-1, worker-2 … worker-10."""
    number = machine.name.rpartition("-")[2]
    return (ROLES.index(machine.role), int(number) if number.isdecimal() else 0, machine.name)


def _has_powered_itself_off(instance: InstanceTypeDef) -> bool:
    code = instance.get("StateReason", {}).get("Code", "")
    return code == _FROM_INSIDE and instance["State"]["Name"] in ("stopping", "stopped")


def _describe(ec2: EC2Client, *filters: FilterTypeDef) -> list[InstanceTypeDef]:
    with aws_errors("looking for the cluster's machines"):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=list(filters), PaginationConfig={"PageSize": _PAGE}
        )
        return [instance for page in pages for group in page["Reservations"] for instance in group.get("Instances", [])]


def describe_live(ec2: EC2Client, *filters: FilterTypeDef) -> list[InstanceTypeDef]:
    """Return the instances that match all filters and are not terminated."""
    return _describe(ec2, *filters, {"Name": "instance-state-name", "Values": list(_LIVE)})


def describe_by_id(ec2: EC2Client, ids: Iterable[str]) -> dict[str, InstanceTypeDef]:
    """Return the instances that exist, by their ids; terminated ones for as long as EC2 shows them."""
    found: dict[str, InstanceTypeDef] = {}
    ids = list(ids)
    for start in range(0, len(ids), _FILTER_VALUES):
        # A filter, unlike InstanceIds, accepts unknown ids.
        described = _describe(ec2, {"Name": "instance-id", "Values": ids[start : start + _FILTER_VALUES]})
        found |= {instance["InstanceId"]: instance for instance in described}
    return found


def tag_of(tagged: InstanceTypeDef | VolumeTypeDef | AddressTypeDef, key: str) -> str:
    """Return the value of a tag; empty if there is none."""
    return next((tag["Value"] for tag in tagged.get("Tags", []) if tag["Key"] == key), "")


def _role(tag: str, *, name: str) -> Role:
    return role_of(tag if tag in ROLES else name)


def _since(instance: InstanceTypeDef) -> datetime | None:
    state = instance["State"]["Name"]
    if state in ("pending", "running"):
        return instance.get("LaunchTime")  # EC2 updates it at every start
    # EC2 has no field for it: the reason reads "User initiated (2026-01-12 19:00:00 GMT)".
    match = _STOPPED_AT.search(instance.get("StateTransitionReason", ""))
    return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc) if match else None


def _with_unique_names(machines: list[Machine]) -> list[Machine]:
    """Name a leftover that is tagged like a machine of the outputs by its instance id, so that names are unique."""
    count = Counter(machine.name for machine in machines)
    return [
        replace(machine, name=machine.instance_id) if count[machine.name] > 1 and not machine.in_outputs else machine
        for machine in machines
    ]


def protected_from_termination(ec2: EC2Client, machines: Sequence[Machine]) -> tuple[Machine, ...]:
    """Return the machines that AWS would refuse to terminate.

    Raises:
        AwsError: a call failed.
    """

    def is_protected(machine: Machine) -> bool:
        with aws_errors(f"looking up the termination protection of {machine.name}"):
            answer = ec2.describe_instance_attribute(InstanceId=machine.instance_id, Attribute="disableApiTermination")
        return bool(answer["DisableApiTermination"].get("Value"))

    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(is_protected, machines)
        return tuple(machine for machine, protected in zip(machines, found, strict=True) if protected)


def find_terminating(ec2: EC2Client, ids: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the machines that AWS would terminate when they power themselves off.

    Args:
        ids: instance ids, by the names of the machines.

    Raises:
        AwsError: a call failed.
    """

    def behavior(name: str) -> str:
        with aws_errors(f"looking up what AWS does when {name} powers itself off"):
            answer = ec2.describe_instance_attribute(
                InstanceId=ids[name], Attribute="instanceInitiatedShutdownBehavior"
            )
        return str(answer["InstanceInitiatedShutdownBehavior"].get("Value"))

    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(name for name, found in zip(ids, pool.map(behavior, ids), strict=True) if found == "terminate")


def _explain_missing(
    ec2: EC2Client, missing: Sequence[MachineOutput], *, cluster: str
) -> tuple[list[InstanceTypeDef], list[_Discrepancy]]:
    """Look up missing machines by id. EC2 is eventually consistent: some may just have appeared."""
    existing = describe_by_id(ec2, [machine.instance_id for machine in missing])
    appeared: list[InstanceTypeDef] = []
    problems: list[_Discrepancy] = []
    for machine in missing:
        instance = existing.get(machine.instance_id)
        label = f"{machine.name} ({machine.instance_id})"
        owner = tag_of(instance, CLUSTER_TAG) if instance else ""
        if instance is None:
            what = f"{label} does not exist in {ec2.meta.region_name} for these credentials"
            next_step = (
                "check that aws.region, aws.profile and aws.assume_role name the account that the cluster was created "
                "in; if the machine was removed, `pio-tf plan` shows what Terraform would create again"
            )
            problems.append(_Discrepancy(what, next_step))
        elif instance["State"]["Name"] in TERMINATED:
            problems.append(_terminated(label))
        elif owner == cluster:
            appeared.append(instance)
        elif owner:
            what = f"{label} is tagged for {owner}, not for {cluster}, so pio-tf does not touch it"
            problems.append(_Discrepancy(what, RIGHT_STATE))
        else:
            what = f"{label} does not carry the tag {CLUSTER_TAG}={cluster}, so pio-tf does not touch it"
            problems.append(_Discrepancy(what, "`pio-tf apply` restores the cluster's tags"))
    return appeared, problems


def _discrepancies(instance: InstanceTypeDef, output: MachineOutput | None) -> Iterator[_Discrepancy]:
    label = f"{output.name if output else instance['InstanceId']} ({instance['InstanceId']})"
    leaving = instance["State"]["Name"] == "shutting-down"
    if instance.get("InstanceLifecycle") == "spot":
        yield _Discrepancy(f"{label} {IS_SPOT}", LEAVE_SPOT)
    elif output is not None and leaving:
        yield _terminated(label)
    if output is None:
        return
    address, name = instance.get("PrivateIpAddress", ""), tag_of(instance, MACHINE_TAG)
    if address != output.private_ip and not leaving:
        yield _Discrepancy(
            f"{label} has the private address {address or 'none'}, but Terraform's outputs say {output.private_ip}",
            "run `pio-tf apply` to read the addresses again; a replaced machine can't take the old one's place",
        )
    if name not in ("", output.name):
        yield _Discrepancy(
            f"{output.name} of Terraform's outputs is {instance['InstanceId']}, which is tagged as {name}",
            "restore the right state; if the tag was changed in AWS, `pio-tf apply` restores it",
        )


def _terminated(label: str) -> _Discrepancy:
    return _Discrepancy(
        f"{label} was terminated, and not by pio-tf",
        "`pio-tf plan` shows what Terraform would create again; its disk and installed software are lost",
    )
