"""Network, security group and address: made with the cluster's tag, changed and removed only with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope


def makes_network(scope: Scope) -> Iterator[Grant]:
    """A VPC with its subnet and its way to the internet, where pio-tf.hcl has a network of its own."""
    if not scope.makes_network:
        return
    made, parents, changed = ["vpc", "subnet"], ["vpc"], ["ec2:ModifyVpcAttribute"]
    create = ["ec2:CreateVpc", "ec2:CreateSubnet"]
    within = ["ec2:CreateSubnet"]
    if scope.config.network.public_ips:
        parents.append("subnet")
        changed.append("ec2:ModifySubnetAttribute")
    if scope.makes_gateway:
        made.append("internet-gateway")
        create.append("ec2:CreateInternetGateway")
        parents.append("internet-gateway")
        within.append("ec2:AttachInternetGateway")
    yield Grant(
        sid="MakeNetwork",
        why="A network of the cluster's own.",
        resources=tuple(scope.ec2(kind) for kind in made),
        terraform=tuple(create),
        conditions=scope.tagged,
    )
    yield Grant(
        sid="ChangeNetwork",
        why="What is put into that network, and its settings.",
        resources=tuple(scope.ec2(kind) for kind in parents),
        terraform=(*within, *changed),
        conditions=scope.owned,
    )
    if scope.makes_gateway:
        yield _routes(scope, "MakeRoute", "ec2:CreateRoute")


def removes_network(scope: Scope) -> Iterator[Grant]:
    """The same, removed."""
    if not scope.makes_network:
        return
    kinds, actions = ["vpc", "subnet"], ["ec2:DeleteSubnet", "ec2:DeleteVpc"]
    if scope.makes_gateway:
        kinds.append("internet-gateway")
        actions += ["ec2:DeleteInternetGateway", "ec2:DetachInternetGateway"]
        yield _routes(scope, "RemoveRoute", "ec2:DeleteRoute")
    yield Grant(
        sid="RemoveNetwork",
        why="The cluster's own network.",
        resources=tuple(scope.ec2(kind) for kind in kinds),
        terraform=tuple(actions),
        conditions=scope.owned,
    )


def _routes(scope: Scope, sid: str, action: str) -> Grant:
    return Grant(
        sid=sid,
        why="The way to the internet is in the VPC's main route table, which AWS makes without tags.",
        resources=(scope.ec2("route-table"),),
        terraform=(action,),
    )


def makes_security_group(scope: Scope) -> Iterator[Grant]:
    """The machines' security group and its rules."""
    vpc = scope.config.network.vpc_id
    yield Grant(
        sid="MakeSecurityGroup",
        why="The machines' security group.",
        resources=(scope.ec2("security-group"),),
        terraform=("ec2:CreateSecurityGroup",),
        conditions=scope.tagged,
    )
    yield Grant(
        sid="MakeSecurityGroupInVpc",
        why="It is in a VPC.",
        resources=(scope.ec2("vpc", vpc or "*"),),
        terraform=("ec2:CreateSecurityGroup",),
        conditions={} if vpc else scope.owned,
    )
    rules = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress"]
    yield Grant(
        sid="ChangeRules",
        why="Its rules. AWS makes one that lets everything out, which the provider removes.",
        resources=(scope.ec2("security-group"),),
        terraform=(*rules, "ec2:RevokeSecurityGroupIngress"),
        conditions=scope.owned,
    )


def removes_security_group(scope: Scope) -> Iterator[Grant]:
    """The same, removed."""
    rules = ("ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress")
    yield Grant(
        sid="RemoveSecurityGroup",
        why="The machines' security group and its rules.",
        resources=(scope.ec2("security-group"),),
        terraform=("ec2:DeleteSecurityGroup", *rules),
        conditions=scope.owned,
    )


def makes_address(scope: Scope) -> Iterator[Grant]:
    """The driver's Elastic IP."""
    if not scope.config.network.driver_eip:
        return
    yield Grant(
        sid="MakeAddress",
        why="The driver's address.",
        resources=(scope.ec2("elastic-ip"),),
        terraform=("ec2:AllocateAddress",),
        conditions=scope.tagged,
    )
    yield from _holds_address(scope, "GiveAddress", "ec2:AssociateAddress")


def removes_address(scope: Scope) -> Iterator[Grant]:
    """The same, removed."""
    if not scope.config.network.driver_eip:
        return
    yield Grant(
        sid="RemoveAddress",
        why="The driver's address.",
        resources=(scope.ec2("elastic-ip"),),
        terraform=("ec2:ReleaseAddress",),
        conditions=scope.owned,
    )
    yield from _holds_address(scope, "TakeAddress", "ec2:DisassociateAddress")


def _holds_address(scope: Scope, sid: str, action: str) -> Iterator[Grant]:
    yield Grant(
        sid=sid,
        why="The address and the driver that has it.",
        resources=(scope.ec2("elastic-ip"), scope.ec2("instance")),
        terraform=(action,),
        conditions=scope.owned,
    )
    yield Grant(
        sid=f"{sid}Interface",
        why="The driver's interface, which AWS makes without tags; the address must be the cluster's all the same.",
        resources=(scope.ec2("network-interface"),),
        terraform=(action,),
    )
