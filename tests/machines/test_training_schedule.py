"""The schedules of trainings in EventBridge Scheduler, where AWS does not do as it is asked."""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from pio_tf.config.recurring_time import parse_recurring_time
from pio_tf.errors import AwsError
from pio_tf.machines.training_schedule import ClusterSchedule, ScheduledStart, TrainingSchedule, show_tags
from pio_tf.model import Machine

DRIVER = Machine("driver", "driver", "i-0d", "r5.large", "stopped", "10.20.0.10", None, None)
WANTED = ClusterSchedule(
    parse_recurring_time("cron(0 3 ? * SUN *)"), ZoneInfo("UTC"), "abc", frozenset({"i-0d"}), "arn:aws:iam::1:role/s"
)


class Ec2:
    """An EC2 that refuses to show tags."""

    def modify_instance_metadata_options(self, **_options: str) -> None:
        raise ClientError(
            {"Error": {"Code": "InvalidParameterValue", "Message": "The tag key 'a b' is not valid"}},
            "ModifyInstanceMetadataOptions",
        )


def test_tags_that_ec2_does_not_show_are_explained_and_a_driver_that_reads_them_is_left_alone() -> None:
    ec2 = cast("Any", Ec2())
    with pytest.raises(AwsError) as refused:
        show_tags(ec2, DRIVER)
    assert "a space or a slash in its key" in refused.value.next_step
    show_tags(ec2, replace(DRIVER, reads_tags=True))


class Forgetful:
    """A Scheduler that keeps another token than it is given, as when two clients set a schedule at once."""

    class meta:  # noqa: N801 - botocore's
        region_name = "eu-west-1"

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    def get_schedule(self, Name: str, GroupName: str) -> dict[str, Any]:  # noqa: N803, ARG002 - botocore's
        if Name not in self.kept:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "GetSchedule")
        return self.kept[Name]

    def update_schedule(self, **request: Any) -> None:  # noqa: ANN401 - botocore's
        text = request["Target"]["Input"].replace("abc", "of another client")
        self.kept[request["Name"]] = {**request, "Target": {**request["Target"], "Input": text}}


def test_a_schedule_that_another_client_writes_at_the_same_time_is_an_error() -> None:
    schedule = TrainingSchedule(cast("Any", Forgetful()), cluster="ur", sleep=lambda _seconds: None)
    with pytest.raises(AwsError, match=r"the schedule pio-tf-ur.mark is not as requested") as refused:
        schedule.put(WANTED, max_runtime=3600)
    assert refused.value.details["differ"] == ["Input"]


def test_a_schedule_of_another_tool_is_none_of_pio_tf() -> None:
    scheduler = Forgetful()
    scheduler.kept["pio-tf-ur.mark"] = {"ScheduleExpression": "rate(1 day)", "Target": {"Input": "{}"}}
    assert TrainingSchedule(cast("Any", scheduler), cluster="ur").find() is None


@pytest.mark.parametrize("tag", ["", "abc", "abc yesterday", "2026-11-29T02:00:00Z"])
def test_a_tag_that_is_no_mark_is_none(tag: str) -> None:
    assert ScheduledStart.read(tag) is None
