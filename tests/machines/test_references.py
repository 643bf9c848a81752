"""References of pio-tf.hcl, checked against the local AWS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

import boto3
import pytest
from moto.ec2.models.amis import Ami

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.machines.instance_types import find_instance_types
from pio_tf.machines.references import check_references
from tests.support.instances import UBUNTU

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws

FILE = """\
cluster {{ name = "rec" }}
aws {{ region = "eu-west-1" }}
network {{
  {network}
}}
driver {{
  {driver}
}}
spark {{
  {spark}
}}
ssh {{
  key = "id_ed25519"
  {ssh}
}}
machines {{
  {machines}
}}
pio {{ engine_dir = "/home/aml/ur" }}
elasticsearch {{ hosts = ["es-1"] }}
hbase {{ hosts = ["hbase-1"] }}
hdfs {{ namenode = "hdfs-1" }}
"""


class Write(Protocol):
    """Writes a pio-tf.hcl with these lines in its blocks, and reads it."""

    def __call__(
        self, *, network: str, driver: str = "", spark: str = "", ssh: str = "", machines: str = ""
    ) -> Config: ...


@dataclass(frozen=True)
class Network:
    vpc_id: str
    subnet_id: str
    zone: str

    @property
    def lines(self) -> str:
        return f'vpc_id = "{self.vpc_id}"\n  subnet_id = "{self.subnet_id}"'


@pytest.fixture(scope="module")
def existing(ec2: EC2Client) -> Network:
    """Make a VPC with a subnet of 16 addresses."""
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/28", AvailabilityZone="eu-west-1b")["Subnet"]
    return Network(vpc, subnet["SubnetId"], "eu-west-1b")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*, network: str, driver: str = "", spark: str = "", ssh: str = "", machines: str = "") -> Config:
        path = tmp_path / "pio-tf.hcl"
        path.write_text(FILE.format(network=network, driver=driver, spark=spark, ssh=ssh, machines=machines))
        return load_config(path, environ={})

    return write


def problems(config: Config, ec2: EC2Client) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_references(config, lambda _service: ec2)
    assert caught.value.next_step
    return caught.value.what.splitlines()


def test_what_exists_passes_in_one_call_for_each_kind_of_thing(
    ec2: EC2Client, existing: Network, write: Write, local_aws: LocalAws
) -> None:
    ec2.create_key_pair(KeyName="aml")
    config = write(
        network=existing.lines, driver=f'ami = "{UBUNTU}"', spark=f'ami = "{UBUNTU}"', ssh='key_pair = "aml"'
    )
    local_aws.calls.clear()
    check_references(config, lambda _service: ec2)
    assert {action: count for (_, action), count in local_aws.calls.items()} == {
        "DescribeSubnets": 1,
        "DescribeInstanceTypeOfferings": 1,
        "DescribeInstanceTypes": 1,
        "DescribeImages": 1,
        "DescribeKeyPairs": 1,
    }


def test_a_new_network_with_the_default_image_passes(ec2: EC2Client, write: Write) -> None:
    check_references(write(network='cidr = "10.1.0.0/24"'), lambda _service: ec2)


def test_a_subnet_that_does_not_exist(ec2: EC2Client, existing: Network, write: Write) -> None:
    config = write(network=f'vpc_id = "{existing.vpc_id}"\n  subnet_id = "subnet-0dead"')
    assert problems(config, ec2) == [
        "pio-tf.hcl:5: network.subnet_id: subnet-0dead does not exist in eu-west-1",
    ]


def test_a_subnet_of_another_vpc(ec2: EC2Client, existing: Network, write: Write) -> None:
    other = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    config = write(network=f'vpc_id = "{other}"\n  subnet_id = "{existing.subnet_id}"')
    assert problems(config, ec2) == [
        f"pio-tf.hcl:5: network.subnet_id: {existing.subnet_id} is in {existing.vpc_id}, not in {other}",
    ]


def test_a_vpc_that_does_not_exist(ec2: EC2Client, existing: Network, write: Write) -> None:
    config = write(network=f'vpc_id = "vpc-0dead"\n  subnet_id = "{existing.subnet_id}"')
    assert "pio-tf.hcl:4: network.vpc_id: vpc-0dead does not exist in eu-west-1" in problems(config, ec2)


def test_security_groups_must_exist_in_the_vpc(ec2: EC2Client, existing: Network, write: Write) -> None:
    own = ec2.create_security_group(GroupName="own", Description="x", VpcId=existing.vpc_id)["GroupId"]
    vpc = ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="x", VpcId=vpc)["GroupId"]
    config = write(network=f'{existing.lines}\n  security_group_ids = ["{own}", "{other}", "sg-0dead"]')
    assert problems(config, ec2) == [
        f"pio-tf.hcl:6: network.security_group_ids: {other} is in {vpc}, not in {existing.vpc_id}",
        "pio-tf.hcl:6: network.security_group_ids: sg-0dead does not exist in eu-west-1",
    ]


@pytest.mark.parametrize(("first", "workers", "room"), [(4, 9, None), (4, 10, 11), (12, 2, 3), (200, 1, 0)])
def test_fixed_addresses_must_fit_into_the_subnet(
    ec2: EC2Client, existing: Network, write: Write, first: int, workers: int, room: int | None
) -> None:
    config = write(network=f"{existing.lines}\n  first_host = {first}", spark=f"workers = {workers}")
    if room is None:
        check_references(config, lambda _service: ec2)
    else:
        machines = workers + 2
        subnet = "the subnet's 10.20.1.0/28"
        what = f"{machines} machines from host {first} do not fit into {subnet}, which has room for {room}"
        assert problems(config, ec2) == [f"pio-tf.hcl:6: network.first_host: {what}"]


def test_a_subnet_too_small_for_the_machines(ec2: EC2Client, existing: Network, write: Write) -> None:
    config = write(network=existing.lines, spark="workers = 10")
    assert problems(config, ec2) == ["pio-tf.hcl:5: network.subnet_id: 10.20.1.0/28 is too small for 12 machines"]


def test_an_image_that_does_not_exist_and_a_filter_that_finds_none(ec2: EC2Client, write: Write) -> None:
    config = write(
        network='cidr = "10.1.0.0/24"',
        driver='ami = "ami-0dead"',
        spark='ami_filter {\n    owner = "123456789012"\n    name = "mine-*"\n  }',
    )
    assert problems(config, ec2) == [
        "pio-tf.hcl:7: driver.ami: ami-0dead does not exist in eu-west-1, or is not shared with this account",
        "pio-tf.hcl:10: spark.ami_filter: owner 123456789012 has no image mine-* in eu-west-1",
    ]


def test_the_image_of_machines_that_exist_already_may_be_gone(ec2: EC2Client, write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"', driver='ami = "ami-0dead"', spark='ami = "ami-0dead"')
    check_references(config, lambda _service: ec2, existing=config.machine_names)
    with pytest.raises(ConfigError) as caught:
        check_references(config, lambda _service: ec2, existing=("driver", "master", "worker-1"))  # worker-2 is new
    assert caught.value.what.startswith("pio-tf.hcl:10: spark.ami:")
    assert "driver" not in caught.value.what


def test_an_instance_type_of_another_architecture_is_refused_naming_some_that_can_be_had(
    ec2: EC2Client, write: Write
) -> None:
    config = write(network='cidr = "10.1.0.0/24"', driver=f'instance_type = "r6g.xlarge"\n  ami = "{UBUNTU}"')
    (problem,) = problems(config, ec2)
    why, _, instead = problem.partition("; eu-west-1 has ")
    assert why == (
        "pio-tf.hcl:7: driver.instance_type: r6g.xlarge is arm64, but machines must be x86_64: "
        "PredictionIO's Spark and Hadoop have native libraries for no other"
    )
    assert "r6i.xlarge" in instead.split(", ")
    named = find_instance_types(ec2, instead.split(", "))
    assert {spec.architecture for spec in named.values()} == {"x86_64"}
    assert len(named) == len(instead.split(", "))


def test_each_type_of_a_list_must_fit_the_image(ec2: EC2Client, write: Write) -> None:
    image = ec2.register_image(Name="old-network", Architecture="x86_64", VirtualizationType="hvm")["ImageId"]
    with patch.object(Ami, "ena_support", new=False):
        driver = f'instance_types = ["r3.xlarge", "r5.xlarge"]\n  ami = "{image}"'
        found = problems(write(network='cidr = "10.1.0.0/24"', driver=driver), ec2)
        default = problems(write(network='cidr = "10.1.0.0/24"', driver=f'ami = "{image}"'), ec2)
    ena = f"{image} can't run as r5.xlarge: r5.xlarge needs enhanced networking (ENA), which it does not support"
    assert f"pio-tf.hcl:7: driver.instance_types: {ena}" in found
    assert not [problem for problem in found if "r3.xlarge" in problem]
    assert not [problem for problem in default if "ENA" in problem]  # pio-tf leaves out a type of its own


def test_each_type_of_a_list_is_checked(ec2: EC2Client, write: Write) -> None:
    found = problems(
        write(
            network='cidr = "10.1.0.0/24"',
            driver='instance_types = ["r3.xlarge", "r6g.xlarge", "r3.xlage"]',
            spark='master_instance_types = ["m5.large", "m6g.large"]',
        ),
        ec2,
    )
    assert [problem.partition(";")[0].partition(", but")[0] for problem in found] == [
        "pio-tf.hcl:7: driver.instance_types: r6g.xlarge is arm64",
        "pio-tf.hcl:7: driver.instance_types: instance type r3.xlage does not exist in eu-west-1",
        "pio-tf.hcl:10: spark.master_instance_types: m6g.large is arm64",
    ]


def test_an_instance_type_is_checked_also_for_machines_that_exist(ec2: EC2Client, write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"', spark='instance_type = "r6g.xlarge"')
    with pytest.raises(ConfigError, match=r"pio-tf\.hcl:10: spark\.instance_type: r6g\.xlarge is arm64"):
        check_references(config, lambda _service: ec2, existing=config.machine_names)


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("Windows_Server-2016-English-Full-Base-*", "Windows"),
        ("ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-*", "Ubuntu 16.04"),
        ("amzn2-ami-hvm-*", "Amazon Linux 2"),
        ("amzn-ami-hvm-*", "Amazon Linux"),
    ],
)
def test_an_image_of_another_system_is_refused_naming_those_that_are_prepared(
    ec2: EC2Client, write: Write, name: str, system: str
) -> None:
    images = ec2.describe_images(Filters=[{"Name": "name", "Values": [name]}])["Images"]
    image = max(images, key=lambda image: image["CreationDate"])
    lines = f'ami_filter {{\n    owner = "{image["OwnerId"]}"\n    name = "{name}"\n  }}\n  root_volume_gib = 100'
    (problem,) = problems(write(network='cidr = "10.1.0.0/24"', driver=lines), ec2)
    assert problem == (
        f"pio-tf.hcl:7: driver.ami_filter: {image['ImageId']} is an image of {system}, which pio-tf does not support; "
        "it supports Ubuntu 18.04, 20.04, 22.04 and 24.04, and Debian 11 and 12"
    )


def test_an_image_for_another_architecture_is_refused(ec2: EC2Client, write: Write) -> None:
    filters: list[FilterTypeDef] = [{"Name": "architecture", "Values": ["arm64"]}]
    image = ec2.describe_images(Filters=filters)["Images"][0]["ImageId"]
    found = problems(write(network='cidr = "10.1.0.0/24"', spark=f'ami = "{image}"'), ec2)
    assert f"pio-tf.hcl:10: spark.ami: {image} is for arm64, but machines must be x86_64" in found


def test_a_root_disk_smaller_than_the_image(ec2: EC2Client, write: Write) -> None:
    image = ec2.describe_images(ImageIds=[UBUNTU])["Images"][0]
    smallest = image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]
    assert smallest > 8
    for size, wrong in ((smallest - 1, True), (smallest, False)):
        config = write(network='cidr = "10.1.0.0/24"', driver=f'ami = "{UBUNTU}"\n  root_volume_gib = {size}')
        if wrong:
            line = f"pio-tf.hcl:8: driver.root_volume_gib: {size} GiB is less than the {smallest} GiB of {UBUNTU}"
            assert problems(config, ec2) == [line]
        else:
            check_references(config, lambda _service: ec2)


def test_an_image_without_an_ebs_root_disk(ec2: EC2Client, write: Write) -> None:
    image = ec2.register_image(Name="old", Architecture="x86_64")["ImageId"]
    config = write(network='cidr = "10.1.0.0/24"', driver=f'ami = "{image}"')
    what = "has its root disk in the instance store, not in EBS, so its machines cannot be stopped"
    assert problems(config, ec2) == [f"pio-tf.hcl:7: driver.ami: {image} {what}"]


def test_a_key_pair_that_does_not_exist(ec2: EC2Client, write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"', ssh='key_pair = "nobody"')
    what = "key pair nobody does not exist in eu-west-1; without key_pair, one comes from ssh.key"
    assert problems(config, ec2) == [f"pio-tf.hcl:14: ssh.key_pair: {what}"]


@pytest.fixture
def client(local_aws: LocalAws) -> Callable[[str], Any]:
    """Return clients of the local AWS."""
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name="eu-west-1")
    return partial(session.client, endpoint_url=local_aws.url)


def test_an_instance_profile_that_does_not_exist_names_its_line(client: Callable[[str], Any], write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"', machines='instance_profile = "trainign"')
    with pytest.raises(ConfigError) as caught:
        check_references(config, client)
    assert caught.value.what == (
        "pio-tf.hcl:17: machines.instance_profile: instance profile trainign does not exist in this account; without "
        "it, make_instance_profile = true makes one"
    )


def test_an_instance_profile_must_have_a_role(client: Callable[[str], Any], write: Write) -> None:
    client("iam").create_instance_profile(InstanceProfileName="empty")
    config = write(network='cidr = "10.1.0.0/24"', machines='instance_profile = "empty"')
    with pytest.raises(ConfigError, match="instance profile empty has no role"):
        check_references(config, client)
    client("iam").create_role(RoleName="machines", AssumeRolePolicyDocument="{}")
    client("iam").add_role_to_instance_profile(InstanceProfileName="empty", RoleName="machines")
    check_references(config, client)


def test_an_instance_type_that_does_not_exist_names_its_line(ec2: EC2Client, existing: Network, write: Write) -> None:
    config = write(network=existing.lines, spark='instance_type = "r3.xlage"')
    (problem,) = problems(config, ec2)
    assert problem.startswith(
        "pio-tf.hcl:11: spark.instance_type: instance type r3.xlage does not exist in eu-west-1; r3"
    )


def test_a_type_whose_family_the_region_lacks_names_near_ones_of_that_region(ec2: EC2Client, write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"', spark='instance_type = "r4x.2xlarge"')
    (problem,) = problems(config, ec2)
    what = "instance type r4x.2xlarge does not exist in eu-west-1, which has no family r4x; of this size it has "
    assert problem.startswith(f"pio-tf.hcl:10: spark.instance_type: {what}")
    near = problem.removeprefix(f"pio-tf.hcl:10: spark.instance_type: {what}").split(", ")
    assert near[0] == "r4.2xlarge"
    assert 3 <= len(near) <= 8
    assert {spec.name for spec in find_instance_types(ec2, near).values()} == set(near)


def test_a_type_that_the_zone_does_not_have(ec2: EC2Client, write: Write) -> None:
    offers = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone")
    by_zone: dict[str, set[str]] = {}
    for page in offers:
        for offer in page["InstanceTypeOfferings"]:
            by_zone.setdefault(offer["Location"], set()).add(str(offer["InstanceType"]))
    everywhere = set.union(*by_zone.values())
    zone, missing = next((z, min(everywhere - types)) for z, types in sorted(by_zone.items()) if everywhere - types)
    network = f'cidr = "10.1.0.0/24"\n  availability_zone = "{zone}"'
    config = write(network=network, spark=f'master_instance_type = "{missing}"')
    found = problems(config, ec2)
    line = f"{missing} is not offered in {zone}, the subnet's zone; choose another type or zone"
    assert f"pio-tf.hcl:11: spark.master_instance_type: {line}" in found


def test_a_zone_that_does_not_exist_lists_those_that_do(ec2: EC2Client, write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"\n  availability_zone = "eu-west-1z"')
    what = "zone eu-west-1z does not exist; eu-west-1 has eu-west-1a, eu-west-1b, eu-west-1c"
    assert problems(config, ec2) == [f"pio-tf.hcl:5: network.availability_zone: {what}"]


def test_all_mistakes_are_told_at_once(ec2: EC2Client, write: Write) -> None:
    config = write(
        network='vpc_id = "vpc-0dead"\n  subnet_id = "subnet-0dead"',
        driver='ami = "ami-0dead"',
        spark='instance_type = "q9.large"',
        ssh='key_pair = "nobody"',
    )
    names = [line.split(": ")[1] for line in problems(config, ec2)]
    assert names == ["network.subnet_id", "network.vpc_id", "spark.instance_type", "driver.ami", "ssh.key_pair"]


def test_a_key_must_exist_in_the_region_be_enabled_and_be_symmetric(client: Callable[[str], Any], write: Write) -> None:
    kms = client("kms")
    good, off = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.disable_key(KeyId=off)
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    missing = "1234abcd-12ab-34cd-56ef-1234567890ab"
    network = 'cidr = "10.1.0.0/24"'
    check_references(write(network=network, machines=f'kms_key_id = "{good}"'), client)
    for key, why in {
        off: f"{off} is Disabled, so AWS starts no machine that it encrypts",
        rsa: f"{rsa} is RSA_2048; disks need a symmetric key for encryption",
        missing: f"{missing} does not exist in eu-west-1; keys of other regions do not fit",
    }.items():
        with pytest.raises(ConfigError) as caught:
            check_references(write(network=network, machines=f'kms_key_id = "{key}"'), client)
        assert caught.value.what == f"pio-tf.hcl:17: machines.kms_key_id: {why}"


def test_a_parameter_must_hold_an_image_that_exists(client: Callable[[str], Any], write: Write) -> None:
    ssm, network = client("ssm"), 'cidr = "10.1.0.0/24"'
    for name, value in (("good", UBUNTU), ("text", "no image"), ("gone", "ami-0dead")):
        ssm.put_parameter(Name=f"/images/{name}", Value=value, Type="String")
    check_references(write(network=network, driver='ami_parameter = "/images/good"'), client)
    for name, why in {
        "none": "the parameter /images/none does not exist in eu-west-1",
        "text": "the parameter /images/text must hold an image id, like ami-0a1b2c3d; it holds 8 characters",
        "gone": "ami-0dead does not exist in eu-west-1, or is not shared with this account",
    }.items():
        with pytest.raises(ConfigError) as caught:
            check_references(write(network=network, driver=f'ami_parameter = "/images/{name}"'), client)
        assert caught.value.what == f"pio-tf.hcl:7: driver.ami_parameter: {why}"


def test_a_parameter_is_checked_also_for_machines_that_exist(client: Callable[[str], Any], write: Write) -> None:
    config = write(network='cidr = "10.1.0.0/24"', driver='ami_parameter = "/images/nowhere"')
    with pytest.raises(ConfigError, match="the parameter /images/nowhere does not exist"):
        check_references(config, client, existing=config.machine_names)
