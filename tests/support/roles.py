"""The role for deadlines in a local AWS, as terraform/modules/failsafe makes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNT = "123456789012"
"""moto's."""
TRUST = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": "scheduler.amazonaws.com"},
    "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
}


def client(service: Any, url: str, region: str) -> Any:  # noqa: ANN401 - boto3 makes them
    """Return the test's own client."""
    return boto3.client(service, endpoint_url=url, region_name=region, aws_access_key_id="x", aws_secret_access_key="x")


def make_role(
    url: str,
    region: str,
    *,
    cluster: str,
    trust: dict[str, object] | None = None,
    statements: Sequence[object] = (),
    **policy: object,
) -> str:
    """Make it; ``trust`` and ``policy`` replace parts of its two statements, ``statements`` the second. Its ARN."""
    iam = client("iam", url, region)
    statement = {
        "Effect": "Allow",
        "Action": "ec2:StopInstances",
        "Resource": f"arn:aws:ec2:{region}:{ACCOUNT}:instance/*",
        "Condition": {"StringEquals": {"ec2:ResourceTag/pio-tf:cluster": cluster}},
        **policy,
    }
    name = f"pio-tf-{cluster}-{region}"
    made = iam.create_role(
        RoleName=name,
        Path="/pio-tf/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{**TRUST, **(trust or {})}]}),
    )
    iam.put_role_policy(
        RoleName=name,
        PolicyName="stop-machines",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [*statements] or [statement]}),
    )
    return str(made["Role"]["Arn"])
