"""Instance types as DescribeInstanceTypes says them (moto carries AWS's own figures)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.config.sizing import InstanceSpec
from pio_tf.errors import ConfigError
from pio_tf.machines.instance_types import describe_instance_types, find_instance_types

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.sandbox.aws import LocalAws
    from tests.machines.conftest import MakeConfig


def test_memory_vcpus_and_architecture_come_from_ec2(ec2: EC2Client, local_aws: LocalAws) -> None:
    before = local_aws.calls["ec2", "DescribeInstanceTypes"]
    assert find_instance_types(ec2, ["r3.xlarge", "r3.2xlarge", "r6g.xlarge", "t2.micro", "r3.xlarge", "r3.xs"]) == {
        "r3.xlarge": InstanceSpec("r3.xlarge", 31232, 4, "x86_64"),
        "r3.2xlarge": InstanceSpec("r3.2xlarge", 62464, 8, "x86_64"),
        "r6g.xlarge": InstanceSpec("r6g.xlarge", 32768, 4, "arm64", needs_ena=True),
        "t2.micro": InstanceSpec("t2.micro", 1024, 1, "x86_64"),
    }
    assert local_aws.calls["ec2", "DescribeInstanceTypes"] == before + 1


def test_the_types_of_a_configuration_are_described_in_one_call(
    ec2: EC2Client, local_aws: LocalAws, make_config: MakeConfig
) -> None:
    config = make_config(driver={"instance_type": "r3.2xlarge"}, spark={"master_instance_type": "m5.large"})
    before = local_aws.calls["ec2", "DescribeInstanceTypes"]
    assert set(describe_instance_types(ec2, config)) == {
        "r3.2xlarge",
        "m5.large",
        "r3.xlarge",
        "r5.xlarge",
        "r6i.xlarge",
    }
    assert local_aws.calls["ec2", "DescribeInstanceTypes"] == before + 1


def test_an_unknown_size_lists_what_the_family_has(ec2: EC2Client, make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        describe_instance_types(ec2, make_config(spark={"instance_type": "r3.xlage"}))
    sizes = "r3.large, r3.xlarge, r3.2xlarge, r3.4xlarge, r3.8xlarge"
    assert caught.value.what == (
        f"pio-tf.hcl: spark.instance_type: instance type r3.xlage does not exist in eu-west-1; r3 has {sizes}"
    )


def test_what_cannot_be_had_and_what_cannot_be_used_are_told_at_once(ec2: EC2Client, make_config: MakeConfig) -> None:
    config = make_config(
        driver={"instance_type": "q9.large"},
        spark={"instance_type": "r3.tiny", "master_instance_type": "m6g.large"},
    )
    with pytest.raises(ConfigError) as caught:
        describe_instance_types(ec2, config)
    family, size, architecture = caught.value.what.splitlines()
    assert "driver.instance_type: instance type q9.large does not exist in eu-west-1, which has no family q9" in family
    assert "; of this size it has r" in family
    assert "spark.instance_type: instance type r3.tiny does not exist in eu-west-1" in size
    assert "spark.master_instance_type: m6g.large is arm64, but machines must be x86_64" in architecture
    assert "eu-west-1 has m" in architecture
    assert "aws.region" in caught.value.next_step
