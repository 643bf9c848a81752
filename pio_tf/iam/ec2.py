"""Grants on EC2: machines, their power, disks and key pair; network, security group and address; tags; reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.blocks import AmiFilter
from pio_tf.iam.grant import ANY_ACCOUNT, Grant
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pio_tf.config.blocks import MachineBlock
    from pio_tf.iam.grant import Conditions, Scope

_RUN = ("ec2:RunInstances",)
_READS = (
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstances",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
)
"""The provider's reads of machines and their security group, in every network."""
_NEWER_READS = ("ec2:DescribeInstanceTypes", "ec2:DescribeSecurityGroupRules", "ec2:DescribeTags")
"""Reads since version 4: limits of the type, ids of rules, and whether a launch template made the machine."""
_ADOPTED_READS = (
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceCreditSpecifications",
    "ec2:DescribeInstances",
    "ec2:DescribeTags",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
)
"""The provider's reads of machines that exist already, of any type, and of their tags."""
_NEWER_ADOPTED_READS = ("ec2:DescribeInstanceTypes",)
_CHANGES_OF_PROFILE = (
    "ec2:AssociateIamInstanceProfile",
    "ec2:DisassociateIamInstanceProfile",
    "ec2:ReplaceIamInstanceProfileAssociation",
)
PUBLIC_PARAMETERS = "/aws/service/"
"""The beginning of the names of public parameters, which belong to no account."""
_PUBLISHERS = {"canonical": "099720109477", "debian": "136693071363"}
"""Owners of the images that public parameters name."""
_BURSTABLE = ("t1.", "t2.", "t3.", "t3a.", "t4g.")


def makes_machines(scope: Scope) -> Iterator[Grant]:
    """Grant RunInstances on all that it touches, and later changes of type, disk and settings."""
    network, types = scope.config.network, tuple(scope.config.guard.instance_types)
    limit: Conditions = {"StringLike": {"ec2:InstanceType": types}} if types else {}
    why = "Create machines with the cluster's tag, of the types in guard.instance_types if it is set."
    yield Grant("MakeMachines", why, scope.ec2("instance"), _RUN, conditions={**scope.tagged, **limit})
    subnet = scope.ec2("subnet", name=network.subnet_id) if network.subnet_id is not None else ()
    parts = (*_key_pair(scope), *subnet, *scope.ec2("volume"))
    why = "Use their key pair, and the disks that AWS creates with them."
    yield Grant("MakeMachinesWith", why, parts, _RUN)
    new: Conditions = {"StringNotLike": {"ec2:NetworkInterfaceID": "eni-*"}}  # also if there is no such key
    why = "Use the interfaces that AWS creates with them, and none that exists already."
    interface = scope.ec2("network-interface")
    yield Grant("MakeMachinesInterface", why, interface, _RUN, conditions={**new, **_in_subnet(scope)})
    own = scope.ec2("security-group", *(["subnet"] if scope.makes_network else []))
    groups = tuple(arn for one in network.security_group_ids for arn in scope.ec2("security-group", name=one))
    calls = (*_RUN, "ec2:ModifyNetworkInterfaceAttribute") if groups else _RUN
    why = "Use the cluster's security group, and its subnet if the cluster creates one."
    yield Grant("MakeMachinesIn", why, own, calls, conditions=scope.owned)
    if groups:
        yield Grant("MakeMachinesAlsoIn", "Use the other security groups of pio-tf.hcl.", groups, calls)
        why = "Give machines that exist these groups, on their interfaces, which AWS creates without tags."
        untagged = {**scope.untagged, **_in_subnet(scope)}
        yield Grant("ChangeGroups", why, interface, calls[-1:], conditions=untagged)
    yield from _images(scope)
    yield Grant(
        "ChangeMachines",
        "Change type, shutdown behaviour, disk size and instance profile. A type changes only while a machine is "
        "stopped: the provider stops and starts it, and pio-tf stops it again if it was stopped before. Before, pio-tf "
        "asks a running driver whether a run is active; its console has its host key.",
        scope.ec2("instance", "volume"),
        terraform=(
            "ec2:ModifyInstanceAttribute",
            "ec2:ModifyVolume",
            "ec2:StartInstances",
            "ec2:StopInstances",
            *(_CHANGES_OF_PROFILE if scope.config.machines.has_profile else ()),
        ),
        pio_tf=("ec2:GetConsoleOutput", "ec2:StopInstances"),
        conditions=scope.owned,
    )


def removes_machines(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of machines; their disks go with them."""
    why = "Remove machines for good. The provider removes their protection against termination first."
    actions = ("ec2:ModifyInstanceAttribute", "ec2:TerminateInstances")
    yield Grant("RemoveMachines", why, scope.ec2("instance"), actions, conditions=scope.owned)


def makes_volumes(scope: Scope) -> Iterator[Grant]:
    """Grant the volumes for scratch files, and attaching them."""
    if _has_volumes(scope):
        why, volume = "Create volumes for scratch files.", scope.ec2("volume")
        create = ("ec2:CreateVolume",)
        conditions: Conditions = {**scope.tagged, "Bool": {"ec2:Encrypted": "true"}}
        yield Grant("MakeVolumes", why, volume, create, conditions=conditions)
        attach = ("ec2:AttachVolume",)
        yield Grant("AttachVolumes", "Attach them.", scope.ec2("instance", "volume"), attach, conditions=scope.owned)


def removes_volumes(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of these volumes, after their machines."""
    if _has_volumes(scope):
        why, action = "Remove volumes for scratch files.", ("ec2:DeleteVolume",)
        yield Grant("RemoveVolumes", why, scope.ec2("volume"), action, conditions=scope.owned)


def _has_volumes(scope: Scope) -> bool:
    return any(scope.config.scratch_volume(role) is not None for role in ("driver", "worker"))


def makes_key_pair(scope: Scope) -> Iterator[Grant]:
    """Grant the import of ssh.key, unless pio-tf.hcl names an existing key pair."""
    if scope.config.ssh.key_pair is None:
        why, actions = "Import the public half of ssh.key.", ("ec2:ImportKeyPair",)
        yield Grant("MakeKeyPair", why, _key_pair(scope), actions, conditions=scope.tagged)


def removes_key_pair(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of the imported key pair."""
    if scope.config.ssh.key_pair is None:
        yield Grant("RemoveKeyPair", "Remove the public half of ssh.key.", _key_pair(scope), ("ec2:DeleteKeyPair",))


def reads_consoles(scope: Scope) -> Iterator[Grant]:
    """Grant reading consoles, for the host key of a driver that pio-tf asks for runs before a removal."""
    why = "Read host keys from consoles: pio-tf asks a running driver whether a run is active."
    console = ("ec2:GetConsoleOutput",)
    yield Grant("ReadConsoles", why, scope.ec2("instance"), pio_tf=console, conditions=scope.owned)


def switches_power(scope: Scope) -> Iterator[Grant]:
    """Grant starts and stops, and reading host keys from consoles."""
    why = "Start machines before a training and stop them after it; read their host keys from consoles."
    actions = ("ec2:GetConsoleOutput", "ec2:StartInstances", "ec2:StopInstances")
    yield Grant("Power", why, scope.ec2("instance"), pio_tf=actions, conditions=scope.owned)
    if scope.config.has_spare_types:
        types = dict.fromkeys(kind for one in scope.config.type_lists for kind in one.types)
        why = "Give a stopped machine another type of pio-tf.hcl, where AWS has no capacity for the one it has."
        # This key is there only in a request that sets the type: any other attribute is refused.
        to: Conditions = {"StringEquals": {"ec2:Attribute/InstanceType": tuple(types), **scope.owned["StringEquals"]}}
        modify = ("ec2:ModifyInstanceAttribute",)
        yield Grant("ChangeTypes", why, scope.ec2("instance"), pio_tf=modify, conditions=to)


def _in_subnet(scope: Scope) -> Conditions:
    """Return the condition for an interface: it is in the subnet of pio-tf.hcl, if that names one."""
    subnet = scope.config.network.subnet_id
    return {} if subnet is None else {"ArnLike": {"ec2:Subnet": scope.ec2("subnet", name=subnet)}}


def _key_pair(scope: Scope) -> tuple[str, ...]:
    return scope.ec2("key-pair", name=scope.config.ssh.key_pair or f"pio-tf-{scope.cluster}")


def _images(scope: Scope) -> Iterator[Grant]:
    """Grant the images by id if pio-tf.hcl has one, else by the owner that the filter or the parameter names."""
    blocks: tuple[MachineBlock, ...] = (scope.config.driver, scope.config.spark)
    ids = tuple(dict.fromkeys(scope.image(block.ami) for block in blocks if block.ami))
    owners = dict.fromkeys(_owner(block) for block in blocks if not block.ami)
    if ids:
        yield Grant("Images", "Use the images of pio-tf.hcl.", ids, _RUN)
    if owners:
        named = tuple(scope.account if owner == "self" else owner for owner in owners)
        conditions: Conditions = {} if ANY_ACCOUNT in named else {"StringEquals": {"ec2:Owner": named}}
        why = "Use images of the owner that pio-tf.hcl names; any, if it names only a parameter of the account."
        yield Grant("ImagesOfOwner", why, (scope.image(),), _RUN, conditions=conditions)


def _owner(block: MachineBlock) -> str:
    """Return the owner of a machine's image. Public parameters name their publisher; an own one, any image."""
    if block.ami_parameter is None:
        return (block.ami_filter or AmiFilter()).owner
    publisher = block.ami_parameter.removeprefix(PUBLIC_PARAMETERS).partition("/")[0]
    return _PUBLISHERS.get(publisher, ANY_ACCOUNT) if block.ami_parameter.startswith(PUBLIC_PARAMETERS) else ANY_ACCOUNT


def makes_network(scope: Scope) -> Iterator[Grant]:
    """Grant a VPC with its subnet and its route to the internet, if pio-tf.hcl asks for a new network."""
    if not scope.makes_network:
        return
    kinds, parents = ["vpc", "subnet"], ["vpc"]
    create, change = ["ec2:CreateVpc", "ec2:CreateSubnet"], ["ec2:CreateSubnet", "ec2:ModifyVpcAttribute"]
    if scope.config.network.public_ips:
        parents.append("subnet")
        change.append("ec2:ModifySubnetAttribute")
    if scope.makes_gateway:
        kinds.append("internet-gateway")
        parents.append("internet-gateway")
        create.append("ec2:CreateInternetGateway")
        change.append("ec2:AttachInternetGateway")
    why = "Create the cluster's network."
    yield Grant("MakeNetwork", why, scope.ec2(*kinds), tuple(create), conditions=scope.tagged)
    why = "Add to that network, and change its settings."
    yield Grant("ChangeNetwork", why, scope.ec2(*parents), tuple(change), conditions=scope.owned)
    if scope.makes_gateway:
        yield _route(scope, "MakeRoute", "ec2:CreateRoute")


def removes_network(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of that network."""
    if not scope.makes_network:
        return
    kinds, actions = ["vpc", "subnet"], ["ec2:DeleteSubnet", "ec2:DeleteVpc"]
    if scope.makes_gateway:
        kinds.append("internet-gateway")
        actions += ["ec2:DeleteInternetGateway", "ec2:DetachInternetGateway"]
        yield _route(scope, "RemoveRoute", "ec2:DeleteRoute")
    why = "Remove the cluster's network."
    yield Grant("RemoveNetwork", why, scope.ec2(*kinds), tuple(actions), conditions=scope.owned)


def _route(scope: Scope, sid: str, action: str) -> Grant:
    why = "Change the VPC's main route table, which AWS creates without tags: it holds the route to the internet."
    return Grant(sid, why, scope.ec2("route-table"), (action,), conditions=scope.untagged)


def makes_security_group(scope: Scope) -> Iterator[Grant]:
    """Grant the machines' security group and its rules."""
    vpc, create = scope.config.network.vpc_id, ("ec2:CreateSecurityGroup",)
    why, group = "Create the machines' security group.", scope.ec2("security-group")
    yield Grant("MakeSecurityGroup", why, group, create, conditions=scope.tagged)
    why = "Create it in the VPC."
    yield Grant(
        "MakeSecurityGroupInVpc", why, scope.ec2("vpc", name=vpc or "*"), create, conditions={} if vpc else scope.owned
    )
    why = "Change its rules. AWS adds one that allows all egress, which the provider removes."
    rules = (f"ec2:{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in ("Egress", "Ingress"))
    yield Grant("ChangeRules", why, group, tuple(rules), conditions=scope.owned)


def removes_security_group(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of the security group."""
    actions = ("ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress")
    why = "Remove the machines' security group and its rules."
    yield Grant("RemoveSecurityGroup", why, scope.ec2("security-group"), actions, conditions=scope.owned)


def makes_address(scope: Scope) -> Iterator[Grant]:
    """Grant the driver's Elastic IP."""
    if scope.config.network.driver_eip:
        why, actions = "Allocate the driver's address.", ("ec2:AllocateAddress",)
        yield Grant("MakeAddress", why, scope.ec2("elastic-ip"), actions, conditions=scope.tagged)
        yield from _associates_address(scope, "GiveAddress", "ec2:AssociateAddress")


def removes_address(scope: Scope) -> Iterator[Grant]:
    """Grant the release of the driver's Elastic IP."""
    if scope.config.network.driver_eip:
        why, actions = "Release the driver's address.", ("ec2:ReleaseAddress",)
        yield Grant("RemoveAddress", why, scope.ec2("elastic-ip"), actions, conditions=scope.owned)
        yield from _associates_address(scope, "TakeAddress", "ec2:DisassociateAddress")


def _associates_address(scope: Scope, sid: str, action: str) -> Iterator[Grant]:
    why = "Connect or disconnect the address and the driver."
    yield Grant(sid, why, scope.ec2("elastic-ip", "instance"), (action,), conditions=scope.owned)
    why = "Use the driver's interface, which AWS creates without tags; the address must still be the cluster's."
    untagged = {**scope.untagged, **_in_subnet(scope)}
    yield Grant(f"{sid}Interface", why, scope.ec2("network-interface"), (action,), conditions=untagged)


def tags(scope: Scope) -> Iterator[Grant]:
    """Grant tags on new resources, and later changes of tags on the cluster's.

    Tags decide what else is allowed. So only the call that creates a resource may set them.
    """
    calls = ["RunInstances", "CreateSecurityGroup"]
    calls += ["CreateVpc", "CreateSubnet"] if scope.makes_network else []
    calls += ["CreateInternetGateway"] if scope.makes_gateway else []
    calls += ["AllocateAddress"] if scope.config.network.driver_eip else []
    calls += ["ImportKeyPair"] if scope.config.ssh.key_pair is None else []
    calls += ["CreateVolume"] if _has_volumes(scope) else []
    create = ("ec2:CreateTags",)
    by_creation: Conditions = {"StringEquals": {"ec2:CreateAction": tuple(calls), **scope.tagged["StringEquals"]}}
    why = "Set tags in the call that creates a resource."
    yield Grant("TagAtCreation", why, scope.ec2("*"), create, conditions=by_creation)
    if not scope.config.machines.tag_disks_at_launch:
        why = "Tag new disks, which AWS creates with their machine and without tags. The modules make no others."
        types = tuple(dict.fromkeys(block.root_volume_type for block in (scope.config.driver, scope.config.spark)))
        kind = {"ec2:VolumeType": types, **scope.tagged["StringEquals"]}
        new: Conditions = {"StringEquals": kind, "Bool": {"ec2:Encrypted": "true"}, **scope.untagged}
        yield Grant("TagNewDisks", why, scope.ec2("volume"), create, conditions=new)
    why = "Change cluster.tags on the cluster's resources, but never the tag that makes them the cluster's."
    others: Conditions = {
        "ForAllValues:StringNotEquals": {"aws:TagKeys": CLUSTER_TAG},
        "Null": {"aws:TagKeys": "false"},  # a DeleteTags that names none removes all
        **scope.owned,
    }
    yield Grant("ChangeTags", why, scope.ec2("*"), (*create, "ec2:DeleteTags"), conditions=others)


def tags_adopted(scope: Scope) -> Iterator[Grant]:
    """Grant the tags on machines that exist already: those of pio-tf.hcl only, and not on another cluster's."""
    if scope.config.adopted:
        why = "Tag the machines of pio-tf.hcl, unless they carry the tag of another cluster."
        yield Grant("TagMachines", why, _adopted(scope), ("ec2:CreateTags", "ec2:DeleteTags"), conditions=_ours(scope))


def untags_adopted(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of these tags."""
    if scope.config.adopted:
        why = "Remove pio-tf's tags from the machines of pio-tf.hcl."
        yield Grant("UntagMachines", why, _adopted(scope), ("ec2:DeleteTags",), conditions=_ours(scope))


def _adopted(scope: Scope) -> tuple[str, ...]:
    return tuple(arn for one in scope.config.machines.ids.values() for arn in scope.ec2("instance", name=one))


def _ours(scope: Scope) -> Conditions:
    """Return the conditions for tags on machines that exist already."""
    return {
        "ForAllValues:StringEquals": {"aws:TagKeys": (CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, *scope.config.cluster.tags)},
        "Null": {"aws:TagKeys": "false"},  # a DeleteTags that names none removes all
        "StringEqualsIfExists": {f"ec2:ResourceTag/{CLUSTER_TAG}": scope.cluster},
    }


def reads_of_stack(scope: Scope) -> Iterator[Grant]:
    """Grant Terraform's refresh, and finding machines by their tag."""
    config, wanted, newer = scope.config, [*_READS], [*_NEWER_READS]
    if config.adopted:
        yield _read(scope, "Read what exists.", _ADOPTED_READS, _NEWER_ADOPTED_READS, ["ec2:DescribeInstances"])
        return
    if scope.makes_network:
        wanted += ["ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables", "ec2:DescribeVpcAttribute"]
        wanted += ["ec2:DescribeVpcClassicLink", "ec2:DescribeVpcClassicLinkDnsSupport"]  # until version 4
    if scope.makes_gateway:
        wanted += ["ec2:DescribeInternetGateways"]
    if config.network.driver_eip:
        wanted += ["ec2:DescribeAddresses"]
        newer += ["ec2:DescribeAddressesAttribute"]
    if config.ssh.key_pair is None:
        wanted += ["ec2:DescribeKeyPairs"]
    if any(kind.startswith(_BURSTABLE) for one in config.type_lists for kind in one.types):
        newer += ["ec2:DescribeInstanceCreditSpecifications"]
    yield _read(scope, "Read what exists.", wanted, newer, ["ec2:DescribeInstances"])


def reads_of_references(scope: Scope) -> Iterator[Grant]:
    """Grant the checks before a plan: whether everything that pio-tf.hcl names exists and fits."""
    network, ours = scope.config.network, ["ec2:DescribeImages", "ec2:DescribeInstanceTypes"]
    if network.subnet_id is not None:
        ours += ["ec2:DescribeSubnets", "ec2:DescribeVpcs"]
    if network.security_group_ids:
        ours += ["ec2:DescribeSecurityGroups"]
    if network.subnet_id is not None or network.availability_zone is not None:
        ours += ["ec2:DescribeAvailabilityZones", "ec2:DescribeInstanceTypeOfferings"]
    if scope.config.ssh.key_pair is not None:
        ours += ["ec2:DescribeKeyPairs"]
    yield _read(scope, "Check that everything that pio-tf.hcl names exists and fits.", ours=ours)


def reads_of_changes(scope: Scope) -> Iterator[Grant]:
    """Grant following a disk that grows, for an apply."""
    yield _read(scope, "Check whether a disk has grown.", ["ec2:DescribeVolumesModifications"])
    if scope.config.machines.has_profile:
        yield _read(scope, "Read instance profiles of machines.", ["ec2:DescribeIamInstanceProfileAssociations"])


def reads_of_removals(scope: Scope) -> Iterator[Grant]:
    """Grant the check of what is left in the network, for a destroy."""
    yield _read(scope, "Check whether a network is empty.", ["ec2:DescribeNetworkInterfaces"])
    ours = ["ec2:DescribeInstanceAttribute"]
    yield _read(scope, "Check whether AWS would refuse to terminate machines.", ours=ours)


def reads_of_machines(scope: Scope) -> Iterator[Grant]:
    """Grant finding machines by their tag, and reading what their types offer, for a training."""
    ours = ["ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypes", "ec2:DescribeInstances"]
    yield _read(scope, "Read which machines exist, and their size.", ours=ours)


def reads_of_clusters(scope: Scope) -> Iterator[Grant]:
    """Grant finding the machines, disks and addresses of all clusters, by their tags."""
    ours = ["ec2:DescribeAddresses", "ec2:DescribeInstances", "ec2:DescribeVolumes"]
    yield _read(scope, "Read the machines of all clusters, their disks and their addresses.", ours=ours)


def reads_of_account(scope: Scope) -> Iterator[Grant]:
    """Grant reading networks, names of instances, key pairs and offered types, for a first pio-tf.hcl."""
    ours = [
        "ec2:DescribeInstanceTypeOfferings",
        "ec2:DescribeInstances",
        "ec2:DescribeKeyPairs",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ]
    yield _read(scope, "Read what a first pio-tf.hcl can use.", ours=ours)


def _read(
    scope: Scope,
    why: str,
    terraform: Sequence[str] = (),
    newer: Sequence[str] = (),
    ours: Sequence[str] = (),
) -> Grant:
    """Return a grant of reads, which EC2 can limit only to a region."""
    conditions: Conditions = {"StringEquals": {"ec2:Region": scope.config.aws.region}}
    return Grant("Look", why, ("*",), tuple(terraform), tuple(newer), tuple(ours), conditions)
