"""CloudWatch's other half: when an idle alarm stops a machine, and when it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.sandbox.alarms import CpuMeter
from pio_tf.sandbox.aws import LocalAws
from tests.support.background import wait_until
from tests.support.instances import run_machine
from tests.support.roles import client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REGION = "eu-west-1"
IDLE, BUSY = 0.3, 40.0


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws(transition_seconds=0) as running:
        yield running


def machine(aws: LocalAws, **changes: object) -> str:
    """Make a machine with an hour's alarm as terraform/modules/machine makes it, with these changes."""
    instance_id = str(run_machine(client("ec2", aws.url, REGION), cluster="idle", tags={})["InstanceId"])
    alarm: dict[str, Any] = {
        "AlarmName": f"pio-tf/idle/{instance_id}/idle",
        "Namespace": "AWS/EC2",
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "InstanceId", "Value": instance_id}],
        "Statistic": "Average",
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": 1.0,
        "Period": 300,
        "EvaluationPeriods": 12,
        "DatapointsToAlarm": 12,
        "TreatMissingData": "notBreaching",
        "AlarmActions": [f"arn:aws:automate:{REGION}:ec2:stop"],
    }
    client("cloudwatch", aws.url, REGION).put_metric_alarm(**{**alarm, **changes})
    return instance_id


def pass_periods(aws: LocalAws, instance_id: str, percents: Sequence[float | None]) -> None:
    """Pass periods of five minutes each, in which the machine was this busy; None: off."""
    for percent in percents:
        aws.observe_cpu({} if percent is None else {instance_id: percent})


def state(aws: LocalAws, instance_id: str) -> str:
    return next(one.state for one in aws.instances() if one.instance_id == instance_id)


def test_a_machine_that_was_idle_for_all_of_the_time_is_stopped_and_not_before(aws: LocalAws) -> None:
    one = machine(aws)
    pass_periods(aws, one, [IDLE] * 11)
    assert state(aws, one) == "running"
    pass_periods(aws, one, [IDLE])
    assert state(aws, one) == "stopped"
    found = client("cloudwatch", aws.url, REGION).describe_alarms(AlarmNames=[f"pio-tf/idle/{one}/idle"])
    assert found["MetricAlarms"][0]["StateValue"] == "ALARM"


@pytest.mark.parametrize("between", [BUSY, None], ids=["busy", "off"])
def test_five_minutes_of_work_or_of_no_power_begin_it_anew(aws: LocalAws, between: float | None) -> None:
    one = machine(aws)
    pass_periods(aws, one, [IDLE] * 11 + [between] + [IDLE] * 11)
    assert state(aws, one) == "running"
    pass_periods(aws, one, [IDLE])
    assert state(aws, one) == "stopped"


def test_it_acts_when_its_state_changes_and_after_a_start_only_when_it_was_idle_as_long_again(aws: LocalAws) -> None:
    one = machine(aws)
    pass_periods(aws, one, [IDLE] * 12 + [None])
    client("ec2", aws.url, REGION).start_instances(InstanceIds=[one])
    pass_periods(aws, one, [BUSY] + [IDLE] * 11)
    assert state(aws, one) == "running"
    pass_periods(aws, one, [IDLE])
    assert state(aws, one) == "stopped"


def test_periods_of_an_hour_are_averages_of_what_was_measured(aws: LocalAws) -> None:
    one = machine(aws, Period=3600, EvaluationPeriods=2, DatapointsToAlarm=2)
    pass_periods(aws, one, [IDLE] * 12 + [BUSY] + [IDLE] * 11)
    assert state(aws, one) == "running", "forty percent in five minutes is more than three in the hour"
    pass_periods(aws, one, [IDLE] * 12)
    assert state(aws, one) == "running"
    pass_periods(aws, one, [IDLE])
    assert state(aws, one) == "stopped"


@pytest.mark.parametrize(
    "changes",
    [
        {"TreatMissingData": "breaching"},
        {"Statistic": "Maximum"},
        {"AlarmActions": []},
        {"MetricName": "NetworkIn"},
        {"ActionsEnabled": False},
    ],
    ids=["missing data", "statistic", "no action", "metric", "switched off"],
)
def test_alarms_of_other_kinds_stop_nothing(aws: LocalAws, changes: dict[str, object]) -> None:
    one = machine(aws, **changes)
    pass_periods(aws, one, [IDLE] * 13)
    assert state(aws, one) == "running"


def test_the_meter_sees_the_processes_of_a_machine_and_no_others(aws: LocalAws, tmp_path: Path) -> None:
    busy, quiet = machine(aws), machine(aws)
    instances = [replace(one, vcpus=1) for one in aws.instances() if one.instance_id in (busy, quiet)]
    meter = CpuMeter(tmp_path)
    meter.percents(instances)
    home = tmp_path / busy / "home"
    home.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", "while True: pass"], env={"HOME": str(home), "PATH": os.defpath}
    ) as loop:
        try:
            seen: dict[str, float] = {}

            def is_seen() -> bool:
                seen.update(meter.percents(instances))
                return seen[busy] > 5

            assert wait_until(is_seen)
            assert seen[quiet] == 0
        finally:
            loop.kill()
