"""Identities in AWS: that of the credentials, which every identity may ask AWS for, and ARNs that need no question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.aws.errors import aws_errors
from pio_tf.config.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.config.schema import Config


def deadline_boundary_arn(config: Config, *, account: str) -> str:
    """Return the policy that limits the role for deadlines: pio-tf.hcl's, else the one that `pio-tf iam` proposes.

    Args:
        account: twelve digits, or ``*``.
    """
    block, region = config.failsafe, config.aws.region
    if block.permissions_boundary is not None:
        return block.permissions_boundary
    name = f"pio-tf-{config.cluster.name}-{region}-boundary"
    return f"arn:{partition_of(region)}:iam::{account}:policy{block.role_path}{name}"


def deadline_role_arn(config: Config, *, account: str) -> str | None:
    """Return the role in pio-tf.hcl that EventBridge Scheduler stops the machines with; None if there is none.

    terraform/modules/failsafe names it. Terraform's outputs have it too, but only once all machines exist.

    Args:
        account: twelve digits, or ``*``.
    """
    block = config.failsafe
    if block.role_arn is not None:
        return block.role_arn
    if not block.role:
        return None
    return _role_arn(config, f"pio-tf-{config.cluster.name}-{config.aws.region}", account=account)


def schedule_role_arn(config: Config, *, account: str) -> str | None:
    """Return the role that EventBridge Scheduler starts and stops the machines with for scheduled trainings, if any.

    terraform/modules/failsafe names it.

    Args:
        account: twelve digits, or ``*``.
    """
    if config.schedule is None:
        return None
    if config.schedule.role_arn is not None:
        return config.schedule.role_arn
    return _role_arn(config, f"pio-tf-{config.cluster.name}-{config.aws.region}-s", account=account)


def _role_arn(config: Config, name: str, *, account: str) -> str:
    return f"arn:{partition_of(config.aws.region)}:iam::{account}:role{config.failsafe.role_path}{name}"


def machine_role_arn(config: Config, *, account: str) -> str | None:
    """Return the role that Terraform makes for the machines; None if it makes none. Its instance profile is its name.

    Args:
        account: twelve digits, or ``*``.
    """
    if not config.machines.make_instance_profile:
        return None
    region = config.aws.region
    name = f"pio-ec2-{config.cluster.name}-{region}"
    return f"arn:{partition_of(region)}:iam::{account}:role{config.failsafe.role_path}{name}"


class Identity(Struct, frozen=True):
    """An AWS identity."""

    account: str
    """Twelve digits."""
    arn: str
    """The ARN of a user, or of a role with the name of its session."""


def who_am_i(client: Callable[[str], Any]) -> Identity:
    """Return the identity that pio-tf calls AWS with.

    Args:
        client: makes a botocore client of a service.

    Raises:
        AwsError: AWS does not answer, or does not know the credentials.
    """
    with aws_errors():
        answer = client("sts").get_caller_identity()
    return Identity(account=str(answer["Account"]), arn=str(answer["Arn"]))
