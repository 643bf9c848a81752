"""What a cluster costs in a month, with AWS's price list and without."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from msgspec.structs import replace

from pio_tf.aws.session import Aws
from pio_tf.cluster.spending import kept_prices, look_up_prices, measure
from pio_tf.context import ClusterContext
from pio_tf.events import Event, Warned
from pio_tf.model import CLUSTER_TAG, Machine
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.runs.record import Client, RunRecord
from tests.support.builders import make_config
from tests.support.price_list import PriceListServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.cluster.spending import Spending

REGION = "eu-west-1"
NOW = datetime(2026, 11, 11, tzinfo=timezone.utc)
NOVEMBER = datetime(2026, 11, 1, tzinfo=timezone.utc)
HOURS = 240
"""From NOVEMBER to NOW."""
PRICES = {(REGION, "r5.xlarge"): 0.282, (REGION, "gp3"): 0.088, ("us-east-1", "r5.xlarge"): 99.0}
DRIVER = Machine("driver", "driver", "i-0d", "r5.xlarge", "stopped", "10.0.0.1", None, None)
MACHINES = (DRIVER, replace(DRIVER, name="worker-1", role="worker", instance_id="i-01"))


def run(start: datetime, hours: float | None, *, kind: str = "r5.xlarge") -> RunRecord:
    return RunRecord(
        id="20261123T180000Z-0000",
        cluster="ur",
        client=Client("ann", "laptop", 1, "2026-11-23T18:00:00Z"),
        command="pio train",
        engine_dir="/engine",
        machines=(f"driver {kind} i-0d", f"worker-1 {kind} i-01"),
        started=start.timestamp(),
        ended=None if hours is None else start.timestamp() + hours * 3600,
    )


@dataclass
class Place:
    """A cluster in Ireland with two disks of 50 GiB and an Elastic IP, and another cluster's."""

    directory: Path
    server: PriceListServer
    now: datetime = NOW
    events: list[Event] = field(default_factory=list)

    def context(self, **blocks: dict[str, Any]) -> ClusterContext:
        config = make_config(self.directory, aws={"region": REGION}, **blocks)
        return ClusterContext(
            config,
            self.events.append,
            Aws(config),
            {"XDG_CACHE_HOME": str(self.directory)},
            time.monotonic,
            time.sleep,
            lambda: self.now,
        )

    def measured(self, *runs: RunRecord, start: datetime = NOVEMBER) -> Spending:
        return measure(self.context(), MACHINES, runs, start=start)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    aws = LocalAws(transition_seconds=0)
    aws.start()
    ec2: Any = boto3.client(
        "ec2", region_name=REGION, endpoint_url=aws.url, aws_access_key_id="x", aws_secret_access_key="x"
    )
    for name, number in (("ur", 2), ("other", 3)):
        tags = [{"Key": CLUSTER_TAG, "Value": name}]
        for _ in range(number):
            ec2.create_volume(
                Size=50,
                VolumeType="gp3",
                AvailabilityZone=f"{REGION}a",
                TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
            )
        ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
    yield aws.url
    aws.stop()


@pytest.fixture
def place(tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    server = PriceListServer(PRICES)
    with server.serve() as url:
        for name, value in (("URL", aws), ("URL_PRICING", url)):
            monkeypatch.setenv(f"AWS_ENDPOINT_{name}", value)
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            monkeypatch.setenv(f"AWS_{name}", "x")
        yield Place(tmp_path, server)


def test_a_month_costs_its_disks_and_its_trainings_with_the_prices_of_the_region(place: Place) -> None:
    found = place.measured(run(NOVEMBER, 2.0), run(NOVEMBER + timedelta(days=7), 1.0))
    asleep = 100 * 0.088 / 730 + 0.005
    assert found.month.hours == HOURS
    assert (found.trainings, found.training_hours) == (2, 3.0)
    assert found.training_usd == pytest.approx(3 * 2 * 0.282)
    assert found.stopped_usd == pytest.approx(HOURS * asleep)
    assert found.total_usd == pytest.approx(3 * 2 * 0.282 + HOURS * asleep)
    assert found.left_on_usd == pytest.approx(HOURS * (asleep + 2 * 0.282))
    assert found.note == "on-demand prices of eu-west-1, from AWS's price list of 2026-11-11"


def test_trainings_of_other_months_and_those_that_run_do_not_count(place: Place) -> None:
    october, december = NOVEMBER - timedelta(seconds=1), datetime(2026, 12, 1, tzinfo=timezone.utc)
    place.now = december + timedelta(days=20)
    found = place.measured(run(october, 1.0), run(NOVEMBER, 1.0), run(december, 1.0), run(NOW, None))
    assert (found.trainings, found.month.end) == (1, december)
    assert place.measured(start=datetime(2026, 2, 1, tzinfo=timezone.utc)).month.hours == 28 * 24


def test_aws_is_asked_for_linux_on_shared_hosts_once_in_thirty_days(place: Place) -> None:
    for days in (0, 30, 31):
        place.now = NOW + timedelta(days=days)
        place.measured()
        assert len(place.server.asked) == (4 if days == 31 else 2)
    machines, disks = sorted(place.server.asked[:2], key=lambda asked: "volumeApiName" in asked)
    everywhere = {"regionCode": REGION, "locationType": "AWS Region"}
    product = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
    assert machines == {"instanceType": "r5.xlarge"} | product | everywhere
    assert disks == {"volumeApiName": "gp3", "productFamily": "Storage"} | everywhere


def test_a_type_that_was_not_asked_for_yet_is_asked_for(place: Place) -> None:
    place.measured()
    place.measured(run(NOVEMBER, 1.0, kind="r3.xlarge"))
    assert [one["instanceType"] for one in place.server.asked if "instanceType" in one].count("r3.xlarge") == 1


def test_a_type_without_a_price_is_asked_for_once_and_the_others_stay(place: Place) -> None:
    for _ in range(2):
        place.measured(run(NOVEMBER, 1.0, kind="x9.metal"))
    assert len(place.server.asked) == 3
    assert place.measured(run(NOVEMBER, 1.0)).training_usd == pytest.approx(2 * 0.282)
    assert len(place.server.asked) == 3


def test_a_user_without_a_home_directory_has_prices_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_242_424)
    assert kept_prices(replace(place.context(), environ={})).hourly["r5.xlarge"] == 0.252


def test_a_price_list_that_can_t_be_had_is_a_warning_and_the_table_takes_its_place(place: Place) -> None:
    place.server.status = 500
    assert place.measured(run(NOVEMBER, 1.0)).training_usd == pytest.approx(2 * 0.252)
    (warning,) = (one.message for one in place.events if isinstance(one, Warned))
    assert warning.startswith("AWS's price list can't be had: ")
    assert warning.endswith("; pio-tf's own prices are used")
    assert "estimate with on-demand prices of us-east-1" in place.measured().note


def test_a_type_that_has_no_price_makes_the_sum_unknown_and_not_zero(place: Place) -> None:
    found = place.measured(run(NOVEMBER, 1.0, kind="x9.metal"))
    assert (found.training_usd, found.total_usd) == (None, None)
    assert found.stopped_usd is not None


def test_what_was_read_is_known_without_a_question_and_pio_tf_hcl_goes_first(place: Place) -> None:
    assert kept_prices(place.context()).hourly["r5.xlarge"] == 0.252
    look_up_prices(place.context(), ["r5.xlarge"], ["gp3"])
    assert kept_prices(place.context()).hourly["r5.xlarge"] == 0.282
    own = kept_prices(place.context(guard={"hourly_prices": {"r5.xlarge": 0.2}}))
    assert own.hourly["r5.xlarge"] == 0.2
    assert own.note.endswith("; guard.hourly_prices overrides them")


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"region": "eu-west-1"}', "{", "\0"])
def test_a_damaged_file_of_prices_is_read_from_aws_again(place: Place, damage: str) -> None:
    place.measured()
    (file,) = place.directory.rglob("prices-*.json")
    file.write_text(damage)
    assert place.measured().note.startswith("on-demand prices of eu-west-1")
    assert json.loads(file.read_text())["value"]["hourly"] == {"r5.xlarge": 0.282}


def test_another_region_s_prices_or_tomorrow_s_are_not_taken(place: Place) -> None:
    place.measured()
    (file,) = place.directory.rglob("prices-*.json")
    file.write_text(file.read_text().replace(REGION, "eu-west-2"))
    assert kept_prices(place.context()).hourly["r5.xlarge"] == 0.252
    place.measured()
    place.now = NOW - timedelta(days=1)
    assert kept_prices(place.context()).hourly["r5.xlarge"] == 0.252


def test_a_cache_that_can_t_be_written_costs_a_question_and_nothing_else(place: Place) -> None:
    (place.directory / "pio-tf").write_text("a file where the directory would be")
    assert place.measured(run(NOVEMBER, 1.0)).training_usd == pytest.approx(2 * 0.282)
    assert place.events == []
