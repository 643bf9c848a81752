"""`pio-tf list`: all clusters of an account and region, found by their tags."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.starter import Starter, load_starter
from pio_tf.iam import policies
from tests.iam.requests import requests
from tests.support.iam_policies import used
from tests.support.recording_aws import ACCOUNT, REGION, RecordingAws
from tests.support.shell import Project, service_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLE = f"arn:aws:iam::{ACCOUNT}:role/stopper"


@dataclass
class Site:
    """A local AWS with a running cluster, a stopped one, one of an unknown type, and a machine of others."""

    aws: RecordingAws
    environment: dict[str, str]

    def run(self, directory: Path, *words: str) -> Any:  # noqa: ANN401 - JSON
        project = Project(directory, environment=self.environment)
        return json.loads(project.run("list", *words, "--json").stdout)


def client(aws: RecordingAws, service: str) -> Any:  # noqa: ANN401 - boto3 makes them
    return service_client(aws.url, service, region=REGION)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with RecordingAws(transition_seconds=0) as aws:
        ec2 = client(aws, "ec2")
        for cluster, kind, number in (("day", "r5.xlarge", 3), ("night", "r5.xlarge", 3), ("odd", "x1.32xlarge", 1)):
            tags = [{"Key": "pio-tf:cluster", "Value": cluster}, {"Key": "pio-tf:role", "Value": "worker"}]
            made = ec2.run_instances(
                ImageId="ami-0a1b2c3d4e5f60718",
                InstanceType=kind,
                MinCount=number,
                MaxCount=number,
                BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 73, "VolumeType": "gp3"}}],
                TagSpecifications=[{"ResourceType": one, "Tags": tags} for one in ("instance", "volume")],
            )
            if cluster == "night":
                ec2.stop_instances(InstanceIds=[one["InstanceId"] for one in made["Instances"]])
        ec2.run_instances(ImageId="ami-0a1b2c3d4e5f60718", MinCount=1, MaxCount=1)
        trust = {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        client(aws, "iam").create_role(RoleName="stopper", AssumeRolePolicyDocument=document)
        client(aws, "scheduler").create_schedule(
            Name="pio-tf-day",
            ScheduleExpression="at(2036-11-23T05:00:00)",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            State="ENABLED",
            Target={
                "Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances",
                "RoleArn": ROLE,
                "Input": json.dumps({"InstanceIds": ["i-1"]}),
            },
        )
        environment = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        yield Site(aws, environment)


def test_every_cluster_is_shown_with_its_power_deadline_and_cost(tmp_path: Path, site: Site) -> None:
    result = site.run(tmp_path, "--region", REGION)
    assert result["region"] == REGION
    day, night, odd = result["clusters"]
    assert [one["cluster"] for one in (day, night, odd)] == ["day", "night", "odd"]
    assert (day["state"], day["running"], day["machines"], day["deadline"]) == (
        "running",
        3,
        3,
        "2036-11-23T05:00:00+00:00",
    )
    disks = 3 * 73 * 0.08 / 730
    assert night["hourly_usd"] == night["stopped_hourly_usd"] == day["stopped_hourly_usd"] == pytest.approx(disks)
    assert day["hourly_usd"] == pytest.approx(disks + 3 * 0.252 + 3 * 0.005)  # each has a public address
    assert (night["state"], night["running"], night["deadline"]) == ("stopped", 0, None)
    assert odd["hourly_usd"] is None


def test_people_are_warned_of_machines_without_a_deadline(tmp_path: Path, site: Site) -> None:
    done = Project(tmp_path, environment=site.environment).run("list", "--region", REGION)
    assert "warning: machines run, and no deadline is known: odd" in done.stdout
    assert "estimate with on-demand prices of us-east-1" in done.stdout


def test_the_region_is_that_of_the_file_of_the_option_or_of_the_environment(tmp_path: Path, site: Site) -> None:
    assert site.run(tmp_path, "--region", "eu-west-1") | {"note": ""} == {
        "version": 1,
        "region": "eu-west-1",
        "clusters": [],
        "note": "",
    }
    site.environment["AWS_DEFAULT_REGION"] = "eu-west-2"
    assert site.run(tmp_path)["region"] == "eu-west-2"
    Project(tmp_path).write()
    assert site.run(tmp_path)["region"] == "us-east-1"
    assert site.run(tmp_path, "--region", "eu-west-1")["region"] == "eu-west-1"


def test_one_pass_of_calls_that_the_policy_allows(tmp_path: Path, site: Site) -> None:
    with site.aws.recording() as calls:
        site.run(tmp_path, "--region", REGION)
    (policy,) = policies(load_starter(Starter(region=REGION)), "list", account=ACCOUNT)
    asked = [one for call in calls for one in requests(call, image_owner="")]
    assert [one.action for one in asked if used(policy.document, one) is None] == []
    assert {one.action for one in asked} == {action for grant in policy.grants for action in grant.makers}
    assert len(calls) == 5  # one for each kind, and one for the deadline that there is
