"""The role for the deadlines of machines that exist already, as EventBridge Scheduler may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pio_tf.errors import ConfigError
from pio_tf.machines.deadline_role import DeadlineRole
from pio_tf.sandbox.schedules import may_act
from tests.machines.conftest import REGION
from tests.support.recording_aws import ACCOUNT

if TYPE_CHECKING:
    from pio_tf.sandbox.aws import LocalAws


@pytest.fixture
def iam(local_aws: LocalAws) -> Any:  # noqa: ANN401 - boto3 makes it
    return boto3.client(
        "iam", region_name=REGION, endpoint_url=local_aws.url, aws_access_key_id="x", aws_secret_access_key="x"
    )


def test_scheduler_may_stop_these_instances_and_do_nothing_else(iam: Any) -> None:  # noqa: ANN401 - as above
    role = DeadlineRole("ur", REGION, ACCOUNT, ("i-0d", "i-0a"))
    role.refuse_existing(iam)
    role.create(iam)

    def may(action: str, instance: str) -> bool:
        return may_act(role.arn, action, instance, tags={}, account=ACCOUNT, region=REGION)

    assert may("ec2:StopInstances", "i-0d")
    assert may("ec2:StopInstances", "i-0a")
    assert not may("ec2:StopInstances", "i-0f")
    assert not may("ec2:TerminateInstances", "i-0d")


def test_a_role_of_an_earlier_adoption_is_left_alone(iam: Any) -> None:  # noqa: ANN401 - as above
    role = DeadlineRole("again", REGION, ACCOUNT, ("i-0d",))
    role.create(iam)
    with pytest.raises(ConfigError, match="exists already") as caught:
        DeadlineRole("again", REGION, ACCOUNT, ("i-0f",)).refuse_existing(iam)
    assert f"--role-arn {role.arn}" in caught.value.next_step


def test_the_name_of_the_longest_cluster_fits_into_iam() -> None:
    assert len(DeadlineRole("c" * 40, "ap-southeast-1", ACCOUNT, ()).name) == 64
