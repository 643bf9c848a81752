"""The ``failsafe`` block: what stops the machines when no client does."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pio_tf.config.block import Block
from pio_tf.config.kinds import Duration, PolicyArn, RoleArn, matching

LONGEST_RUN = 6 * 86400
"""Seconds. CloudWatch looks back a week, and the master's alarm must take longer than any run."""
IdleAfter = Annotated[Duration, Field(ge=3600, le=86400)]
"""CloudWatch looks back a day at the most in periods of five minutes."""
RolePath = Annotated[str, matching(r"/([!-.0-~]+/)*", 'a path in IAM, like "/pio-tf/"', kind="path in IAM")]


class FailsafeBlock(Block):
    """What AWS itself stops the machines by when no client does: see [failsafe.md](failsafe.md)."""

    role: bool = Field(
        default=True,
        description="Whether Terraform makes the role that EventBridge Scheduler stops the machines with at their "
        "deadline. Without it and `role_arn`, machines start with `--no-deadline` only.",
    )
    role_arn: RoleArn | None = Field(
        default=None, description="ARN of an existing role to use instead, where IAM may not be touched."
    )
    role_path: RolePath = Field(default="/pio-tf/", description="Path of the role in IAM.")
    permissions_boundary: PolicyArn | None = Field(
        default=None, description="ARN of a policy that bounds the role, where the account demands one."
    )
    idle_alarms: bool = Field(
        default=True, description="Whether each machine has a CloudWatch alarm that stops it when it is idle."
    )
    idle_after: IdleAfter = Field(
        default=4 * 3600,
        description="How long driver and workers must have been idle for that, 1h to 24h: longer than any stage of a "
        "training takes in which they only wait. The master, which is always idle, has a day, or more than "
        "`train.max_runtime`.",
    )

    @model_validator(mode="after")
    def _a_role_of_one_kind(self) -> FailsafeBlock:
        if self.role_arn is not None and self.permissions_boundary is not None:
            raise ValueError("permissions_boundary is for the role that Terraform makes; role_arn names another")
        return self
