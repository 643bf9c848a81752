"""The IAM role for the deadlines of machines that exist already, which Terraform does not make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.aws.errors import aws_errors
from pio_tf.config.partitions import partition_of
from pio_tf.errors import AwsError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLICY = "stop-machines"
_INSTEAD = (
    "let an administrator make the role (docs/adopting.md has its policies) and name it with --role-arn; --no-role "
    "goes without a deadline"
)


class DeadlineRole(Struct, frozen=True):
    """A role with which EventBridge Scheduler may stop certain instances, and do nothing else.

    The module ``failsafe`` makes such a role for machines with the tag of a cluster. Here the instances' ARNs are the
    limit, because the machines carry no tag.
    """

    cluster: str
    region: str
    account: str
    ids: Sequence[str]
    path: str = "/pio-tf/"

    @property
    def name(self) -> str:
        """The role's name: at most 64 characters, IAM's limit. It ends differently from that of Terraform's role."""
        return f"pio-tf-{self.cluster}-{self.region}-i"

    @property
    def arn(self) -> str:
        """The ARN that the role has, or will have."""
        return f"arn:{partition_of(self.region)}:iam::{self.account}:role{self.path}{self.name}"

    @property
    def trust(self) -> dict[str, Any]:
        """The trust policy: only schedules of this account may use the role."""
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": "scheduler.amazonaws.com"},
                    "Condition": {"StringEquals": {"aws:SourceAccount": self.account}},
                }
            ],
        }

    @property
    def policy(self) -> dict[str, Any]:
        """The permissions."""
        place = f"arn:{partition_of(self.region)}:ec2:{self.region}:{self.account}:instance"
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "StopMachines",
                    "Effect": "Allow",
                    "Action": "ec2:StopInstances",
                    "Resource": [f"{place}/{one}" for one in self.ids],
                }
            ],
        }

    def refuse_existing(self, iam: Any) -> None:  # noqa: ANN401 - botocore makes its methods
        """Raise an error if the role exists.

        Raises:
            ConfigError: it does.
            AwsError: IAM can't be asked.
        """
        try:
            with aws_errors(f"looking for the role {self.name}", service="iam"):
                iam.get_role(RoleName=self.name)
        except AwsError as error:
            if error.details.get("code") == "NoSuchEntity":
                return
            error.next_step = f"{error.next_step}; or {_INSTEAD}"
            raise
        raise ConfigError(
            f"the IAM role {self.name} exists already",
            cause="an earlier `pio-tf adopt` has made it for a cluster of this name, or was killed while it did",
            next_step=f"use it with --role-arn {self.arn} if it has the policy {_POLICY} for the same machines; or "
            "choose another name for the cluster, or delete the role",
            details={"role": self.arn},
        )

    def create(self, iam: Any) -> None:  # noqa: ANN401 - as above
        """Create the role.

        Raises:
            AwsError: a call failed. A role without its permissions is removed again.
        """
        try:
            with aws_errors(f"creating the role {self.name}", service="iam"):
                iam.create_role(
                    RoleName=self.name,
                    Path=self.path,
                    Description=f"EventBridge Scheduler stops the machines of cluster {self.cluster} with it",
                    AssumeRolePolicyDocument=json.dumps(self.trust),
                    Tags=[{"Key": "pio-tf:cluster", "Value": self.cluster}],
                )
                try:
                    iam.put_role_policy(RoleName=self.name, PolicyName=_POLICY, PolicyDocument=json.dumps(self.policy))
                except BaseException:
                    iam.delete_role(RoleName=self.name)
                    raise
        except AwsError as error:
            error.next_step = f"{error.next_step}; or {_INSTEAD}"
            raise

    def remove(self, iam: Any) -> None:  # noqa: ANN401 - as above
        """Remove the role that :meth:`create` has made.

        Raises:
            AwsError: a call failed.
        """
        with aws_errors(f"removing the role {self.name}", service="iam"):
            iam.delete_role_policy(RoleName=self.name, PolicyName=_POLICY)
            iam.delete_role(RoleName=self.name)
