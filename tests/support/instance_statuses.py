"""A stand-in for an EC2 client that answers status checks and consoles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_ec2 import EC2Client


class Statuses:
    """DescribeInstanceStatus and GetConsoleOutput: (state, system, instance) by id, ok by default."""

    def __init__(self, **wrong: tuple[str, str, str]) -> None:
        self.wrong = {name.replace("_", "-"): words for name, words in wrong.items()}
        self.unknown: set[str] = set()
        self.fault: Exception | None = None
        self.consoles: dict[str, str] = {}
        self.read: list[str] = []

    @property
    def client(self) -> EC2Client:
        return cast("EC2Client", self)

    def get_paginator(self, name: str) -> Statuses:
        assert name == "describe_instance_status"
        return self

    def paginate(self, *, InstanceIds: Sequence[str], IncludeAllInstances: bool) -> Iterator[dict[str, Any]]:  # noqa: N803
        if self.fault:
            raise self.fault
        found = []
        for one in InstanceIds:
            state, system, instance = self.wrong.get(one, ("running", "ok", "ok"))
            if one not in self.unknown and (IncludeAllInstances or state == "running"):
                words = {"InstanceState": {"Name": state}, "SystemStatus": {"Status": system}}
                found.append({"InstanceId": one, **words, "InstanceStatus": {"Status": instance}})
        yield {"InstanceStatuses": found}

    def get_console_output(self, *, InstanceId: str, Latest: bool) -> dict[str, Any]:  # noqa: N803
        assert Latest
        self.read.append(InstanceId)
        if InstanceId not in self.consoles:
            raise ClientError(
                {"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, operation_name="GetConsoleOutput"
            )
        return {"Output": self.consoles[InstanceId]}
