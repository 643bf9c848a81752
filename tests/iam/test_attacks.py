"""Attacks with a stolen role of a pipeline: every policy that pio-tf writes refuses each of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.load import load_config
from pio_tf.iam import ROLES, policies
from tests.support.iam_policies import Request, Resource, allowed, used
from tests.support.shell import Project

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "123456789012"
OWN = {"ec2:ResourceTag/pio-tf:cluster": "ur"}
SESSION_TAG = {"ssm:resourceTag/pio-tf:cluster": "ur"}
FOREIGN = {"ec2:ResourceTag/pio-tf:cluster": "other"}
REQUESTED = {"aws:RequestTag/pio-tf:cluster": "ur", "aws:TagKeys": ("pio-tf:cluster",)}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pio-tf/pio-tf-ur-us-east-1"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/pio-tf/pio-tf-ur-us-east-1-boundary"
STOP = "arn:aws:automate:us-east-1:ec2:stop"
SUBNET = "subnet-0a1b2c3d"
ELSEWHERE = {"ec2:Subnet": f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-99999999"}
WORLDS = {
    "own network": 'cidr = "10.0.0.0/24"\npublic_ips = true\ndriver_eip = true',
    "given network": f'vpc_id = "vpc-0a1b2c3d"\nsubnet_id = "{SUBNET}"\ndriver_eip = true',
}


def ec2(kind: str, name: str = "*", **context: Any) -> Resource:  # noqa: ANN401
    return Resource(f"arn:aws:ec2:us-east-1:{ACCOUNT}:{kind}/{name}", context)


def tagged(kind: str, name: str, tags: Mapping[str, str]) -> Resource:
    return Resource(f"arn:aws:ec2:us-east-1:{ACCOUNT}:{kind}/{name}", tags)


@dataclass(frozen=True)
class Attack:
    """Requests that the policy must refuse, each one."""

    what: str
    requests: tuple[Request, ...]


def attack(what: str, *requests: Request) -> Attack:
    return Attack(what, requests)


def iam(action: str, arn: str = ROLE, **context: str) -> Request:
    keys = {f"iam:{name}": value for name, value in context.items()}
    return Request(f"iam:{action}", (Resource(arn),), keys)


def launch(*, interface: Resource | None = None, instance: Mapping[str, Any] = REQUESTED) -> Request:
    """Return a permitted RunInstances request, with these changes."""
    own = (ec2("subnet", SUBNET, **OWN), tagged("security-group", "sg-1", OWN), ec2("volume"))
    image = Resource("arn:aws:ec2:us-east-1::image/ami-1", {"ec2:Owner": "099720109477"})
    key = ec2("key-pair", "pio-tf-ur")
    new = interface or ec2("network-interface", **{"ec2:Subnet": ec2("subnet", SUBNET).arn})
    machine = ec2("instance", **{**instance, "ec2:InstanceType": "m5.large"})
    return Request("ec2:RunInstances", (machine, *own, image, key, new), {"ec2:Region": "us-east-1"})


def session(tags: Mapping[str, str], *, document: str = "AWS-StartSSHSession", checked: str = "true") -> Request:
    """Return a StartSession request for a machine with these tags."""
    machine = tagged("instance", "i-1", {**tags, "ssm:SessionDocumentAccessCheck": checked})
    return Request("ssm:StartSession", (machine, Resource(f"arn:aws:ssm:us-east-1::document/{document}")))


def set_type(kind: str) -> dict[str, str]:
    return {"ec2:Region": "us-east-1", "ec2:Attribute": "InstanceType", "ec2:Attribute/InstanceType": kind}


ATTACKS = [
    attack("a role with any permission", iam("CreateRole"), iam("PutRolePolicy")),
    attack(
        "a role with a boundary of one's own",
        iam("CreateRole", PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"),
        iam("PutRolePolicy", PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"),
        iam("PutRolePermissionsBoundary", PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"),
    ),
    attack(
        "a role of another name, path or cluster",
        *(
            iam(action, f"arn:aws:iam::{ACCOUNT}:role/{name}", PermissionsBoundary=BOUNDARY)
            for action in ("CreateRole", "PutRolePolicy", "PutRolePermissionsBoundary")
            for name in (
                "admin",
                "pio-tf-ur-us-east-1",
                "pio-tf/pio-tf-other-us-east-1",
                "pio-tf/pio-tf-ur-us-east-1-x",
            )
        ),
    ),
    attack("the role without its boundary", iam("DeleteRolePermissionsBoundary", PermissionsBoundary=BOUNDARY)),
    attack(
        "a managed policy, or trust for somebody else",
        iam("AttachRolePolicy", PermissionsBoundary=BOUNDARY, PolicyARN="arn:aws:iam::aws:policy/AdministratorAccess"),
        iam("UpdateAssumeRolePolicy", PermissionsBoundary=BOUNDARY),
        iam("UpdateRole"),
        iam("CreateUser", f"arn:aws:iam::{ACCOUNT}:user/pio-tf/evil", PermissionsBoundary=BOUNDARY),
        iam("CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/admin"),
    ),
    attack(
        "a change of the boundary itself",
        *(
            iam(action, BOUNDARY)
            for action in ("CreatePolicy", "CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion")
        ),
        iam("DeletePolicy", BOUNDARY),
    ),
    attack(
        "a role for something else than EventBridge Scheduler",
        iam("PassRole", PassedToService="ec2.amazonaws.com"),
        iam("PassRole", PassedToService="lambda.amazonaws.com"),
        iam("PassRole"),
    ),
    attack(
        "another role for EventBridge Scheduler",
        iam("PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", PassedToService="scheduler.amazonaws.com"),
        iam("PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", PassedToService="ec2.amazonaws.com"),
        iam("PassRole", f"arn:aws:iam::{ACCOUNT}:role/pio-tf/pio-ec2-ur-us-east-1"),
        iam(
            "PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/pio-tf/pio-tf-other-us-east-1",
            PassedToService="scheduler.amazonaws.com",
        ),
    ),
    attack("another role", Request("sts:AssumeRole", (Resource(f"arn:aws:iam::{ACCOUNT}:role/admin"),))),
    attack(
        "another service's linked role",
        iam(
            "CreateServiceLinkedRole",
            f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
            AWSServiceName="ecs.amazonaws.com",
        ),
    ),
    attack(
        "an alarm that terminates, reboots or calls something",
        *(
            Request(
                "cloudwatch:PutMetricAlarm",
                (Resource(f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:pio-tf/ur/driver/idle"),),
                {"cloudwatch:AlarmActions": (STOP, action)},
            )
            for action in (
                "arn:aws:automate:us-east-1:ec2:terminate",
                "arn:aws:automate:us-east-1:ec2:reboot",
                f"arn:aws:sns:us-east-1:{ACCOUNT}:evil",
                f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:evil",
                f"arn:aws:ssm:us-east-1:{ACCOUNT}:opsitem:1",
            )
        ),
    ),
    attack(
        "alarms of others",
        *(
            Request(f"cloudwatch:{action}", (Resource(f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{name}"),))
            for action in ("PutMetricAlarm", "DeleteAlarms", "TagResource", "DisableAlarmActions")
            for name in ("pio-tf/other/driver/idle", "theirs")
        ),
    ),
    attack(
        "the cluster's tag on what others made",
        *(
            Request("ec2:CreateTags", (tagged(kind, name, tags),), {**REQUESTED, "ec2:Region": "us-east-1"})
            for kind, name, tags in (
                ("instance", "i-1", {}),
                ("instance", "i-1", FOREIGN),
                ("security-group", "sg-1", {}),
                ("subnet", "subnet-1", {}),
                ("vpc", "vpc-1", {}),
                ("elastic-ip", "eipalloc-1", {}),
                ("route-table", "rtb-1", {}),
                ("network-interface", "eni-1", {}),
                ("snapshot", "snap-1", {}),
                ("image", "ami-1", {}),
                ("volume", "vol-1", FOREIGN),
                ("volume", "vol-1", {"ec2:Encrypted": "false", "ec2:VolumeType": "gp3"}),
                ("volume", "vol-1", {"ec2:Encrypted": "true", "ec2:VolumeType": "io2"}),
                (
                    "volume",
                    "vol-1",
                    {"ec2:Encrypted": "true", "ec2:VolumeType": "gp3", "ec2:ResourceTag/Name": "database"},
                ),
            )
        ),
    ),
    attack(
        "another cluster's tag, on the own machines and on new ones",
        Request(
            "ec2:CreateTags",
            (tagged("instance", "i-1", OWN),),
            {"aws:RequestTag/pio-tf:cluster": "other", "aws:TagKeys": ("pio-tf:cluster",)},
        ),
        Request(
            "ec2:CreateTags",
            (ec2("instance"),),
            {"aws:RequestTag/pio-tf:cluster": "other", "ec2:CreateAction": "RunInstances"},
        ),
        Request("ec2:DeleteTags", (tagged("instance", "i-1", OWN),), {"aws:TagKeys": ("team", "pio-tf:cluster")}),
        Request("ec2:DeleteTags", (tagged("instance", "i-1", OWN),)),  # all tags
    ),
    attack(
        "routes on tables of others",
        *(
            Request(f"ec2:{action}", (tagged("route-table", "rtb-1", tags),), {"ec2:Region": "us-east-1"})
            for action in ("CreateRoute", "DeleteRoute", "ReplaceRoute")
            for tags in (FOREIGN, {"ec2:ResourceTag/Name": "private"})
        ),
    ),
    attack(
        "a machine with an interface of others",
        launch(interface=ec2("network-interface", "eni-1", **{"ec2:NetworkInterfaceID": "eni-1", **ELSEWHERE})),
        launch(
            interface=ec2(
                "network-interface",
                "eni-1",
                **{"ec2:NetworkInterfaceID": "eni-1", "ec2:Subnet": ec2("subnet", SUBNET).arn},
            )
        ),
    ),
    attack(
        "machines without the cluster's tag, or with another's",
        launch(instance={}),
        launch(instance={"aws:RequestTag/pio-tf:cluster": "other"}),
    ),
    attack(
        "machines of others",
        *(
            Request(f"ec2:{action}", (tagged("instance", "i-1", tags),), {"ec2:Region": "us-east-1"})
            for action in (
                "StartInstances",
                "StopInstances",
                "RebootInstances",
                "TerminateInstances",
                "ModifyInstanceAttribute",
                "GetConsoleOutput",
                "GetPasswordData",
            )
            for tags in ({}, FOREIGN)
        ),
    ),
    attack(
        "another type for machines of others",
        *(
            Request("ec2:ModifyInstanceAttribute", (tagged("instance", "i-1", tags),), set_type("r5.xlarge"))
            for tags in ({}, FOREIGN)
        ),
    ),
    attack(
        "disks of others, and copies of any",
        *(
            Request(f"ec2:{action}", (tagged("volume", "vol-1", tags),))
            for action in ("ModifyVolume", "DeleteVolume", "AttachVolume", "DetachVolume")
            for tags in ({}, FOREIGN)
        ),
        Request("ec2:CreateSnapshot", (tagged("volume", "vol-1", OWN),)),
        Request("ec2:CreateImage", (tagged("instance", "i-1", OWN),)),
    ),
    attack(
        "security groups and addresses of others",
        *(
            Request(f"ec2:{action}", (tagged("security-group", "sg-1", tags),))
            for action in ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "DeleteSecurityGroup")
            for tags in ({}, FOREIGN)
        ),
        *(
            Request(f"ec2:{action}", (tagged("elastic-ip", "eipalloc-1", tags),))
            for action in ("ReleaseAddress", "DisassociateAddress")
            for tags in ({}, FOREIGN)
        ),
        Request(
            "ec2:AssociateAddress",
            (
                tagged("elastic-ip", "eipalloc-1", OWN),
                tagged("instance", "i-1", OWN),
                tagged("network-interface", "eni-1", {"ec2:ResourceTag/Name": "theirs", **ELSEWHERE}),
            ),
        ),
    ),
    attack(
        "deadlines of others",
        *(
            Request(
                f"scheduler:{action}Schedule", (Resource(f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/{name}"),)
            )
            for action in ("Create", "Update", "Delete")
            for name in ("default/pio-tf-other", "default/pio-tf-ur-2.1", "default/theirs", "theirs/pio-tf-ur")
        ),
    ),
    attack(
        "sessions on machines of others, or that are no SSH",
        session({"ssm:resourceTag/pio-tf:cluster": "other"}),
        session({}),
        session(SESSION_TAG, document="SSM-SessionManagerRunShell"),
        session(SESSION_TAG, checked="false"),
        Request("ssm:TerminateSession", (Resource(f"arn:aws:ssm:us-east-1:{ACCOUNT}:session/theirs-1"),)),
    ),
    attack(
        "objects and secrets of others",
        *(
            Request(f"s3:{action}", (Resource(f"arn:aws:s3:::states/{key}"),))
            for action in ("GetObject", "PutObject", "DeleteObject")
            for key in ("pio-tf/other/terraform.tfstate", "theirs")
        ),
        Request("s3:DeleteObject", (Resource("arn:aws:s3:::states/pio-tf/ur/terraform.tfstate"),)),
        *(
            Request(f"s3:{action}", (Resource(f"arn:aws:s3:::states/{key}"),))
            for action, key in (
                ("DeleteObject", "pio-tf/ur/runs/20261123T182359Z-3f9c/record.json"),
                ("DeleteObject", "pio-tf/other/run.lock"),
                ("PutObject", "pio-tf/other/run.lock"),
            )
        ),
        Request("s3:PutBucketPolicy", (Resource("arn:aws:s3:::states"),)),
        Request("ssm:GetParameters", (Resource(f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/theirs"),)),
        Request("ssm:SendCommand", (tagged("instance", "i-1", OWN),)),
        Request(
            "secretsmanager:GetSecretValue",
            (Resource(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:theirs-a1B2c3"),),
        ),
    ),
]
"""Refused to every role."""


@pytest.fixture(params=WORLDS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    project = Project(tmp_path, name="ur")
    project.write(
        network=WORLDS[request.param],
        terraform='backend "s3" {\n  bucket = "states"\n}',
        elasticsearch='hosts = ["es"]\nuser = "pio"\npassword = ssm("/pio/es")',
        failsafe=f'permissions_boundary = "{BOUNDARY}"',
        ssh='key = "id_ed25519"\nvia = "ssm"',
        driver='instance_types = ["r3.xlarge", "r5.xlarge"]',
    )
    return project


def document(project: Project, role: str, *, account: str = ACCOUNT) -> dict[str, Any]:
    config = load_config(project.directory / "pio-tf.hcl", environ={})
    return policies(config, role, account=account)[0].document


NAMES = [role.name for role in ROLES if role.name not in ("mirror", "engine", "assume")]


@pytest.mark.parametrize("account", [ACCOUNT, ""])
@pytest.mark.parametrize("role", NAMES)
def test_no_role_can_be_used_for_an_attack(project: Project, role: str, account: str) -> None:
    found = document(project, role, account=account)
    for one in ATTACKS:
        for request in one.requests:
            assert used(found, request) is None, f"{one.what}: {request} {request.resources}"


def test_what_an_attack_differs_in_from_a_right_request_is_what_is_refused(project: Project) -> None:
    """Allow each attack's request with the cluster's own resources: no attack fails for another reason."""
    found = document(project, "apply")
    alarm = Resource(f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:pio-tf/ur/driver/idle")
    disk = {"ec2:Encrypted": "true", "ec2:VolumeType": "gp3"}
    inside = {"ec2:Subnet": ec2("subnet", SUBNET).arn}
    own = tagged("instance", "i-1", OWN)
    for request in (
        launch(),
        iam("CreateRole", PermissionsBoundary=BOUNDARY),
        iam("PutRolePolicy", PermissionsBoundary=BOUNDARY),
        iam("PutRolePermissionsBoundary", PermissionsBoundary=BOUNDARY),
        iam("PassRole", PassedToService="scheduler.amazonaws.com"),
        Request("cloudwatch:PutMetricAlarm", (alarm,), {"cloudwatch:AlarmActions": (STOP,)}),
        Request("ec2:CreateTags", (tagged("volume", "vol-1", disk),), REQUESTED),
        Request("ec2:CreateTags", (own,), {"aws:RequestTag/team": "a", "aws:TagKeys": ("team",)}),
        Request("ec2:DeleteTags", (own,), {"aws:TagKeys": ("team",)}),
        Request("ec2:StopInstances", (own,)),
        Request("ec2:AuthorizeSecurityGroupIngress", (tagged("security-group", "sg-1", OWN),)),
        Request(
            "ec2:AssociateAddress",
            (tagged("elastic-ip", "eipalloc-1", OWN), own, tagged("network-interface", "eni-1", inside)),
        ),
    ):
        assert used(found, request) is not None, request
    assert used(document(project, "ssh"), session(SESSION_TAG)) is not None


@pytest.mark.parametrize("role", ["train", "schedule"])
def test_a_role_that_starts_machines_may_give_them_types_of_pio_tf_hcl_and_change_nothing_else(
    project: Project, role: str
) -> None:
    found, own = document(project, role), (tagged("instance", "i-1", OWN),)
    for kind, granted in {"r3.xlarge": True, "r5.xlarge": True, "m5.large": True, "p5.48xlarge": False}.items():
        change = Request("ec2:ModifyInstanceAttribute", own, set_type(kind))
        assert (used(found, change) is not None) is granted, kind
    for name in ("UserData", "DisableApiStop", "InstanceInitiatedShutdownBehavior", "GroupSet"):
        keys = {"ec2:Region": "us-east-1", "ec2:Attribute": name, f"ec2:Attribute/{name}": "true"}
        assert used(found, Request("ec2:ModifyInstanceAttribute", own, keys)) is None
    assert used(found, Request("ec2:ModifyInstanceAttribute", own, {"ec2:Region": "us-east-1"})) is None


def test_a_role_that_starts_machines_of_one_type_may_change_no_attribute(tmp_path: Path) -> None:
    project = Project(tmp_path, name="ur")
    project.write()
    change = Request("ec2:ModifyInstanceAttribute", (tagged("instance", "i-1", OWN),), set_type("m5.large"))
    assert used(document(project, "train"), change) is None


def test_the_boundary_leaves_a_role_with_every_permission_the_stop_of_the_cluster_s_machines(project: Project) -> None:
    everything = {"Statement": [{"Sid": "All", "Effect": "Allow", "Action": ["*"], "Resource": ["*"]}]}
    limit = document(project, "boundary")
    stop = Request("ec2:StopInstances", (tagged("instance", "i-1", OWN),))
    assert allowed(stop, everything, limit)
    refused = [
        Request("ec2:StopInstances", (tagged("instance", "i-1", FOREIGN),)),
        Request("ec2:StopInstances", (tagged("instance", "i-1", {}),)),
        Request("ec2:TerminateInstances", (tagged("instance", "i-1", OWN),)),
        *(request for one in ATTACKS for request in one.requests),
    ]
    assert [str(request) for request in refused if allowed(request, everything, limit)] == []


def actions_of_roles() -> list[set[str]]:
    """Return the actions that the module gives the role for deadlines, and the one for schedules."""
    text = (Path(__file__).parents[2] / "terraform/modules/failsafe/main.tf").read_text()
    found = re.findall(r'resource "aws_iam_role_policy" .*?\n}\n', text, flags=re.DOTALL)
    return [set(re.findall(r'"(ec2:\w+)"', policy)) for policy in found]


def test_the_boundary_allows_all_that_the_module_gives_the_role(project: Project) -> None:
    (statement,) = document(project, "boundary")["Statement"]
    assert actions_of_roles()[0] == {"ec2:StopInstances"} == set(statement["Action"])
    assert statement["Condition"] == {"StringEquals": OWN}


def test_with_a_schedule_the_boundary_allows_marks_and_starts_of_marked_machines_too(project: Project) -> None:
    path = project.directory / "pio-tf.hcl"
    path.write_text(path.read_text() + "schedule {\n}\n")
    statements = document(project, "boundary")["Statement"]
    assert actions_of_roles()[1] == {action for one in statements for action in one["Action"]}
    marked = {**OWN, "ec2:ResourceTag/pio-tf:scheduled-start": "abc 2026-11-29T02:00:00Z"}
    boundary = document(project, "boundary")
    for what, tags, keys, expected in (
        ("StartInstances", marked, (), True),
        ("StartInstances", OWN, (), False),
        ("CreateTags", OWN, ("pio-tf:scheduled-start",), True),
        ("CreateTags", OWN, ("pio-tf:cluster",), False),
    ):
        request = Request(f"ec2:{what}", (tagged("instance", "i-1", tags),), {"aws:TagKeys": keys} if keys else {})
        assert (used(boundary, request) is not None) == expected, (what, tags, keys)


def test_the_boundary_allows_all_that_the_module_gives_the_machines(project: Project) -> None:
    text = (Path(__file__).parents[2] / "terraform/modules/profile/main.tf").read_text()
    given = set(re.findall(r'"((?:s3|sns|ssm|ssmmessages):\w+)"', text))
    path = project.directory / "pio-tf.hcl"
    more = """
    notify { sns_topic = "arn:aws:sns:us-east-1:123456789012:trainings" }
    software { mirrors = ["s3://archives"] }
    machines { make_instance_profile = true }
    """
    path.write_text(path.read_text() + more)
    statements = [one for one in document(project, "boundary")["Statement"] if one["Action"] != ["ec2:StopInstances"]]
    assert given == {action for one in statements for action in one["Action"]}
    resources = [one["Resource"] for one in statements]
    assert resources == [["arn:aws:s3:::archives/*"], ["arn:aws:sns:us-east-1:123456789012:trainings"], ["*"]]


def test_without_a_boundary_in_pio_tf_hcl_the_role_needs_the_one_that_is_proposed(project: Project) -> None:
    text = (project.directory / "pio-tf.hcl").read_text().replace(f'permissions_boundary = "{BOUNDARY}"', "")
    (project.directory / "pio-tf.hcl").write_text(text)
    config = load_config(project.directory / "pio-tf.hcl", environ={})
    (found,) = policies(config, "apply", account=ACCOUNT)
    assert used(found.document, iam("CreateRole")) is None
    assert used(found.document, iam("CreateRole", PermissionsBoundary=BOUNDARY)) is not None
    (note,) = [one for one in found.notes if "boundary" in one]
    assert BOUNDARY in note
    assert "pio-tf iam --for boundary" in note
    assert "failsafe.role_arn" in note
