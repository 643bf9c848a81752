"""Machines and their disks, key pair and power."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.blocks import AmiFilter
from pio_tf.iam.grant import Grant
from pio_tf.iam.scope import ANY_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.config.blocks import MachineBlock
    from pio_tf.iam.scope import Conditions, Scope

_RUN = ("ec2:RunInstances",)


def makes_machines(scope: Scope) -> Iterator[Grant]:
    """RunInstances, on everything that it touches; later changes of type, disk and settings."""
    network, types = scope.config.network, tuple(scope.config.guard.instance_types)
    yield Grant(
        sid="MakeMachines",
        why="Machines with the cluster's tag, and of the types that guard.instance_types names, if it does.",
        resources=(scope.ec2("instance"),),
        terraform=_RUN,
        conditions={**scope.tagged, **({"StringLike": {"ec2:InstanceType": types}} if types else {})},
    )
    named = [scope.ec2("key-pair", scope.config.ssh.key_pair or f"pio-tf-{scope.cluster}")]
    if network.subnet_id is not None:
        named.append(scope.ec2("subnet", network.subnet_id))
    yield Grant(
        sid="MakeMachinesWith",
        why="Their key pair, their disks and interfaces, which AWS makes with them.",
        resources=(*named, scope.ec2("network-interface"), scope.ec2("volume")),
        terraform=_RUN,
    )
    yield Grant(
        sid="MakeMachinesIn",
        why="The cluster's security group, and its subnet where it has one of its own.",
        resources=(scope.ec2("security-group"), *((scope.ec2("subnet"),) if scope.makes_network else ())),
        terraform=_RUN,
        conditions=scope.owned,
    )
    yield from _images(scope)
    yield Grant(
        sid="ChangeMachines",
        why="Type, shutdown behaviour and size of the disk. A type changes while a machine is stopped: the provider "
        "stops and starts it, and pio-tf stops what was stopped before.",
        resources=(scope.ec2("instance"), scope.ec2("volume")),
        terraform=("ec2:ModifyInstanceAttribute", "ec2:ModifyVolume", "ec2:StartInstances", "ec2:StopInstances"),
        pio_tf=("ec2:StopInstances",),
        conditions=scope.owned,
    )


def removes_machines(scope: Scope) -> Iterator[Grant]:
    """The end of machines; their disks go with them."""
    yield Grant(
        sid="RemoveMachines",
        why="Machines for good. The provider takes their protection against termination away first.",
        resources=(scope.ec2("instance"),),
        terraform=("ec2:ModifyInstanceAttribute", "ec2:TerminateInstances"),
        conditions=scope.owned,
    )


def makes_key_pair(scope: Scope) -> Iterator[Grant]:
    """The key pair, where pio-tf.hcl names none that is there."""
    if scope.config.ssh.key_pair is None:
        yield Grant(
            sid="MakeKeyPair",
            why="The public half of ssh.key.",
            resources=(scope.ec2("key-pair", f"pio-tf-{scope.cluster}"),),
            terraform=("ec2:ImportKeyPair",),
            conditions=scope.tagged,
        )


def removes_key_pair(scope: Scope) -> Iterator[Grant]:
    """The same, removed."""
    if scope.config.ssh.key_pair is None:
        yield Grant(
            sid="RemoveKeyPair",
            why="The public half of ssh.key.",
            resources=(scope.ec2("key-pair", f"pio-tf-{scope.cluster}"),),
            terraform=("ec2:DeleteKeyPair",),
        )


def reads_consoles(scope: Scope) -> Iterator[Grant]:
    """A driver that runs is asked for runs before a machine is changed or removed: over SSH, to the right machine."""
    yield Grant(
        sid="ReadConsoles",
        why="Host keys, from the machines' consoles: a driver that runs is asked whether a run is active.",
        resources=(scope.ec2("instance"),),
        pio_tf=("ec2:GetConsoleOutput",),
        conditions=scope.owned,
    )


def switches_power(scope: Scope) -> Iterator[Grant]:
    """Start and stop, and what a machine has written to its console: its host keys."""
    yield Grant(
        sid="Power",
        why="Machines on before a training and off after it; their host keys, from their consoles.",
        resources=(scope.ec2("instance"),),
        pio_tf=("ec2:GetConsoleOutput", "ec2:StartInstances", "ec2:StopInstances"),
        conditions=scope.owned,
    )


def _images(scope: Scope) -> Iterator[Grant]:
    """By id where pio-tf.hcl has one, else by owner, as the filter looks for them."""
    blocks: tuple[MachineBlock, ...] = (scope.config.driver, scope.config.spark)
    ids = dict.fromkeys(scope.image(block.ami) for block in blocks if block.ami)
    owners = dict.fromkeys((block.ami_filter or AmiFilter()).owner for block in blocks if not block.ami)
    if ids:
        yield Grant(sid="Images", why="The images of pio-tf.hcl.", resources=tuple(ids), terraform=_RUN)
    if owners:
        yield Grant(
            sid="ImagesOfOwner",
            why="Images of the owner that is looked for.",
            resources=(scope.image(),),
            terraform=_RUN,
            conditions=_owned_by(scope, tuple(owners)),
        )


def _owned_by(scope: Scope, owners: tuple[str, ...]) -> Conditions:
    named = tuple(scope.account if owner == "self" else owner for owner in owners)
    return {} if ANY_ACCOUNT in named else {"StringEquals": {"ec2:Owner": named}}
