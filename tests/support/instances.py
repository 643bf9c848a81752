"""Clusters in the local AWS, made with RunInstances as Terraform would make them, and the outputs that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, MachineOutput, Outputs

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from pio_tf.model import Role

UBUNTU = "ami-0a1b2c3d4e5f60718"


def with_all_operations(ec2: EC2Client) -> EC2Client:
    """Return a client for the same local AWS, with the operations that pio-tf's own does without."""
    return boto3.client(
        "ec2",
        region_name=ec2.meta.region_name,
        endpoint_url=ec2.meta.endpoint_url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


def run_machine(ec2: EC2Client, *, cluster: str | None, tags: dict[str, str]) -> InstanceTypeDef:
    """Run one instance with these tags, and the cluster's unless that is None."""
    all_tags = {**tags, **({CLUSTER_TAG: cluster} if cluster else {})}
    return with_all_operations(ec2).run_instances(
        ImageId=UBUNTU,
        InstanceType="r3.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in all_tags.items()]}
        ],
    )["Instances"][0]


def make_cluster(ec2: EC2Client, name: str, *, workers: int) -> Outputs:
    """Make a cluster of pending machines."""
    machines: list[MachineOutput] = []
    for machine in ("driver", "master", *(f"worker-{n}" for n in range(1, workers + 1))):
        role: Role = "driver" if machine == "driver" else "master" if machine == "master" else "worker"
        made = run_machine(ec2, cluster=name, tags={MACHINE_TAG: machine, ROLE_TAG: role})
        machines.append(MachineOutput(machine, role, made["InstanceId"], made["PrivateIpAddress"]))
    return Outputs(cluster=name, region=ec2.meta.region_name, machines=tuple(machines))
