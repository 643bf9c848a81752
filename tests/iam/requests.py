"""IAM's requests for a call: actions, resources and condition keys, after AWS's service authorization reference."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from tests.support.iam_policies import Request, Resource
from tests.support.recording_aws import ACCOUNT, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.recording_aws import Call

_REGION = {"ec2:Region": REGION}
_KINDS = {
    "i": "instance",
    "vol": "volume",
    "vpc": "vpc",
    "subnet": "subnet",
    "sg": "security-group",
    "igw": "internet-gateway",
    "rtb": "route-table",
    "eipalloc": "elastic-ip",
    "key": "key-pair",
}
_TOUCHES = {
    "AssociateAddress": ("AllocationId", "InstanceId"),
    "AssociateIamInstanceProfile": ("InstanceId",),
    "AttachVolume": ("InstanceId", "VolumeId"),
    "AttachInternetGateway": ("InternetGatewayId", "VpcId"),
    "AuthorizeSecurityGroupEgress": ("GroupId",),
    "AuthorizeSecurityGroupIngress": ("GroupId",),
    "CreateRoute": ("RouteTableId",),
    "CreateSecurityGroup": ("VpcId",),
    "CreateSubnet": ("VpcId",),
    "CreateTags": ("ResourceId.1",),
    "DeleteInternetGateway": ("InternetGatewayId",),
    "DeleteRoute": ("RouteTableId",),
    "DeleteSecurityGroup": ("GroupId",),
    "DeleteSubnet": ("SubnetId",),
    "DeleteTags": ("ResourceId.1",),
    "DeleteVolume": ("VolumeId",),
    "DeleteVpc": ("VpcId",),
    "DetachInternetGateway": ("InternetGatewayId", "VpcId"),
    "GetConsoleOutput": ("InstanceId",),
    "ModifyInstanceAttribute": ("InstanceId",),
    "ModifyInstanceMetadataOptions": ("InstanceId",),
    "ModifyNetworkInterfaceAttribute": ("SecurityGroupId.1", "SecurityGroupId.2"),
    "ModifySubnetAttribute": ("SubnetId",),
    "ModifyVolume": ("VolumeId",),
    "ModifyVpcAttribute": ("VpcId",),
    "ReleaseAddress": ("AllocationId",),
    "RevokeSecurityGroupEgress": ("GroupId",),
    "RevokeSecurityGroupIngress": ("GroupId",),
    "RunInstances": (
        "NetworkInterface.1.SubnetId",
        "NetworkInterface.1.SecurityGroupId.1",
        "SubnetId",
        "SecurityGroupId.1",
    ),
}
"""Parameters that name what must be there already. Those of many machines are InstanceId.1, InstanceId.2, …"""
_MANY = ("StartInstances", "StopInstances", "TerminateInstances")
_MAKES = {
    "AllocateAddress": "elastic-ip",
    "CreateInternetGateway": "internet-gateway",
    "CreateSecurityGroup": "security-group",
    "CreateSubnet": "subnet",
    "CreateVolume": "volume",
    "CreateVpc": "vpc",
    "ImportKeyPair": "key-pair",
    "RunInstances": "instance",
}
"""What a call makes, which gets the tags that it carries."""


_NAMED = {"cloudtrail": "", "kms": "KeyId", "sns": "TopicArn"}
"""The parameter that holds the ARN of what a call is about, by service; empty: it is about everything."""


def requests(call: Call, *, image_owner: str) -> Iterator[Request]:
    """Yield the requests of a call. The policy must allow them all.

    Raises:
        KeyError: this module does not know the call yet.
    """
    if call.service == "ec2":
        yield from _ec2(call, image_owner)
    elif call.service == "s3":
        yield _s3(call)
    elif call.service == "scheduler":
        yield from _scheduler(call)
    elif call.service == "iam":
        yield from _iam(call)
    elif call.service == "monitoring":
        actions = tuple(value for name, value in call.parameters.items() if name.startswith("AlarmActions."))
        context = {"cloudwatch:AlarmActions": actions} if actions else {}
        yield Request(f"cloudwatch:{call.operation}", (Resource(_alarm(call.parameters)),), context)
    elif call.service == "events":
        yield from _events(call)
    elif call.service in _NAMED:
        arn = call.parameters.get(_NAMED[call.service], "*")
        yield Request(f"{call.service}:{call.operation}", (Resource(arn),))
    elif call.service in ("ssm", "secretsmanager"):
        yield _secrets(call)
    elif call.service == "es":
        action = "ListDomainNames" if call.path.endswith("/domain") else "DescribeDomains"
        yield Request(f"es:{action}", (Resource("*"),))
    elif call.operation == "AssumeRole":
        yield Request("sts:AssumeRole", (Resource(call.parameters["RoleArn"]),))
    else:
        assert (call.service, call.operation) == ("sts", "GetCallerIdentity"), call
        yield Request("sts:GetCallerIdentity", (Resource("*"),))


def _secrets(call: Call) -> Request:
    if call.service == "ssm":
        arns = [f"parameter/{name.lstrip('/')}" for name in call.parameters.get("Names") or [call.parameters["Name"]]]
    else:
        arns = [f"secret:{call.parameters['SecretId']}-a1B2c3"]
    resources = tuple(Resource(f"arn:aws:{call.service}:{REGION}:{ACCOUNT}:{arn}") for arn in arns)
    return Request(f"{call.service}:{call.operation}", resources)


def _iam(call: Call) -> Iterator[Request]:
    said, action = call.parameters, f"iam:{call.operation}"
    role = Resource(f"arn:aws:iam::{ACCOUNT}:role/pio-tf/{said.get('RoleName')}")
    if "InstanceProfileName" not in said:
        yield Request(action, (role,), call.keys.get(said["RoleName"], {}))
        return
    path = "pio-tf/" if call.by == "terraform" else ""
    yield Request(action, (Resource(f"arn:aws:iam::{ACCOUNT}:instance-profile/{path}{said['InstanceProfileName']}"),))
    if call.operation == "AddRoleToInstanceProfile":
        yield Request("iam:PassRole", (role,), {"iam:PassedToService": "ec2.amazonaws.com"})
    if any(name.startswith("Tags.") for name in said):
        profile = Resource(f"arn:aws:iam::{ACCOUNT}:instance-profile/{path}{said['InstanceProfileName']}")
        yield Request("iam:TagInstanceProfile", (profile,))


_SCHEDULES = {"POST": "Create", "PUT": "Update", "GET": "Get", "DELETE": "Delete"}


def _scheduler(call: Call) -> Iterator[Request]:
    if call.path == "/schedules":
        yield Request("scheduler:ListSchedules", (Resource("*"),))
        return
    name = call.path.removeprefix("/schedules/")
    group = call.query.get("groupName") or call.parameters["GroupName"]
    arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}"
    yield Request(f"scheduler:{_SCHEDULES[call.operation]}Schedule", (Resource(arn),))
    if "Target" in call.parameters:
        role = Resource(call.parameters["Target"]["RoleArn"])
        yield Request("iam:PassRole", (role,), {"iam:PassedToService": "scheduler.amazonaws.com"})


def _events(call: Call) -> Iterator[Request]:
    said = call.parameters
    name = said.get("Rule") or said.get("Name")
    rule = Resource(f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}" if name else said["ResourceARN"])
    targets = tuple(target["Arn"] for target in said.get("Targets", ()))
    yield Request(f"events:{call.operation}", (rule,), {"events:TargetArn": targets} if targets else {})
    if call.operation == "PutRule" and said.get("Tags"):
        yield Request("events:TagResource", (rule,))


def _alarm(said: dict[str, Any]) -> str:
    name = said.get("AlarmName") or said.get("AlarmNames.member.1")
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}" if name else str(said["ResourceARN"])


def _s3(call: Call) -> Request:
    bucket, _, key = call.path.removeprefix("/").partition("/")
    action = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
    if not key:
        assert call.operation == "HEAD" or "list-type" in call.query, call
        return Request("s3:ListBucket", (Resource(f"arn:aws:s3:::{bucket}"),))
    return Request(f"s3:{action[call.operation]}", (Resource(f"arn:aws:s3:::{bucket}/{key}"),))


def _ec2(call: Call, image_owner: str) -> Iterator[Request]:
    action, said = f"ec2:{call.operation}", call.parameters
    if call.operation.startswith("Describe"):
        yield Request(action, (Resource("*"),), _REGION)
        return
    named = [name for name in said if re.fullmatch(r"InstanceId\.\d+", name)] if call.operation in _MANY else []
    there = [_there(call, said[name]) for name in (*_TOUCHES.get(call.operation, ()), *named) if name in said]
    given = _given(call, "TagSpecification.1.Tag" if call.operation in _MAKES else "Tag")
    if call.operation in _MAKES:
        name = said.get("KeyName", "new-1") if call.operation == "ImportKeyPair" else "new-1"
        new = _arn(_MAKES[call.operation], name)
        kind = {"ec2:InstanceType": said["InstanceType"]} if call.operation == "RunInstances" else {}
        if call.operation == "CreateVolume":
            kind = {"ec2:Encrypted": said["Encrypted"], "ec2:VolumeType": said["VolumeType"]}
        there.append(Resource(new, {**given, **kind}))
        if given:
            yield Request("ec2:CreateTags", (Resource(new),), {**_REGION, **given, "ec2:CreateAction": call.operation})
    if "IamInstanceProfile.Name" in said:
        path = "pio-tf/" if said["IamInstanceProfile.Name"].startswith("pio-ec2-") else ""
        role = Resource(f"arn:aws:iam::{ACCOUNT}:role/{path}{said['IamInstanceProfile.Name']}")
        yield Request("iam:PassRole", (role,), {"iam:PassedToService": "ec2.amazonaws.com"})
    if call.operation == "RunInstances":
        image = Resource(f"arn:aws:ec2:{REGION}::image/{said['ImageId']}", {"ec2:Owner": image_owner})
        subnet = said.get("SubnetId") or said["NetworkInterface.1.SubnetId"]
        # It does not exist yet, so it has no id.
        interface = Resource(_arn("network-interface", "*"), {"ec2:Subnet": _arn("subnet", subnet)})
        there += [image, Resource(_arn("volume", "*")), interface]
        there.append(Resource(_arn("key-pair", said["KeyName"])))
    if call.operation == "DeleteKeyPair":
        there.append(Resource(_arn("key-pair", said["KeyName"])))
    if call.operation == "ModifyNetworkInterfaceAttribute":
        found = ec2_backends[ACCOUNT][REGION].enis[said["NetworkInterfaceId"]]
        subnet = {"ec2:Subnet": _arn("subnet", found.subnet.id)}
        there.append(Resource(_arn("network-interface", found.id), subnet))
    if call.operation in ("AssociateAddress", "DisassociateAddress"):
        there.append(Resource(_arn("network-interface", "eni-1")))
        there += [
            _there(call, name) for name in call.tags if name.startswith("eipalloc-") and name not in said.values()
        ]
    if not there:
        raise KeyError(call.operation)
    context = {**_REGION, **given} if call.operation.endswith("Tags") else _REGION
    if "InstanceType.Value" in said:
        context = {**context, "ec2:Attribute/InstanceType": said["InstanceType.Value"]}
    yield Request(action, tuple(there), context)


def _there(call: Call, name: str) -> Resource:
    context = {f"ec2:ResourceTag/{key}": value for key, value in call.tags.get(name, {}).items()}
    context |= call.keys.get(name, {})
    return Resource(_arn(_KINDS[name.partition("-")[0]], name), context)


def _given(call: Call, prefix: str) -> dict[str, str | tuple[str, ...]]:
    keys = [name for name in call.parameters if re.fullmatch(rf"{re.escape(prefix)}\.\d+\.Key", name)]
    values: dict[str, str | tuple[str, ...]] = {
        f"aws:RequestTag/{call.parameters[name]}": call.parameters.get(name.removesuffix("Key") + "Value", "")
        for name in keys
    }
    return {**values, "aws:TagKeys": tuple(call.parameters[name] for name in keys)} if keys else {}


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{name}"
