"""References of pio-tf.hcl to nothing in AWS, and commands before the cluster is created."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

from tests.support.shell import ec2

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws
    from tests.support.shell import Project


def test_verbose_names_the_calls_to_aws_and_no_parameter_of_theirs(project: Project) -> None:
    said = project.run("status", "--verbose").stderr
    assert "AWS: ec2 DescribeInstances" in said.splitlines()
    assert "Credential" not in said
    assert "testing" not in said
    assert "AWS:" not in project.run("status").stderr


def test_status_before_anything_was_created_says_what_creates_it(project: Project) -> None:
    done = project.run("status")
    assert "trial has no machines: `pio-tf up` creates them" in done.stdout
    shown = json.loads(project.run("status", "--json").stdout)
    assert (shown["created"], shown["machines"]) == (False, [])


def test_down_before_anything_was_created_is_done_already(project: Project) -> None:
    assert "trial has no machines" in project.run("down").stderr


def test_output_and_config_before_anything_was_created_name_the_command(project: Project) -> None:
    for command in ("output", "config show", "config push"):
        said = project.fails(*command.split(), exit_code=5)
        assert "trial has not been created" in said
        assert "pio-tf up" in said


def test_everything_that_does_not_exist_is_named_at_once_with_its_line(project: Project, aws: LocalAws) -> None:
    vpc = ec2(aws.url).create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    other = ec2(aws.url).create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2(aws.url).create_subnet(VpcId=other, CidrBlock="10.2.0.0/24")["Subnet"]["SubnetId"]
    project.write(
        network=f'vpc_id = "{vpc}"\nsubnet_id = "{subnet}"',
        driver='ami = "ami-0123456789abcdef0"\nallow_small_memory = true',
        spark='instance_type = "r3.huge"\nami_filter {\nname = "no-such-image-*"\n}',
        ssh='key = "id"\nkey_pair = "lost"',
    )
    said = project.fails("plan", exit_code=2)
    for at, message in (
        ("subnet_id", f"network.subnet_id: {subnet} is in {other}, not in {vpc}"),
        ("ami =", "driver.ami: ami-0123456789abcdef0 does not exist in us-east-1"),
        ("r3.huge", "spark.instance_type: instance type r3.huge does not exist in us-east-1; r3 has r3.large"),
        ("key_pair", "ssh.key_pair: key pair lost does not exist in us-east-1"),
    ):
        assert f"{project.line(at)}: {message}" in said
    assert "no-such-image-*" in said
    assert "aws.region" in said
    assert project.states() == {}
    assert not (project.directory / ".pio-tf").exists(), "Terraform was begun all the same"


def test_up_and_apply_refuse_a_subnet_that_does_not_exist_before_anything_is_made(
    project: Project, aws: LocalAws
) -> None:
    project.write(network='vpc_id = "vpc-0123456789abcdef0"\nsubnet_id = "subnet-0123456789abcdef0"')
    before = aws.calls["ec2", "RunInstances"]
    for command in ("up", "apply"):
        said = project.fails(command, exit_code=2)
        assert f"{project.line('subnet_id')}: network.subnet_id: subnet-0123456789abcdef0 does not exist" in said
        assert f"{project.line('vpc_id')}: network.vpc_id: vpc-0123456789abcdef0 does not exist" in said
    assert aws.calls["ec2", "RunInstances"] == before


def test_a_subnet_of_another_region_is_looked_for_in_the_one_that_is_configured(
    project: Project, aws: LocalAws
) -> None:
    client = ec2(aws.url, region="eu-west-1")
    vpc = client.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.3.0.0/24")["Subnet"]["SubnetId"]
    project.write(network=f'vpc_id = "{vpc}"\nsubnet_id = "{subnet}"')
    said = project.fails("plan", exit_code=2)
    assert f"{subnet} does not exist in us-east-1" in said
    assert "aws.region" in said


def test_an_endpoint_where_nothing_listens_is_named_with_its_address(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    path = project.directory / "pio-tf.hcl"
    path.write_text(re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{port}", path.read_text()))
    for command in ("status", "down"):
        said = project.fails(command, exit_code=1)
        assert f"http://127.0.0.1:{port}" in said
        assert "aws.endpoint_url" in said


def test_a_zone_of_another_region(project: Project) -> None:
    project.write(network='cidr = "10.4.0.0/24"\navailability_zone = "eu-west-1a"')
    said = project.fails("plan", exit_code=2)
    assert f"{project.line('availability_zone')}: network.availability_zone: zone eu-west-1a does not exist" in said
    assert "us-east-1 has us-east-1a" in said


def test_a_driver_that_is_too_small_is_refused_before_anything_is_made(project: Project) -> None:
    project.write(driver='instance_type = "m5.large"')
    said = project.fails("up", exit_code=2)
    assert "16" in said
    assert "allow_small_memory" in said
    assert project.states() == {}


def test_a_file_where_pio_tf_keeps_its_own_stops_up_before_anything_is_made(project: Project) -> None:
    (project.directory / ".pio-tf").write_text("")
    said = project.fails("up", exit_code=2)
    assert str(project.directory / ".pio-tf") in said
    assert project.states() == {}
    assert "trial has no machines" in project.run("down").stderr


def test_a_working_directory_that_cannot_be_made_is_no_bug(project: Project, mirror: Path) -> None:
    project.mirror = mirror
    project.write()
    path = project.directory / "pio-tf.hcl"
    path.write_text(path.read_text().replace("terraform {", 'terraform {\ndirectory = "stack"'))
    (project.directory / ".pio-tf").write_text("")
    said = project.fails("plan", exit_code=1)
    assert f"{project.directory / '.pio-tf'}" in said
    assert "Not a directory" in said
    assert "ls -ld" in said


def test_a_spot_request_is_refused_with_its_line_and_the_reason(project: Project) -> None:
    project.write(spark='instance_type = "m5.large"\nspot_price = "0.10"')
    said = project.fails("plan", exit_code=2)
    message = "spark.spot_price: Spot instances are not supported: they cannot be stopped"
    assert f"{project.line('spot_price')}: {message}" in said


def test_a_machine_for_another_architecture_is_refused_before_anything_is_made(project: Project) -> None:
    project.write(spark='instance_type = "m6g.large"\nworkers = 1')
    for command in ("plan", "up"):
        said = project.fails(command, exit_code=2)
        assert f"{project.line('m6g.large')}: spark.instance_type: m6g.large is arm64, but machines must be x86" in said
        assert "us-east-1 has m6" in said
    assert project.states() == {}


def test_a_spot_machine_is_shown_and_no_machine_is_started_beside_it(project: Project, aws: LocalAws) -> None:
    tags = {"pio-tf:cluster": project.name, "pio-tf:machine": "worker-1", "pio-tf:role": "worker"}
    (made,) = ec2(aws.url).run_instances(
        ImageId="ami-0a1b2c3d4e5f60718",
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        InstanceMarketOptions={"MarketType": "spot"},
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )["Instances"]
    shown = project.run("status")
    assert "worker-1 (Spot)" in shown.stdout
    assert f"worker-1 ({made['InstanceId']}) is a Spot instance, which can't be stopped and started" in " ".join(
        shown.stderr.split()
    )
    assert json.loads(project.run("status", "--json").stdout)["machines"][0]["spot"] is True
    said = project.fails("up", exit_code=1)
    assert f"({made['InstanceId']}) is a Spot instance, which can't be stopped and started again" in said
    assert "on-demand machines" in said
    assert set(project.states()) == {"worker-1"}
    ec2(aws.url).terminate_instances(InstanceIds=[made["InstanceId"]])
