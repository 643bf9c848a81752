"""`pio-tf cost`, on a local AWS and a server of prices."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pio_tf.cli.results.runs import CostResult, RunResult
from pio_tf.config.load import load_config
from pio_tf.iam import policies
from pio_tf.infra.cost import Prices
from pio_tf.training.runs.run_copies import Archive
from tests.cli.samples import FAILED_RUN, RUN
from tests.iam.requests import requests
from tests.support.iam_policies import used
from tests.support.json_check import mistakes
from tests.support.price_list import PriceListServer
from tests.support.recording_aws import ACCOUNT, REGION, RecordingAws
from tests.support.shell import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRICES = {(REGION, "m5.large"): 0.1, (REGION, "r5.large"): 0.2, (REGION, "gp3"): 0.073}


@pytest.fixture(scope="module")
def aws() -> Iterator[RecordingAws]:
    with RecordingAws(transition_seconds=0) as aws:
        ec2: Any = boto3.client(
            "ec2", region_name=REGION, endpoint_url=aws.url, aws_access_key_id="x", aws_secret_access_key="x"
        )
        tags = [{"Key": "pio-tf:cluster", "Value": "trial"}, {"Key": "pio-tf:role", "Value": "worker"}]
        made = ec2.run_instances(
            ImageId="ami-0a1b2c3d4e5f60718",
            InstanceType="m5.large",
            MinCount=2,
            MaxCount=2,
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 50, "VolumeType": "gp3"}}],
            TagSpecifications=[{"ResourceType": one, "Tags": tags} for one in ("instance", "volume")],
        )
        ec2.stop_instances(InstanceIds=[one["InstanceId"] for one in made["Instances"]])
        yield aws


@pytest.fixture
def project(tmp_path: Path, aws: RecordingAws) -> Iterator[Project]:
    """Yield a project with a training of two hours in October 2026."""
    with PriceListServer(PRICES).serve() as url:
        environment = {
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_ENDPOINT_URL_PRICING": url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        project = Project(tmp_path, environment=environment)
        project.write()
        began = datetime(2026, 10, 4, 3, tzinfo=timezone.utc)
        run = RUN.with_(started=began.timestamp(), ended=(began + timedelta(hours=2)).timestamp())
        Archive(tmp_path / ".pio-tf" / "trial" / "runs").save(run)
        yield project


def test_a_month_is_shown_with_its_trainings_and_beside_what_leaving_on_would_cost(project: Project) -> None:
    shown = project.run("cost", "--month", "2026-10").stdout.splitlines()
    assert [line.split() for line in shown[:5]] == [
        ["2026-10", "HOURS", "USD"],
        ["disks", "and", "Elastic", "IPs", "744.0", "7.44"],
        ["1", "training", "2.0", "0.80"],
        ["together", "8.24"],
        ["the", "same", "machines,", "left", "on", "744.0", "156.24"],
    ]
    assert shown[-1].startswith("(on-demand prices of us-east-1, from AWS's price list of 20")


def test_json_has_the_same_figures(project: Project) -> None:
    result = json.loads(project.run("cost", "--month", "2026-10", "--json").stdout)
    assert mistakes(result, CostResult) == []
    assert (result["trainings"], result["training_usd"], result["total_usd"]) == (1, 0.8, 8.24)
    assert result["running_hourly_usd"] == pytest.approx(0.21)


def test_a_price_that_is_not_known_is_said_to_be_unknown(project: Project) -> None:
    project.environment["AWS_ENDPOINT_URL_PRICING"] = "http://127.0.0.1:1"
    path = project.directory / "pio-tf.hcl"
    path.write_text(path.read_text().replace("us-east-1", "eu-west-1"))
    done = project.run("cost", "--month", "2026-10")
    assert "warning: AWS's price list can't be had" in done.stderr
    assert "which differ from those of eu-west-1" in done.stdout


@pytest.mark.parametrize(
    ("month", "reason"), [("2026-13", "is not a month"), ("October", "is not a month"), ("2999-01", "has not begun")]
)
def test_a_month_that_is_none_is_refused(project: Project, month: str, reason: str) -> None:
    assert reason in project.fails("cost", "--month", month, exit_code=2)


def test_the_policy_for_it_and_that_for_trainings_allow_its_calls(project: Project, aws: RecordingAws) -> None:
    with aws.recording() as calls:
        project.run("cost")
    config = load_config(project.directory / "pio-tf.hcl", environ={})
    both = [policy for role in ("cost", "train") for policy in policies(config, role, account=ACCOUNT)]
    asked = [one for call in calls for one in requests(call, image_owner="")]
    assert [one.action for one in asked if all(used(policy.document, one) is None for policy in both)] == []
    assert {one.action for one in asked} == {"ec2:DescribeAddresses", "ec2:DescribeInstances", "ec2:DescribeVolumes"}
    (own,) = policies(config, "cost", account=ACCOUNT)
    assert "pricing:GetProducts" in {action for grant in own.grants for action in grant.makers}


def test_a_run_shows_its_price_unless_it_has_none() -> None:
    prices = Prices({"r5.large": 0.126}, {}, "")
    shown = RunResult.of(RUN, prices)
    assert shown.cost_usd == pytest.approx(2 * 0.126 * 7525.5 / 3600, abs=1e-4)
    assert "succeeded after 2 h 5 min, about 0.53 USD, without worker-2" in shown.closing()
    assert RunResult.of(RUN, Prices({}, {}, "")).cost_usd is None
    assert RunResult.of(FAILED_RUN, prices).cost_usd is None
