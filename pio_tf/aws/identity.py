"""The AWS identity of the credentials. AWS lets every identity ask for its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.aws.errors import aws_errors

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Identity:
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
