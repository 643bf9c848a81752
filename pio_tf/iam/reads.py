"""What is looked at in EC2. None of these actions can be narrowed to a resource: to the region only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pio_tf.iam.scope import Scope

_ALWAYS = (
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstances",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
)
"""What the provider reads of machines and of their security group, in every network."""
_NEWER = ("ec2:DescribeInstanceTypes", "ec2:DescribeSecurityGroupRules", "ec2:DescribeTags")
"""Since version 4: limits of the type, ids of rules, and whether a launch template made the machine."""
_BURSTABLE = ("t1.", "t2.", "t3.", "t3a.", "t4g.")


def reads_of_stack(scope: Scope) -> Iterator[Grant]:
    """All that Terraform refreshes, and the machines that pio-tf finds by their tag."""
    wanted, newer = [*_ALWAYS], [*_NEWER]
    if scope.makes_network:
        wanted += ["ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables", "ec2:DescribeVpcAttribute"]
        wanted += ["ec2:DescribeVpcClassicLink", "ec2:DescribeVpcClassicLinkDnsSupport"]  # until version 4
    if scope.makes_gateway:
        wanted += ["ec2:DescribeInternetGateways"]
    if scope.config.network.driver_eip:
        wanted += ["ec2:DescribeAddresses"]
        newer += ["ec2:DescribeAddressesAttribute"]
    if scope.config.ssh.key_pair is None:
        wanted += ["ec2:DescribeKeyPairs"]
    if any(name.startswith(_BURSTABLE) for name in scope.instance_types):
        newer += ["ec2:DescribeInstanceCreditSpecifications"]
    yield _read(scope, "Look", "What is there.", wanted, newer, ["ec2:DescribeInstances"])


def reads_of_references(scope: Scope) -> Iterator[Grant]:
    """What pio-tf looks up before a plan: whether all that pio-tf.hcl names is there, and fits."""
    network, ours = scope.config.network, ["ec2:DescribeImages", "ec2:DescribeInstanceTypes"]
    if network.subnet_id is not None:
        ours += ["ec2:DescribeSubnets", "ec2:DescribeVpcs"]
    if network.subnet_id is not None or network.availability_zone is not None:
        ours += ["ec2:DescribeAvailabilityZones", "ec2:DescribeInstanceTypeOfferings"]
    if scope.config.ssh.key_pair is not None:
        ours += ["ec2:DescribeKeyPairs"]
    yield _read(scope, "LookUp", "Whether all that pio-tf.hcl names is there, and fits.", ours=ours)


def reads_of_changes(scope: Scope) -> Iterator[Grant]:
    """For an apply: a disk that grows is watched."""
    why = "Whether a disk has grown."
    yield _read(scope, "LookAtChanges", why, ["ec2:DescribeVolumesModifications"])


def reads_of_removals(scope: Scope) -> Iterator[Grant]:
    """For a destroy: what is still in the network."""
    yield _read(scope, "LookWhatIsLeft", "Whether a network is empty.", ["ec2:DescribeNetworkInterfaces"])


def reads_of_machines(scope: Scope) -> Iterator[Grant]:
    """For training: machines by their tag, and what their types offer."""
    ours = ["ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypes", "ec2:DescribeInstances"]
    yield _read(scope, "Look", "Which machines there are, and how large.", ours=ours)


def _read(
    scope: Scope,
    sid: str,
    why: str,
    terraform: Sequence[str] = (),
    newer: Sequence[str] = (),
    ours: Sequence[str] = (),
) -> Grant:
    return Grant(
        sid=sid,
        why=why,
        resources=("*",),
        terraform=tuple(terraform),
        newer=tuple(newer),
        pio_tf=tuple(ours),
        conditions={"StringEquals": {"ec2:Region": scope.region}},
    )
