"""The reason why Systems Manager does not reach a machine, as far as AWS tells it.

A machine's SSM agent registers with the credentials of its instance profile. So a machine that Systems Manager does not
know lacks a profile, permissions, or the agent. Source: "Troubleshooting managed node availability" in its user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pio_tf.aws.errors import aws_errors
from pio_tf.errors import AwsError, PioTfError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.model import Machine

NOT_CONNECTED: Final = "TargetNotConnected"
"""AWS's error code: the agent of the machine is not connected."""
AGENT_CALLS: Final = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""What the agent calls for sessions."""
DEFAULT_ROLE_SETTING: Final = "/ssm/managed-instance/default-ec2-instance-management-role"
"""Default Host Management Configuration: the role of all machines without permissions of their own; `$None`: none."""
_ROUTE: Final = "that it has a route to the internet, or VPC endpoints of ssm and ssmmessages (network.egress)"


class AgentProblem(NamedTuple):
    """The reason why an agent is not connected, and the next step."""

    cause: str
    next_step: str


def explain_unconnected(error: PioTfError, client: Callable[[str], Any], machine: Machine) -> None:
    """Add to an error with :data:`NOT_CONNECTED` what is missing. If AWS refuses to tell, add that.

    Args:
        client: makes a botocore client of a service.
    """
    try:
        found = find_agent_problem(client, machine)
    except AwsError as unknown:
        error.cause += f"\n       AWS did not tell what is missing: {unknown.what}"
        return
    error.cause += f"\n       {found.cause}"
    error.next_step = found.next_step


def find_agent_problem(client: Callable[[str], Any], machine: Machine) -> AgentProblem:
    """Return what keeps the SSM agent of a machine from connecting.

    Raises:
        AwsError: a call failed.
    """
    name, ssm = machine.name, client("ssm")
    with aws_errors(f"looking up the SSM agent of {name}", service="ssm"):
        wanted = [{"Key": "InstanceIds", "Values": [machine.instance_id]}]
        agents = ssm.describe_instance_information(Filters=wanted)["InstanceInformationList"]
    if agents and agents[0]["PingStatus"] == "Online":
        return AgentProblem(f"meanwhile, the SSM agent of {name} is online", "try again")
    if agents:
        since = f"{agents[0]['LastPingDateTime']:%Y-%m-%d %H:%M} UTC"
        return AgentProblem(
            f"the SSM agent of {name} was connected, but has been silent since {since}",
            f"check on {name} that the agent runs, and {_ROUTE}; `pio-tf down` and `pio-tf up` start it again",
        )
    return _permission_problem(client, machine) or AgentProblem(
        f"{name} has the permissions, but its SSM agent has never connected: it is missing, stopped, or has no route",
        f"install amazon-ssm-agent in the image (Ubuntu's has it, Debian's has not), and check {_ROUTE}",
    )


def _permission_problem(client: Callable[[str], Any], machine: Machine) -> AgentProblem | None:
    """Return what a machine lacks before its agent could connect; None: nothing."""
    name = machine.name
    with aws_errors(f"looking up {name}"):
        found = client("ec2").describe_instances(InstanceIds=[machine.instance_id])
    profile = found["Reservations"][0]["Instances"][0].get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]
    if not profile:
        with aws_errors("looking up the default role of Systems Manager", service="ssm"):
            setting = client("ssm").get_service_setting(SettingId=DEFAULT_ROLE_SETTING)["ServiceSetting"]
        if setting["SettingValue"] != "$None":
            return None
        return AgentProblem(
            f"{name} has no instance profile, so its SSM agent can't register",
            "set machines.make_instance_profile or machines.instance_profile, and run `pio-tf apply`",
        )
    iam = client("iam")
    with aws_errors(f"looking up instance profile {profile}", service="iam"):
        roles = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    if not roles:
        why = f"the instance profile {profile} of {name} has no role, so its SSM agent can't register"
        return AgentProblem(why, "add a role with the policy AmazonSSMManagedInstanceCore to the profile")
    role = roles[0]["RoleName"]
    with aws_errors(f"looking up the permissions of role {role}", service="iam"):
        results = iam.simulate_principal_policy(PolicySourceArn=roles[0]["Arn"], ActionNames=list(AGENT_CALLS))
    refused = [one["EvalActionName"] for one in results["EvaluationResults"] if one["EvalDecision"] != "allowed"]
    if not refused:
        return None
    return AgentProblem(
        f"the role {role} of {name}'s instance profile {profile} does not allow {', '.join(refused)}",
        f"attach the policy AmazonSSMManagedInstanceCore to the role {role}",
    )
