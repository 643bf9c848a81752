"""The options of the machines block, with the real provider: each changes machines in place, never by a replacement.

Each apply takes seconds, so one brings several options. The tests go through the life of one cluster in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from pio_tf.errors import GuardRefused
from tests.support.deployments import deployment, stop_all
from tests.support.shell import ec2
from tests.support.site import REGION, Site

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Literal

    from mypy_boto3_ec2.type_defs import FilterTypeDef

    from pio_tf.config.schema import Config
    from pio_tf.infra.plan import Plan
    from pio_tf.sandbox.aws import LocalAws

TOPIC = "arn:aws:sns:us-east-1:123456789012:trainings"
MADE = """\
machines {
  make_instance_profile = true
}
notify {
  sns_topic = "%s"
}
software {
  mirrors = ["s3://archives/pio-tf", "https://archive.apache.org/dist"]
}
"""
FAST = 'instance_type = "m5.large"\n  root_volume_iops = 4000\n  root_volume_throughput = 250'
OFF = """\
machines {
  instance_profile       = "ours"
  termination_protection = true
}
"""
SCRATCH = 'instance_type = "m5.large"\n  scratch_volume {\n    gib = 20\n    throughput = 300\n  }'
NEW = """\
machines {
  kms_key_id          = "%s"
  tag_disks_at_launch = true
}
"""
LARGER = SCRATCH.replace("20", "30")
TWO_WORKERS = 'workers = 2\nami_parameter = "/images/spark"'


def client(site: Site, service: Literal["iam", "kms", "ssm"]) -> Any:  # noqa: ANN401 - boto3 makes it
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    return session.client(service, endpoint_url=site.url)


def apply(site: Site, more: str = "", network: str = "", **blocks: str) -> Plan:
    """Apply a plan, and make sure that the next one is empty and that there is no drift."""
    made = deployment(config(site, more, network, **blocks))
    plan = made.plan()
    made.apply(plan)
    assert made.plan().changes == ()
    assert made.drift() == ()
    return plan


def config(site: Site, more: str = "", network: str = "", **blocks: str) -> Config:
    """Return the configuration of the cluster, in an existing network."""
    (vpc,) = ec2(site.url).describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["given"]}])["Vpcs"]
    (subnet,) = ec2(site.url).describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    given = f'vpc_id = "{vpc["VpcId"]}"\nsubnet_id = "{subnet["SubnetId"]}"\n'
    return site.write(more=more, network=given + network, **blocks)


def profiles(site: Site) -> set[str]:
    found = site.instances().values()
    return {one.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2] for one in found}


def disks(site: Site, machine: str) -> dict[str, dict[str, Any]]:
    """Return the volumes of a machine, by the name of their device."""
    found = {}
    for mapping in site.instances()[machine]["BlockDeviceMappings"]:
        (volume,) = ec2(site.url).describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
        found[mapping["DeviceName"]] = dict(volume)
    return found


def root_tags(site: Site, machine: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in disks(site, machine)["/dev/sda1"]["Tags"]}


def protected(site: Site) -> dict[str, bool]:
    return {
        name: ec2(site.url).describe_instance_attribute(
            InstanceId=one["InstanceId"], Attribute="disableApiTermination"
        )["DisableApiTermination"]["Value"]
        for name, one in site.instances().items()
    }


def changed(plan: Plan) -> dict[str, tuple[tuple[str, ...], set[str]]]:
    """Return what a plan does to instances: action and arguments, by machine."""
    return {
        one.machine: (one.actions, set(one.reasons))
        for one in plan.changes
        if one.address.endswith("aws_instance.this")
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Site:
    """Prepare an AWS with a network, and with what the options name."""
    site = Site(directory=tmp_path_factory.mktemp("options"), name="options", url=aws.url, mirror=mirror)
    api = ec2(site.url)
    vpc = api.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    api.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "given"}])
    api.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24", AvailabilityZone="us-east-1a")
    api.create_security_group(GroupName="other", Description="x", VpcId=vpc)
    client(site, "iam").create_instance_profile(InstanceProfileName="ours")
    image = api.register_image(Name="old")["ImageId"]
    client(site, "ssm").put_parameter(Name="/images/spark", Value=image, Type="String")
    return site


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """Return the ARN of a key in KMS with an alias."""
    kms = client(site, "kms")
    arn = str(kms.create_key()["KeyMetadata"]["Arn"])
    kms.create_alias(AliasName="alias/disks", TargetKeyId=arn)
    return arn


@pytest.fixture(scope="module")
def other_group(site: Site) -> str:
    (found,) = ec2(site.url).describe_security_groups(GroupNames=["other"])["SecurityGroups"]
    return found["GroupId"]


@pytest.fixture(scope="module")
def while_on(site: Site) -> Plan:
    """Create the cluster without options, and then change it while its machines run."""
    made = deployment(config(site))
    made.apply(made.plan())
    return apply(site, MADE % TOPIC, types=FAST)


@pytest.fixture(scope="module")
def while_off(site: Site, while_on: Plan, other_group: str) -> Plan:
    """Change the cluster while its machines are off."""
    stop_all(site)
    network = f'security_group_ids = ["{other_group}"]\negress = ["10.0.0.0/8", "0.0.0.0/0:443"]'
    return apply(site, OFF, network, types=SCRATCH)


@pytest.fixture(scope="module")
def with_worker_2(site: Site, while_off: Plan, key: str) -> tuple[Plan, dict[str, str]]:
    """Add a machine with options of its own, and drop those of the others.

    Return the plan, and the tags of worker-1's root disk before it.
    """
    before = root_tags(site, "worker-1")
    return apply(site, NEW % key, types=LARGER, spark=TWO_WORKERS), before


def test_existing_machines_get_a_profile_in_place_with_the_permissions_that_they_use(
    site: Site, while_on: Plan
) -> None:
    assert {one.actions for one in while_on.changes if one.machine} == {("update",)}
    assert profiles(site) == {"pio-ec2-options-us-east-1"}
    policy = client(site, "iam").get_role_policy(RoleName="pio-ec2-options-us-east-1", PolicyName="machines")
    assert [(one["Action"], one["Resource"]) for one in policy["PolicyDocument"]["Statement"]] == [
        (["s3:GetObject"], ["arn:aws:s3:::archives/pio-tf/*"]),
        (["sns:Publish"], [TOPIC]),
    ]


def test_machines_get_faster_root_disks_in_place(site: Site, while_on: Plan) -> None:
    assert changed(while_on) == {
        machine: (("update",), {"iam_instance_profile", "root_block_device"})
        for machine in ("driver", "master", "worker-1")
    }
    root = disks(site, "driver")["/dev/sda1"]
    assert (root["VolumeType"], root["Iops"], root["Throughput"]) == ("gp3", 4000, 250)


def test_machines_that_are_off_get_another_profile_in_place(site: Site, while_off: Plan) -> None:
    assert changed(while_off) == {
        machine: (("update",), {"iam_instance_profile", "vpc_security_group_ids", "disable_api_termination"})
        for machine in ("driver", "master", "worker-1")
    }
    assert profiles(site) == {"ours"}
    assert {one["State"]["Name"] for one in site.instances().values()} == {"stopped"}


@pytest.mark.usefixtures("while_off")
def test_machines_that_are_off_get_more_security_groups_and_a_narrower_egress_in_place(
    site: Site, other_group: str
) -> None:
    groups = [one["GroupId"] for one in site.instances()["driver"]["NetworkInterfaces"][0]["Groups"]]
    (own,) = (one for one in groups if one != other_group)
    (found,) = ec2(site.url).describe_security_groups(GroupIds=[own])["SecurityGroups"]
    destinations = {
        (rule["IpProtocol"], rule.get("FromPort"), one["CidrIp"])
        for rule in found["IpPermissionsEgress"]
        for one in rule["IpRanges"]
    }
    assert destinations == {("-1", None, "10.0.0.0/8"), ("tcp", 443, "0.0.0.0/0")}
    assert any(rule["UserIdGroupPairs"] for rule in found["IpPermissionsEgress"])


@pytest.mark.usefixtures("while_off")
def test_machines_that_are_off_are_protected(site: Site) -> None:
    assert protected(site) == {"driver": True, "master": True, "worker-1": True}


def test_machines_that_exist_get_a_volume_for_scratch_files_and_nothing_else_changes(
    site: Site, while_off: Plan
) -> None:
    changes = {
        (one.address.rpartition(".aws_")[2], one.actions) for one in while_off.changes if "scratch" in one.address
    }
    assert changes == {("ebs_volume.scratch[0]", ("create",)), ("volume_attachment.scratch[0]", ("create",))}
    for machine in ("driver", "worker-1"):
        volume = disks(site, machine)["/dev/sdf"]
        assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (20, "gp3", True)
        assert {"Key": "pio-tf:cluster", "Value": "options"} in volume["Tags"]
    assert "/dev/sdf" not in disks(site, "master")


def test_a_volume_grows_in_place_and_is_never_removed_by_a_plan(
    site: Site, with_worker_2: tuple[Plan, dict[str, str]]
) -> None:
    plan, _ = with_worker_2
    volumes = [one for one in plan.changes if "scratch" in one.address and "worker-2" not in one.address]
    assert [(one.actions, one.reasons) for one in volumes] == [(("update",), ("size",))] * 2
    assert disks(site, "worker-1")["/dev/sdf"]["Size"] == 30
    with pytest.raises(GuardRefused) as refused:
        deployment(config(site, spark="workers = 2")).plan()
    assert "aws_ebs_volume.scratch[0]" in refused.value.cause


@pytest.mark.usefixtures("with_worker_2")
def test_machines_are_protected_until_pio_tf_hcl_says_no(site: Site) -> None:
    assert protected(site) == dict.fromkeys(("driver", "master", "worker-1", "worker-2"), False)


def test_options_of_a_new_machine_change_no_other(with_worker_2: tuple[Plan, dict[str, str]]) -> None:
    plan, _ = with_worker_2
    dropped = {"iam_instance_profile", "vpc_security_group_ids", "disable_api_termination"}
    others = dict.fromkeys(("driver", "master", "worker-1"), (("update",), dropped))
    assert {machine: what for machine, what in changed(plan).items() if machine != "worker-2"} == others
    assert {one.verb for one in plan.changes if "worker-2" in one.address} == {"create"}


@pytest.mark.usefixtures("with_worker_2")
def test_a_new_machine_has_disks_with_the_key_of_pio_tf_hcl_and_the_others_keep_theirs(site: Site, key: str) -> None:
    assert {one.get("KmsKeyId") for one in disks(site, "worker-2").values()} == {key}
    assert key not in {one.get("KmsKeyId") for one in disks(site, "worker-1").values()}
    for other in ("alias/disks", key.rpartition("/")[2]):  # other names of it
        same = config(site, NEW % other, types=LARGER, spark=TWO_WORKERS)
        assert deployment(same).plan().changes == ()


@pytest.mark.usefixtures("with_worker_2")
def test_another_image_in_its_parameter_is_for_new_machines_only(site: Site, key: str) -> None:
    ssm = client(site, "ssm")
    old = ssm.get_parameter(Name="/images/spark")["Parameter"]["Value"]
    assert site.instances()["worker-2"]["ImageId"] == old
    new = ec2(site.url).register_image(Name="new")["ImageId"]
    ssm.put_parameter(Name="/images/spark", Value=new, Type="String", Overwrite=True)
    assert deployment(config(site, NEW % key, types=LARGER, spark=TWO_WORKERS)).plan().changes == ()


def test_a_new_machine_has_a_root_disk_with_tags_from_its_launch_and_others_keep_theirs(
    site: Site, with_worker_2: tuple[Plan, dict[str, str]]
) -> None:
    _, before = with_worker_2
    assert root_tags(site, "worker-1") == before
    assert root_tags(site, "worker-2") == {**before, "Name": "options-worker-2", "pio-tf:machine": "worker-2"}
    assert deployment(config(site, types=LARGER, spark=TWO_WORKERS)).plan().counts["replace"] == 0


@pytest.mark.usefixtures("with_worker_2")
def test_volumes_go_with_their_machines(site: Site) -> None:
    deployment(config(site, types=LARGER, spark=TWO_WORKERS)).destroy()
    assert site.instances() == {}
    of_cluster: FilterTypeDef = {"Name": "tag:pio-tf:cluster", "Values": ["options"]}
    assert ec2(site.url).describe_volumes(Filters=[of_cluster])["Volumes"] == []
