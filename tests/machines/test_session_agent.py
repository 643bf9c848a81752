"""A driver that Systems Manager does not reach: what is missing, as far as AWS tells it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from pio_tf.errors import RemoteError
from pio_tf.machines.session_agent import AGENT_CALLS, explain_unconnected
from pio_tf.model import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "i-0123456789abcdef0"
DRIVER = Machine("driver", "driver", ID, "r5.xlarge", "running", "10.0.0.10", None, None)
ARN = "arn:aws:iam::123456789012"
ROLE = {"RoleName": "training", "RoleId": "AROA1234567890123456", "Path": "/", "Arn": f"{ARN}:role/training"}
PROFILE = {
    "InstanceProfileName": "training",
    "InstanceProfileId": "AIPA1234567890123456",
    "Path": "/",
    "Arn": f"{ARN}:instance-profile/training",
    "CreateDate": datetime(2026, 1, 1, tzinfo=timezone.utc),
}
Answer = tuple[str, str, Any]
NEVER: Answer = ("ssm", "describe_instance_information", {"InstanceInformationList": []})
NO_PROFILE: Answer = ("ec2", "describe_instances", {"Reservations": [{"Instances": [{"InstanceId": ID}]}]})
HAS_PROFILE: Answer = (
    "ec2",
    "describe_instances",
    {"Reservations": [{"Instances": [{"InstanceId": ID, "IamInstanceProfile": {"Arn": PROFILE["Arn"]}}]}]},
)
OF_ROLE: Answer = (
    "iam",
    "get_instance_profile",
    {"InstanceProfile": {**PROFILE, "Roles": [{**ROLE, "CreateDate": PROFILE["CreateDate"]}]}},
)
INSTALL = "install amazon-ssm-agent in the image"
ATTACH = "attach the policy AmazonSSMManagedInstanceCore to the role training"


def agent(status: str) -> Answer:
    found = {"InstanceId": ID, "PingStatus": status, "LastPingDateTime": datetime(2026, 11, 23, 2, tzinfo=timezone.utc)}
    return ("ssm", "describe_instance_information", {"InstanceInformationList": [found]})


def default_role(name: str) -> Answer:
    return ("ssm", "get_service_setting", {"ServiceSetting": {"SettingValue": name}})


def allows(*refused: str) -> Answer:
    results = [
        {"EvalActionName": one, "EvalDecision": "implicitDeny" if one in refused else "allowed"} for one in AGENT_CALLS
    ]
    return ("iam", "simulate_principal_policy", {"EvaluationResults": results})


def explained(answers: list[Answer]) -> RemoteError:
    """Return the error as the user reads it, after AWS has given these answers; a text is its refusal."""
    stubbers: dict[str, Stubber] = {}
    for service, call, answer in answers:
        if service not in stubbers:
            client = boto3.client(service, "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")  # type: ignore[call-overload]
            stubbers[service] = Stubber(client)
        if isinstance(answer, str):
            stubbers[service].add_client_error(call, answer, "denied", 403)
        else:
            stubbers[service].add_response(call, answer)
    for stubber in stubbers.values():
        stubber.activate()
    client_of: Callable[[str], Any] = lambda service: stubbers[service].client  # noqa: E731
    error = RemoteError("cannot reach driver", cause="TargetNotConnected", next_step="as before")
    explain_unconnected(error, client_of, DRIVER)
    for stubber in stubbers.values():
        stubber.assert_no_pending_responses()
    return error


@pytest.mark.parametrize(
    ("answers", "cause", "next_step"),
    [
        ([agent("Online")], "meanwhile, the SSM agent of driver is online", "try again"),
        (
            [agent("ConnectionLost")],
            "the SSM agent of driver was connected, but has been silent since 2026-11-23 02:00 UTC",
            "check on driver that the agent runs",
        ),
        (
            [NEVER, NO_PROFILE, default_role("$None")],
            "driver has no instance profile, so its SSM agent can't register",
            "set machines.make_instance_profile or machines.instance_profile, and run `pio-tf apply`",
        ),
        ([NEVER, NO_PROFILE, default_role("managed")], "its SSM agent has never connected", INSTALL),
        (
            [NEVER, HAS_PROFILE, ("iam", "get_instance_profile", {"InstanceProfile": {**PROFILE, "Roles": []}})],
            "the instance profile training of driver has no role",
            "add a role with the policy AmazonSSMManagedInstanceCore to the profile",
        ),
        (
            [NEVER, HAS_PROFILE, OF_ROLE, allows("ssm:UpdateInstanceInformation")],
            "the role training of driver's instance profile training does not allow ssm:UpdateInstanceInformation",
            ATTACH,
        ),
        ([NEVER, HAS_PROFILE, OF_ROLE, allows()], "driver has the permissions, but its SSM agent", INSTALL),
    ],
)
def test_each_thing_that_may_be_missing_has_its_next_step(answers: list[Answer], cause: str, next_step: str) -> None:
    error = explained(answers)
    first, _, second = error.cause.partition("\n")
    assert first == "TargetNotConnected"
    assert cause in second
    assert error.next_step.startswith(next_step)


@pytest.mark.parametrize(
    "answers",
    [
        [("ssm", "describe_instance_information", "AccessDeniedException")],
        [NEVER, HAS_PROFILE, OF_ROLE, ("iam", "simulate_principal_policy", "AccessDenied")],
    ],
)
def test_without_permission_to_ask_the_error_says_so_and_keeps_its_next_step(answers: list[Answer]) -> None:
    error = explained(answers)
    assert "AWS did not tell what is missing: " in error.cause
    assert error.next_step == "as before"
