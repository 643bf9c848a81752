"""Tags: they decide what else is allowed, so they may be given to new things only, and changed on own ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope


def tags(scope: Scope) -> Iterator[Grant]:
    """Tags at creation, of new disks, and later changes."""
    made = {"instance": "RunInstances", "security-group": "CreateSecurityGroup"}
    if scope.makes_network:
        made |= {"vpc": "CreateVpc", "subnet": "CreateSubnet"}
    if scope.makes_gateway:
        made |= {"internet-gateway": "CreateInternetGateway"}
    if scope.config.network.driver_eip:
        made |= {"elastic-ip": "AllocateAddress"}
    if scope.config.ssh.key_pair is None:
        made |= {"key-pair": "ImportKeyPair"}
    tag, own = "ec2:CreateTags", tuple(scope.ec2(kind) for kind in made)
    yield Grant(
        sid="TagAtCreation",
        why="Tags are given by the call that makes a thing.",
        resources=own,
        terraform=(tag,),
        conditions={"StringEquals": {"ec2:CreateAction": tuple(made.values()), **scope.tagged["StringEquals"]}},
    )
    yield Grant(
        sid="TagNewDisks",
        why="Disks come with their machine, without tags; the provider tags them then. Never those of another cluster.",
        resources=(scope.ec2("volume"),),
        terraform=(tag,),
        conditions={**scope.tagged, "Null": {f"ec2:ResourceTag/{CLUSTER_TAG}": "true"}},
    )
    yield Grant(
        sid="ChangeTags",
        why="cluster.tags, on what is the cluster's.",
        resources=(*own, scope.ec2("volume")),
        terraform=(tag, "ec2:DeleteTags"),
        conditions=scope.owned,
    )
