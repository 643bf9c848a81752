"""The sandbox's EC2 answers with the bytes that moto writes by itself, though quicker."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import pytest
from moto.core.serialize import EC2Serializer, ResponseSerializer

from pio_tf.sandbox.aws import LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import TagTypeDef

SESSION = boto3.Session(region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
BY_MOTO = ResponseSerializer.get_value, EC2Serializer._serialize_body


@pytest.fixture(scope="module")
def ec2() -> Iterator[EC2Client]:
    """Return a client of an EC2 with a tagged machine, which has an address and a name with XML's own characters."""
    with LocalAws() as aws:
        client = SESSION.client("ec2", endpoint_url=aws.url)
        vpc = client.create_vpc(CidrBlock="10.20.0.0/24")["Vpc"]["VpcId"]
        subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/24")["Subnet"]["SubnetId"]
        made = client.run_instances(
            ImageId=client.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"],
            InstanceType="r3.xlarge",
            MinCount=2,
            MaxCount=2,
            SubnetId=subnet,
        )
        machine = made["Instances"][0]["InstanceId"]
        tags: list[TagTypeDef] = [{"Key": "Name", "Value": "<&> \"'\u20ac"}, {"Key": "empty", "Value": ""}]
        client.create_tags(Resources=[machine], Tags=tags)
        address = client.allocate_address(Domain="vpc")["AllocationId"]
        client.associate_address(AllocationId=address, InstanceId=machine)
        yield client
        client.close()


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("describe_instances", {}),
        ("describe_instance_status", {"IncludeAllInstances": True}),
        ("describe_instance_types", {"InstanceTypes": ["r3.xlarge", "t3.medium"]}),
        ("describe_network_interfaces", {}),
        ("describe_volumes", {}),
        ("describe_addresses", {}),
        ("describe_security_groups", {}),
        ("describe_subnets", {}),
        ("describe_route_tables", {}),
        ("describe_vpcs", {}),
        ("describe_images", {"Owners": ["099720109477"]}),
        ("describe_tags", {}),
    ],
)
def test_an_answer_is_the_one_that_moto_writes(ec2: EC2Client, call: str, given: dict[str, Any]) -> None:
    by_moto = ((ResponseSerializer, "get_value"), (EC2Serializer, "_serialize_body"))
    quick = body_of(ec2, call, given)
    with ExitStack() as stack:
        for (owner, name), own in zip(by_moto, BY_MOTO, strict=True):
            stack.enter_context(patch.object(owner, name, own))
        slow = body_of(ec2, call, given)
    assert len(quick) > 300
    assert quick == slow


def body_of(ec2: EC2Client, call: str, given: dict[str, Any]) -> str:
    """Return the body of an answer, without the number of the request."""
    bodies: list[bytes] = []

    def keep(response_dict: dict[str, Any], **_event: object) -> None:
        bodies.append(response_dict["body"])

    ec2.meta.events.register("response-received.ec2", keep)
    try:
        getattr(ec2, call)(**given)
    finally:
        ec2.meta.events.unregister("response-received.ec2", keep)
    (body,) = bodies
    return re.sub("<requestId>.*?</requestId>", "", body.decode())
