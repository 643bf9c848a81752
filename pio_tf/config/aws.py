"""The ``aws`` block: where and as whom AWS is called."""

from __future__ import annotations

from pydantic import Field

from pio_tf.config.block import Block
from pio_tf.config.kinds import LocalPath, Region, RoleArn, Url, Words


class AssumeRole(Block):
    """A role to assume for every AWS call, Terraform's included."""

    role_arn: RoleArn = Field(description="ARN of the role.")
    session_name: Words = Field(default="pio-tf", description="Session name, as it shows in CloudTrail.")
    external_id: Words | None = Field(
        default=None, description="External id, where the role's trust policy asks for one."
    )


class AwsBlock(Block):
    """Where and as whom AWS is called. Credentials come from the usual places; none stand in this file."""

    region: Region = Field(description="AWS region.")
    profile: Words | None = Field(default=None, description="Profile of the AWS configuration files.")
    credentials_file: LocalPath | None = Field(
        default=None, description="Credentials file to read instead of ~/.aws/credentials."
    )
    assume_role: AssumeRole | None = Field(default=None, description="A role to assume.")
    endpoint_url: Url | None = Field(default=None, description="Address of another AWS API, such as the sandbox.")
