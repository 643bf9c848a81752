"""Which machines a cluster has: Terraform's outputs, joined with what EC2 shows under the cluster's tag."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

from pio_tf.aws.session import aws_errors
from pio_tf.errors import AwsError, ConfigError
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, Machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

    from pio_tf.model import MachineOutput, Outputs, Role

_LIVE: Final = ("pending", "running", "stopping", "stopped", "shutting-down")
_PAGE: Final = 1000
"""Instances a page: EC2's maximum."""
_STOPPED_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_ROLE_ORDER: Final[dict[Role, int]] = {"driver": 0, "master": 1, "worker": 2}

IS_SPOT: Final = "is a Spot instance, which can't be stopped and started again"
RIGHT_STATE: Final = "Terraform's outputs name a machine of another cluster: bring the right state back"
LEAVE_SPOT: Final = (
    "pio-tf works with on-demand machines, and starts none beside a Spot instance: terminate that, or take the "
    "cluster's tags off it; `pio-tf up` then creates what is missing"
)


class _Problem(NamedTuple):
    """Where EC2 is not as Terraform's outputs say."""

    what: str
    next_step: str


def find_machines(ec2: EC2Client, *, cluster: str, outputs: Outputs | None, strict: bool = True) -> list[Machine]:
    """Every machine of a cluster: one paged DescribeInstances by the tag ``pio-tf:cluster``.

    Args:
        cluster: the cluster's name, which the tag must have as its value. Nothing else is ever returned.
        outputs: Terraform's outputs, to compare with; None where there are none yet. A machine that they do not have
            comes back with ``in_outputs=False``.
        strict: False returns what there is, whatever the outputs say: to show it, or to stop it.

    Returns:
        Driver, master, then the workers by number. Terminated machines are left out.

    Raises:
        ConfigError: the outputs are of another region (strict only).
        AwsError: the call failed; or, strict only, a machine of the outputs is gone or has lost its tag, has another
            private address, or is a Spot instance, which can't be stopped and started. All of them at once.
    """
    if outputs is not None and strict:
        _check_region(ec2, outputs)
    known = {machine.instance_id: machine for machine in outputs.machines} if outputs else {}
    found = _describe(ec2, _by_tag(cluster), cluster=cluster)
    problems: list[_Problem] = []
    missing = [machine for machine in known.values() if machine.instance_id not in _ids(found)]
    if missing and strict:
        appeared, problems = _explain_missing(ec2, missing, cluster=cluster)
        found += appeared
    if strict:
        problems += [problem for item in found if (problem := _spot_or_leaving(item, known.get(item["InstanceId"])))]
    machines = [machine_from(item, output=known.get(item["InstanceId"])) for item in found]
    if strict:
        problems += [problem for machine in machines if (problem := _moved(machine, known.get(machine.instance_id)))]
        problems += [problem for item in found if (problem := _another(item, known.get(item["InstanceId"])))]
    if problems:
        raise AwsError(
            "\n".join(problem.what for problem in problems),
            next_step="\n".join(dict.fromkeys(problem.next_step for problem in problems)),
            details={
                "cluster": cluster,
                "region": ec2.meta.region_name,
                "problems": [problem.what for problem in problems],
            },
        )
    return sorted(_with_own_names(machines), key=machine_order)


def find_untagged(ec2: EC2Client, *, cluster: str, outputs: Outputs, found: Iterable[Machine]) -> list[Machine]:
    """Machines of the outputs that still exist but have lost the cluster's tag, or are another cluster's: not ours to
    switch, but to speak of.

    Args:
        found: what :func:`find_machines` has found. Where that is all of them, AWS is not asked.
    """
    ids = {machine.instance_id for machine in found}
    missing = [machine for machine in outputs.machines if machine.instance_id not in ids]
    known = {machine.instance_id: machine for machine in missing}
    return [
        machine_from(instance, output=known[instance_id])
        for instance_id, instance in (_describe_by_id(ec2, missing) if missing else {}).items()
        if instance["State"]["Name"] in _LIVE and not _has_tag(instance, cluster)
    ]


def security_groups(ec2: EC2Client, instance_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """The ids of the security groups of each instance."""
    with aws_errors("looking for the machines' security groups"):
        pages = ec2.get_paginator("describe_instances").paginate(InstanceIds=list(instance_ids))
        found = [item for page in pages for group in page["Reservations"] for item in group["Instances"]]
    return {one["InstanceId"]: frozenset(group["GroupId"] for group in one["SecurityGroups"]) for one in found}


def machine_from(instance: InstanceTypeDef, *, output: MachineOutput | None = None) -> Machine:
    """A machine from one instance of DescribeInstances. What its tags lack comes from Terraform's outputs."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    instance_id = instance["InstanceId"]
    name = output.name if output else tags.get(MACHINE_TAG) or tags.get("Name") or instance_id
    return Machine(
        name=name,
        role=output.role if output else _role(tags.get(ROLE_TAG), name=name),
        instance_id=instance_id,
        instance_type=instance["InstanceType"],
        state=instance["State"]["Name"],
        private_ip=instance.get("PrivateIpAddress", ""),
        public_ip=instance.get("PublicIpAddress") or None,
        since=_since(instance),
        spot=instance.get("InstanceLifecycle") == "spot",
        in_outputs=output is not None,
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        cluster=tags.get(CLUSTER_TAG, ""),
    )


def machine_order(machine: Machine) -> tuple[int, int, str]:
    """Sorts driver, master, worker-1, worker-2 … worker-10."""
    number = machine.name.rpartition("-")[2]
    return (_ROLE_ORDER[machine.role], int(number) if number.isdecimal() else 0, machine.name)


def _describe(ec2: EC2Client, filters: Sequence[FilterTypeDef], *, cluster: str | None) -> list[InstanceTypeDef]:
    with aws_errors("looking for the cluster's machines"):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=list(filters), PaginationConfig={"PageSize": _PAGE}
        )
        instances = [
            instance for page in pages for group in page["Reservations"] for instance in group.get("Instances", [])
        ]
    # Never by the filter's word alone: what is not tagged is not ours to switch.
    return [instance for instance in instances if cluster is None or _has_tag(instance, cluster)]


def _by_tag(cluster: str) -> list[FilterTypeDef]:
    return [
        {"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]},
        {"Name": "instance-state-name", "Values": list(_LIVE)},
    ]


def _has_tag(instance: InstanceTypeDef, cluster: str) -> bool:
    return any(tag["Key"] == CLUSTER_TAG and tag["Value"] == cluster for tag in instance.get("Tags", []))


def _owner(instance: InstanceTypeDef, *, but: str) -> str:
    """Another cluster that an instance is tagged for; empty: none."""
    return next(
        (tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == CLUSTER_TAG and tag["Value"] != but), ""
    )


def _ids(instances: Iterable[InstanceTypeDef]) -> set[str]:
    return {instance["InstanceId"] for instance in instances}


def _role(tag: str | None, *, name: str) -> Role:
    wanted = tag if tag in _ROLE_ORDER else name
    return next((role for role in _ROLE_ORDER if role == wanted), "worker")


def _since(instance: InstanceTypeDef) -> datetime | None:
    state = instance["State"]["Name"]
    if state in ("pending", "running"):
        return instance.get("LaunchTime")  # EC2 sets it anew at every start
    # There is no field for it: the reason reads "User initiated (2026-01-12 19:00:00 GMT)".
    match = _STOPPED_AT.search(instance.get("StateTransitionReason", ""))
    return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc) if match else None


def _with_own_names(machines: list[Machine]) -> list[Machine]:
    """A leftover that is tagged like a machine of the outputs goes by its instance id, so that no name stands twice."""
    count = Counter(machine.name for machine in machines)
    return [
        replace(machine, name=machine.instance_id) if count[machine.name] > 1 and not machine.in_outputs else machine
        for machine in machines
    ]


def _check_region(ec2: EC2Client, outputs: Outputs) -> None:
    region = ec2.meta.region_name
    if outputs.region != region:
        raise ConfigError(
            f"aws.region is {region}, but {outputs.cluster} was created in {outputs.region}",
            cause="the region in pio-tf.hcl has changed since `pio-tf apply`; machines can't move",
            next_step=f'set region = "{outputs.region}" again, or give the new cluster another name and state',
        )


def _explain_missing(
    ec2: EC2Client, missing: Sequence[MachineOutput], *, cluster: str
) -> tuple[list[InstanceTypeDef], list[_Problem]]:
    """Looks the missing ones up by id: some may just have appeared (EC2 is eventually consistent)."""
    there = _describe_by_id(ec2, missing)
    appeared: list[InstanceTypeDef] = []
    problems: list[_Problem] = []
    for machine in missing:
        instance = there.get(machine.instance_id)
        label = f"{machine.name} ({machine.instance_id})"
        if instance is None:
            problems.append(
                _Problem(
                    f"{label} does not exist in {ec2.meta.region_name} for these credentials",
                    "check that aws.region, aws.profile and aws.assume_role name the account that the cluster was "
                    "created in; if the machine was removed, `pio-tf plan` shows what Terraform would create again",
                )
            )
        elif instance["State"]["Name"] in ("terminated", "shutting-down"):
            problems.append(_gone(label))
        elif owner := _owner(instance, but=cluster):
            problems.append(
                _Problem(f"{label} is tagged for {owner}, not for {cluster}, so pio-tf does not touch it", RIGHT_STATE)
            )
        elif not _has_tag(instance, cluster):
            problems.append(
                _Problem(
                    f"{label} does not carry the tag {CLUSTER_TAG}={cluster}, so pio-tf does not touch it",
                    "`pio-tf apply` puts the cluster's tags back",
                )
            )
        else:
            appeared.append(instance)
    return appeared, problems


def _describe_by_id(ec2: EC2Client, machines: Sequence[MachineOutput]) -> dict[str, InstanceTypeDef]:
    there: dict[str, InstanceTypeDef] = {}
    # EC2 takes 200 values a filter; a filter, unlike InstanceIds, forgives unknown ids.
    for start in range(0, len(machines), 200):
        ids = [machine.instance_id for machine in machines[start : start + 200]]
        described = _describe(ec2, [{"Name": "instance-id", "Values": ids}], cluster=None)
        there |= {instance["InstanceId"]: instance for instance in described}
    return there


def _gone(label: str) -> _Problem:
    return _Problem(
        f"{label} was terminated, and not by pio-tf",
        "`pio-tf plan` shows what Terraform would create again; its disk and what was installed on it are lost",
    )


def _spot_or_leaving(instance: InstanceTypeDef, output: MachineOutput | None) -> _Problem | None:
    label = f"{output.name if output else instance['InstanceId']} ({instance['InstanceId']})"
    if instance.get("InstanceLifecycle") == "spot":
        return _Problem(
            f"{label} {IS_SPOT}",
            LEAVE_SPOT,
        )
    if output is not None and instance["State"]["Name"] == "shutting-down":
        return _gone(label)
    return None


def _another(instance: InstanceTypeDef, output: MachineOutput | None) -> _Problem | None:
    """One of the cluster's machines in the place of another one: the outputs were edited, or the tags."""
    tagged = next((tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == MACHINE_TAG), "")
    if output is None or tagged in ("", output.name):
        return None
    return _Problem(
        f"{output.name} of Terraform's outputs is {instance['InstanceId']}, which is tagged as {tagged}",
        "bring the right state back; if somebody has changed the tag, `pio-tf apply` puts it back",
    )


def _moved(machine: Machine, output: MachineOutput | None) -> _Problem | None:
    if output is None or machine.private_ip == output.private_ip or machine.state == "shutting-down":
        return None
    return _Problem(
        f"{machine.name} ({machine.instance_id}) has the private address {machine.private_ip or 'none'}, "
        f"but Terraform's outputs say {output.private_ip}",
        "run `pio-tf apply` to read the addresses again; a machine that was replaced by hand can't take its old place",
    )
