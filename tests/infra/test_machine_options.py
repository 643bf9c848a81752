"""The options of the machines block, with the real provider: each changes machines in place, never by a replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from pio_tf.errors import GuardRefused
from tests.support.deployments import deployment, stop_all
from tests.support.site import REGION, Site, ec2

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

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


def iam(site: Site) -> Any:  # noqa: ANN401 - boto3 makes it
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    return session.client("iam", endpoint_url=site.url)


def apply(site: Site, more: str = "", network: str = "", **blocks: str) -> Plan:
    """Apply a plan, and make sure that the next one is empty, as it is while the machines are off."""
    made = deployment(config(site, more, network, **blocks))
    plan = made.plan()
    made.apply(plan)
    assert made.plan().changes == ()
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path) -> Site:
    site = Site(directory=tmp_path_factory.mktemp("options"), name="options", url=aws.url, mirror=mirror)
    client = ec2(site.url)
    vpc = client.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    client.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "given"}])
    client.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24", AvailabilityZone="us-east-1a")
    apply(site)
    return site


def test_existing_machines_get_a_profile_in_place_with_the_permissions_that_they_use(site: Site) -> None:
    plan = apply(site, MADE % TOPIC)
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    assert profiles(site) == {"pio-ec2-options-us-east-1"}
    document = iam(site).get_role_policy(RoleName="pio-ec2-options-us-east-1", PolicyName="machines")["PolicyDocument"]
    assert [(one["Action"], one["Resource"]) for one in document["Statement"]] == [
        (["s3:GetObject"], ["arn:aws:s3:::archives/pio-tf/*"]),
        (["sns:Publish"], [TOPIC]),
    ]
    assert deployment(config(site, MADE % TOPIC)).drift() == ()


def test_machines_that_are_off_get_another_profile_in_place(site: Site) -> None:
    iam(site).create_instance_profile(InstanceProfileName="ours")
    stop_all(site)
    plan = apply(site, 'machines {\n  instance_profile = "ours"\n}')
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    assert profiles(site) == {"ours"}
    assert {one["State"]["Name"] for one in site.instances().values()} == {"stopped"}


def test_machines_that_are_off_get_more_security_groups_and_a_narrower_egress_in_place(site: Site) -> None:
    client = ec2(site.url)
    (vpc,) = client.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["given"]}])["Vpcs"]
    other = client.create_security_group(GroupName="other", Description="x", VpcId=vpc["VpcId"])["GroupId"]
    network = f'security_group_ids = ["{other}"]\negress = ["10.0.0.0/8", "0.0.0.0/0:443"]'
    plan = apply(site, network=network)
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    groups = [one["GroupId"] for one in site.instances()["driver"]["NetworkInterfaces"][0]["Groups"]]
    (own,) = (one for one in groups if one != other)
    (found,) = client.describe_security_groups(GroupIds=[own])["SecurityGroups"]
    destinations = {
        (rule["IpProtocol"], rule.get("FromPort"), one["CidrIp"])
        for rule in found["IpPermissionsEgress"]
        for one in rule["IpRanges"]
    }
    assert destinations == {("-1", None, "10.0.0.0/8"), ("tcp", 443, "0.0.0.0/0")}
    assert any(rule["UserIdGroupPairs"] for rule in found["IpPermissionsEgress"])
    assert deployment(config(site, network=network)).drift() == ()


def disks(site: Site, machine: str) -> dict[str, dict[str, Any]]:
    """Return the volumes of a machine, by the name of their device."""
    client = ec2(site.url)
    found = {}
    for mapping in site.instances()[machine]["BlockDeviceMappings"]:
        (volume,) = client.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
        found[mapping["DeviceName"]] = dict(volume)
    return found


FAST = 'instance_type = "m5.large"\n  root_volume_iops = 4000\n  root_volume_throughput = 250'


def test_machines_get_faster_root_disks_in_place(site: Site) -> None:
    plan = apply(site, types=FAST)
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    root = disks(site, "driver")["/dev/sda1"]
    assert (root["VolumeType"], root["Iops"], root["Throughput"]) == ("gp3", 4000, 250)


def test_machines_that_are_off_are_protected_and_keep_it_until_pio_tf_hcl_says_no(site: Site) -> None:
    def protected() -> set[bool]:
        ids = [one["InstanceId"] for one in site.instances().values()]
        attributes = (
            ec2(site.url).describe_instance_attribute(InstanceId=one, Attribute="disableApiTermination") for one in ids
        )
        return {one["DisableApiTermination"]["Value"] for one in attributes}

    stop_all(site)
    plan = apply(site, "machines {\n  termination_protection = true\n}")
    assert {one.actions for one in plan.changes if one.machine} == {("update",)}
    assert protected() == {True}
    assert {one["State"]["Name"] for one in site.instances().values()} == {"stopped"}
    apply(site)
    assert protected() == {False}


LARGER = 'instance_type = "m5.large"\n  scratch_volume {\n    gib = 30\n    throughput = 300\n  }'
SCRATCH = 'instance_type = "m5.large"\n  scratch_volume {\n    gib = 20\n    throughput = 300\n  }'


def test_machines_that_exist_get_a_volume_for_scratch_files_and_nothing_else_changes(site: Site) -> None:
    plan = apply(site, types=SCRATCH)
    assert plan.counts == {"import": 0, "create": 4, "update": 0, "replace": 0, "delete": 0}
    for machine in ("driver", "worker-1"):
        volume = disks(site, machine)["/dev/sdf"]
        assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (20, "gp3", True)
        assert {"Key": "pio-tf:cluster", "Value": "options"} in volume["Tags"]
    assert "/dev/sdf" not in disks(site, "master")
    assert deployment(config(site, types=SCRATCH)).drift() == ()


def test_a_volume_grows_in_place_and_is_never_removed_by_a_plan(site: Site) -> None:
    plan = apply(site, types=LARGER)
    assert {one.actions for one in plan.changes} == {("update",)}
    assert disks(site, "worker-1")["/dev/sdf"]["Size"] == 30
    with pytest.raises(GuardRefused) as refused:
        deployment(config(site)).plan()
    assert "aws_ebs_volume.scratch[0]" in refused.value.cause


def test_a_new_machine_has_disks_with_the_key_of_pio_tf_hcl_and_the_others_keep_theirs(site: Site) -> None:
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    kms: Any = session.client("kms", endpoint_url=site.url)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/disks", TargetKeyId=arn)
    plan = apply(site, f'machines {{\n  kms_key_id = "{arn}"\n}}', types=LARGER, spark="workers = 2")
    assert {one.verb for one in plan.changes} == {"create"}
    assert {one.get("KmsKeyId") for one in disks(site, "worker-2").values()} == {arn}
    assert arn not in {one.get("KmsKeyId") for one in disks(site, "worker-1").values()}
    for other in ("alias/disks", arn.rpartition("/")[2]):  # other names of it
        same = config(site, f'machines {{\n  kms_key_id = "{other}"\n}}', types=LARGER, spark="workers = 2")
        assert deployment(same).plan().changes == ()


def test_another_image_in_its_parameter_is_for_new_machines_only(site: Site) -> None:
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    ssm: Any = session.client("ssm", endpoint_url=site.url)
    old, new = (ec2(site.url).register_image(Name=name)["ImageId"] for name in ("old", "new"))
    ssm.put_parameter(Name="/images/spark", Value=old, Type="String")
    spark = 'workers = 3\nami_parameter = "/images/spark"'
    plan = apply(site, types=LARGER, spark=spark)
    assert {one.verb for one in plan.changes} == {"create"}
    assert site.instances()["worker-3"]["ImageId"] == old
    ssm.put_parameter(Name="/images/spark", Value=new, Type="String", Overwrite=True)
    assert deployment(config(site, types=LARGER, spark=spark)).plan().changes == ()


def test_a_new_machine_has_a_root_disk_with_tags_from_its_launch_and_others_keep_theirs(site: Site) -> None:
    def tags(machine: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in disks(site, machine)["/dev/sda1"]["Tags"]}

    before = tags("worker-1")
    at_launch = "machines {\n  tag_disks_at_launch = true\n}"
    plan = apply(site, at_launch, types=LARGER, spark="workers = 4")
    assert {one.verb for one in plan.changes} == {"create"}
    assert tags("worker-1") == before
    assert tags("worker-4") == {**before, "Name": "options-worker-4", "pio-tf:machine": "worker-4"}
    assert deployment(config(site, at_launch, types=LARGER, spark="workers = 4")).drift() == ()
    assert deployment(config(site, types=LARGER, spark="workers = 4")).plan().counts["replace"] == 0


def test_volumes_go_with_their_machines(site: Site) -> None:
    deployment(config(site, types=LARGER, spark="workers = 4")).destroy()
    assert site.instances() == {}
    of_cluster: FilterTypeDef = {"Name": "tag:pio-tf:cluster", "Values": ["options"]}
    assert ec2(site.url).describe_volumes(Filters=[of_cluster])["Volumes"] == []
