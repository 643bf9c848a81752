"""The options of the machines block, with the real provider: each changes machines in place, never by a replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from tests.support.deployments import deployment, stop_all
from tests.support.site import REGION, Site, ec2

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

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


def apply(site: Site, more: str = "", network: str = "") -> Plan:
    """Apply a plan, and make sure that the next one is empty, as it is while the machines are off."""
    made = deployment(config(site, more, network))
    plan = made.plan()
    made.apply(plan)
    assert made.plan().changes == ()
    return plan


def config(site: Site, more: str = "", network: str = "") -> Config:
    """Return the configuration of the cluster, in an existing network."""
    (vpc,) = ec2(site.url).describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["given"]}])["Vpcs"]
    (subnet,) = ec2(site.url).describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    given = f'vpc_id = "{vpc["VpcId"]}"\nsubnet_id = "{subnet["SubnetId"]}"\n'
    return site.write(more=more, network=given + network)


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
