"""The JSON of IAM policies."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from pio_tf.cli.schemas.common import Version


class CallData(TypedDict):
    """A call that a policy allows."""

    action: Annotated[str, "as IAM names it"]
    by: Annotated[list[Literal["terraform", "pio-tf"]], "who makes it"]
    statement: Annotated[str, "its `Sid`"]
    why: str


class RoleData(TypedDict):
    """The policy for a role."""

    role: Literal["plan", "apply", "train", "schedule", "destroy", "assume"]
    commands: Annotated[list[str], "what the role is for"]
    account: Annotated[str, "twelve digits; `*`: not known"]
    policy: Annotated[dict[str, Any], "the document, as IAM takes it"]
    calls: list[CallData]
    notes: Annotated[list[str], "what the document cannot say"]


class IamResult(TypedDict):
    """Policies for a pipeline's jobs."""

    version: Version
    roles: Annotated[list[RoleData], "the one of `--for`, or all"]
