"""Machines that exist already, imported by Terraform: tagged, looked after, and otherwise left as they are.

They have what no argument of pio-tf.hcl says: each test would fail if Terraform changed any of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from pio_tf import Cluster
from pio_tf.cluster.adoption import Adoption, Homes, Proposal
from pio_tf.cluster.listing import list_clusters
from pio_tf.config.adopted import AdoptedCluster
from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError, GuardRefused, NotReady
from pio_tf.iam import policies
from pio_tf.machines.existing import Choice
from tests.iam.requests import requests
from tests.support.iam_policies import used
from tests.support.instances import UBUNTU
from tests.support.no_machines import no_machines
from tests.support.provider_scripts import terraform_of
from tests.support.recording_aws import ACCOUNT, REGION, Call, RecordingAws
from tests.support.shell import service_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.cluster.listing import ClusterSummary
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan

ATTRIBUTES = ("userData", "disableApiTermination", "instanceInitiatedShutdownBehavior", "sourceDestCheck")
READS = ("Describe", "Get", "List")


@dataclass
class Life:
    """What the cluster's commands said, and how AWS had the machines in between."""

    aws: RecordingAws
    directory: Path
    mirror: Path
    """Terraform's CLI configuration."""
    ids: dict[str, str]
    machines: list[dict[str, Any]] = field(default_factory=list)
    """Everything of the machines but their tags and power: before, after the apply, and after the removal."""
    tags: list[dict[str, dict[str, str]]] = field(default_factory=list)
    calls: dict[str, list[Call]] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    drift: tuple[Drift, ...] = ()
    refused: GuardRefused | None = None
    left_running: NotReady | None = None
    proposal: Proposal | None = None
    listed: ClusterSummary | None = None
    resized: ConfigError | None = None

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes it
        return service_client(self.aws.url, service, region=REGION)

    def cluster(self) -> Cluster:
        environ = {"PATH": "", "HOME": str(self.directory)}
        config = load_config(self.directory / "pio-tf.hcl", environ=environ)
        return Cluster(config, environ=environ, open_session=no_machines)

    def look(self) -> None:
        """Remember how AWS has the machines."""
        ec2, found, tags = self.client("ec2"), {}, {}
        described = ec2.describe_instances(InstanceIds=[*self.ids.values()])["Reservations"]
        for one in (instance for group in described for instance in group["Instances"]):
            tags[one["InstanceId"]] = {tag["Key"]: tag["Value"] for tag in one.pop("Tags", [])}
            for name in ("State", "StateReason", "StateTransitionReason", "LaunchTime", "PublicDnsName"):
                one.pop(name, None)
            one["attributes"] = [
                ec2.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute=name).get(
                    name[0].upper() + name[1:]
                )
                for name in ATTRIBUTES
            ]
            found[one["InstanceId"]] = one
        volumes = ec2.describe_volumes()["Volumes"]
        self.machines.append({"instances": found, "volumes": volumes})
        self.tags.append(tags)

    def play(self) -> None:
        """Adopt the machines, live with them, and let them go."""
        ec2, path = self.client("ec2"), self.directory / "pio-tf.hcl"
        self.look()
        with self.aws.recording() as self.calls["adopt"]:
            self.proposal = self.adopt()
        with self.aws.recording() as self.calls["plan"]:
            self.plans["first"] = self.cluster().plan(self.directory / "saved")
        with self.aws.recording() as self.calls["apply"]:
            self.cluster().apply(self.directory / "saved")
        self.look()
        ec2.stop_instances(InstanceIds=[*self.ids.values()])
        ec2.create_tags(Resources=[self.ids["driver"]], Tags=[{"Key": "cost", "Value": "42"}])
        ec2.modify_instance_attribute(InstanceId=self.ids["worker-1"], InstanceType={"Value": "r5.2xlarge"})
        self.plans["stopped"] = self.cluster().plan()
        self.drift = self.cluster().drift()
        (self.listed,) = list_clusters(self.cluster()._context)
        with pytest.raises(ConfigError) as resized:
            self.cluster().resize("driver", "r5.2xlarge")
        self.resized = resized.value
        ec2.modify_instance_attribute(InstanceId=self.ids["worker-1"], InstanceType={"Value": "t3.medium"})
        text = path.read_text()
        path.write_text(text.replace(f', "{self.ids["worker-2"]}"]', "]"))
        with pytest.raises(GuardRefused) as refused:
            self.cluster().plan()
        self.refused = refused.value
        path.write_text(text)
        ec2.start_instances(InstanceIds=[self.ids["driver"]])
        with pytest.raises(NotReady) as running:
            self.cluster().destroy()
        self.left_running = running.value
        ec2.stop_instances(InstanceIds=[self.ids["driver"]])
        ec2.delete_tags(Resources=[self.ids["driver"]], Tags=[{"Key": "cost"}])
        with self.aws.recording() as self.calls["destroy"]:
            self.cluster().destroy()
        self.look()

    def adopt(self) -> Proposal:
        """Write pio-tf.hcl as `pio-tf adopt` does; the machines are stopped or nothing answers there."""
        adopted = AdoptedCluster(
            name="ur",
            aws={
                "region": REGION,
                "endpoint_url": self.aws.url,
                "credentials_file": str(self.directory / "credentials"),
            },
            ids={},
            ssh={"key": str(self.directory / "id")},
            engine_dir="~/ur",
            terraform={"binary": str(terraform_of(self.mirror)), "cli_config_file": str(self.mirror)},
        )
        homes = Homes(engine_dir="~/ur")
        adoption = Adoption(adopted, homes, self.directory / "pio-tf.hcl", {"PATH": ""}, lambda _event: None)
        choice = Choice((self.ids["driver"],), (self.ids["master"],), (self.ids["worker-1"], self.ids["worker-2"]))
        proposal = adoption.propose(adoption.look(choice))
        assert not (self.directory / ".pio-tf").exists()
        adoption.carry_out(proposal)
        return proposal


def make_machines(aws: RecordingAws) -> dict[str, str]:
    """Run instances in two subnets, made long ago: old disks, several groups, user data, IMDSv1, two interfaces."""
    ec2, iam = (service_client(aws.url, service, region=REGION) for service in ("ec2", "iam"))
    iam.create_instance_profile(InstanceProfileName="team")
    ec2.create_key_pair(KeyName="team")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24")["Subnet"]["SubnetId"] for number in range(2)
    ]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("ssh", "spark")
    ]
    ids = {}
    for number, name in enumerate(("driver", "master", "worker-1", "worker-2")):
        (made,) = ec2.run_instances(
            ImageId=UBUNTU,
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            KeyName="team",
            SubnetId=subnets[number % 2],
            SecurityGroupIds=groups,
            PrivateIpAddress=f"10.9.{number % 2}.{10 + number}",
            UserData="#!/bin/sh\necho made elsewhere\n",
            IamInstanceProfile={"Name": "team"},
            EbsOptimized=True,
            Monitoring={"Enabled": True},
            MetadataOptions={"HttpTokens": "optional", "HttpPutResponseHopLimit": 3},
            InstanceInitiatedShutdownBehavior="terminate",
            DisableApiTermination=True,
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, "VolumeType": "gp2", "Encrypted": False}},
                {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5, "VolumeType": "gp3"}},
            ],
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "Name", "Value": f"spark-{name}"}, {"Key": "team", "Value": "reco"}],
                }
            ],
        )["Instances"]
        ids[name] = made["InstanceId"]
        ec2.modify_instance_attribute(InstanceId=ids[name], SourceDestCheck={"Value": False})
    second = ec2.create_network_interface(SubnetId=subnets[0], Groups=groups)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=ids["worker-1"], DeviceIndex=1)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=ids["driver"])
    return ids


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Iterator[Life]:
    directory = tmp_path_factory.mktemp("adopted")
    (directory / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(directory / "id")
    with RecordingAws(transition_seconds=0) as aws:
        found = Life(aws, directory, mirror, make_machines(aws))
        found.play()
        yield found


def test_adopt_reads_plans_and_leaves_nothing_but_pio_tf_hcl(life: Life) -> None:
    assert {one.operation for one in life.calls["adopt"] if not one.operation.startswith(READS)} == set()
    assert life.proposal is not None
    driver = life.proposal.look.machines[0]
    assert (driver.disks, driver.key_pair) == (("20 GiB gp2, not encrypted", "5 GiB gp3, not encrypted"), "team")
    assert (len(driver.security_groups), driver.eip) == (2, driver.public_ip)
    assert life.proposal.look.machines[2].network_interfaces == 2
    assert "# driver: spark-driver; t3.medium; 20 GiB gp2, not encrypted;" in life.proposal.text
    assert life.proposal.role is None  # Terraform makes it


def test_the_plan_imports_the_machines_tags_them_and_makes_what_is_beside_them(life: Life) -> None:
    for plan in (life.plans["first"], life.proposal.plan if life.proposal else None):
        assert plan is not None
        assert {one.actions for one in plan.changes if one.machine} == {("import",)}
        assert {one.machine for one in plan.changes if one.machine} == {*life.ids}
        made = {one.type for one in plan.changes if not one.machine}
        assert made == {"aws_ec2_tag", "aws_cloudwatch_metric_alarm", "aws_iam_role", "aws_iam_role_policy"}
        assert {verb: number for verb, number in plan.counts.items() if number} == {"import": 4, "create": 12 + 4 + 2}
    summary = (life.directory / "saved" / "plan.md").read_text()
    assert "**4 to import, 18 to create, nothing is removed or replaced.**" in summary
    assert "**Imported**" in summary


def test_nothing_on_the_machines_changes_but_our_tags(life: Life) -> None:
    before, applied, removed = life.machines
    assert before == applied == removed
    for machine, one in life.ids.items():
        role = machine.partition("-")[0]
        ours = {"pio-tf:cluster": "ur", "pio-tf:machine": machine, "pio-tf:role": role}
        assert life.tags[0][one] == {"Name": f"spark-{machine}", "team": "reco"}
        assert life.tags[1][one] == {**life.tags[0][one], **ours}


def test_a_plan_after_the_apply_and_a_stop_is_empty_whatever_others_change(life: Life) -> None:
    assert not life.plans["stopped"].has_changes
    assert {(one.machine, difference.name) for one in life.drift for difference in one.differences} == {
        ("worker-1", "instance_type")
    }


def test_the_cluster_is_listed_with_the_cost_of_disks_that_carry_no_tag(life: Life) -> None:
    assert life.listed is not None
    assert len(life.listed.machines) == 4
    month = (life.listed.stopped_hourly_usd or 0) * 730
    assert month == pytest.approx(4 * (20 * 0.10) + 4 * 5 * 0.08 + 0.005 * 730, abs=0.01)


def test_types_are_changed_in_aws_and_the_error_says_how(life: Life) -> None:
    assert life.resized is not None
    assert f"--instance-id {life.ids['driver']} --instance-type r5.2xlarge" in life.resized.next_step


def test_a_plan_that_would_remove_a_machine_is_refused_with_how_to_let_it_go(life: Life) -> None:
    assert life.refused is not None
    assert 'module.machine["worker-2"].aws_instance.this (worker-2) would be deleted' in life.refused.cause
    assert "its `state rm ADDRESS` in the stack's directory" in life.refused.next_step
    assert "pio-tf destroy" not in life.refused.next_step


def test_destroy_takes_what_is_ours_and_leaves_the_machines(life: Life) -> None:
    assert life.left_running is not None
    assert "driver" in life.left_running.what
    assert life.left_running.next_step == "pio-tf down"
    assert life.tags[2] == life.tags[0]
    operations = {one.operation for one in life.calls["destroy"]}
    assert "DeleteTags" in operations
    assert not any(one.startswith(("Terminate", "Modify", "Stop")) for one in operations)
    assert life.client("iam").list_roles()["Roles"] == []


def test_the_policies_allow_every_call_to_ec2_and_no_machine_but_these(life: Life) -> None:
    wanted, called = set[str](), set[str]()
    for role in ("plan", "apply", "destroy"):
        (policy,) = policies(life.cluster().config, role, account=ACCOUNT)
        asked = [one for call in life.calls[role] for one in requests(call, image_owner="")]
        asked = [one for one in asked if one.action.startswith("ec2:")]
        assert {str(one) for one in asked if used(policy.document, one) is None} == set()
        called |= {one.action for one in asked}
        wanted |= {action for grant in policy.grants for action in grant.makers if action.startswith("ec2:")}
        text = str(policy.document)
        assert all(one in text for one in life.ids.values()) is (role != "plan")
        assert "ec2:RunInstances" not in text
        assert "ec2:TerminateInstances" not in text
    assert wanted - called == {"ec2:DescribeInstanceTypes", "ec2:GetConsoleOutput"}  # newer providers; a running driver
