"""The calls of EventBridge Scheduler that pio-tf makes."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pio_tf.aws.errors import UNAUTHORISED, aws_errors, error_code, error_message
from pio_tf.config.partitions import partition_of
from pio_tf.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.client import BaseClient

ATTEMPTS: Final = 185
"""Scheduler's maximum."""
NEW_ROLE_PATIENCE: Final = 60.0
"""Seconds until every part of AWS knows a new role: IAM is eventually consistent."""
PAUSE: Final = 2.0
"""Seconds between two looks at what Scheduler has."""
CREATE_NEXT: Final = {"ConflictException": False, "ResourceNotFoundException": True}
"""By AWS's error code: True to create the schedule next, False to update it."""
GROUP: Final = "default"
_NO_ROLE: Final = "assume the role"
"""Scheduler's words if a role does not exist, or does not trust Scheduler."""
_READ_BACKS: Final = 5


@contextmanager
def scheduler_errors(doing: str, *, schedule: str, unauthorised: str, no_role: str) -> Iterator[None]:
    """Translate errors as :func:`aws_errors` does, and say what a missing permission or role means.

    Args:
        schedule: its name.
        unauthorised: added to the next step if a permission is missing.
        no_role: the next step, apart from its first words, if Scheduler cannot use the role.
    """
    try:
        with aws_errors(doing, service="scheduler"):
            yield
    except AwsError as error:
        error.details.setdefault("schedule", schedule)
        if error.details.get("code") in UNAUTHORISED:
            error.next_step += unauthorised
        elif _NO_ROLE in str(error.details.get("message")):
            error.next_step = (
                f"`pio-tf plan` shows whether the role has changed, and `pio-tf apply` restores it; {no_role}"
            )
        raise


class Scheduler:
    """EventBridge Scheduler in one region. Its methods raise botocore's errors.

    Args:
        client: a botocore client of it.
    """

    def __init__(
        self,
        client: BaseClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client: Any = client
        self._clock = clock
        self._sleep = sleep

    def get(self, name: str) -> dict[str, Any] | None:
        """Return a schedule; None if there is none of that name."""
        try:
            return dict(self._client.get_schedule(Name=name, GroupName=GROUP))
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return None

    def names(self, prefix: str) -> list[str]:
        """Return the names of the schedules that begin so."""
        pages = self._client.get_paginator("list_schedules").paginate(GroupName=GROUP, NamePrefix=prefix)
        return [found["Name"] for page in pages for found in page["Schedules"]]

    def put_and_read(self, request: dict[str, Any], *, create: bool) -> tuple[dict[str, Any] | None, list[str]]:
        """Create or update a schedule, and read it back.

        Returns:
            The schedule, and the arguments in which it differs from the request.
        """
        self._put(request, create=create)
        for left in reversed(range(_READ_BACKS)):
            found = self.get(request["Name"])
            differ = _differences(request, found)
            if not (differ and left):
                break
            self._sleep(PAUSE)  # eventually consistent, as all of AWS
        return found, differ

    def try_to_put(self, request: dict[str, Any], *, create: bool) -> ClientError | None:
        """Create or update a schedule; return AWS's refusal."""
        call = self._client.create_schedule if create else self._client.update_schedule
        try:
            call(**request)  # botocore adds a ClientToken, the same for a retry: AWS counts a request once
        except ClientError as error:
            return error
        return None

    def differs(self, request: dict[str, Any]) -> bool:
        """Return whether a schedule is not as the request for it says, or does not exist."""
        return bool(_differences(request, self.get(request["Name"])))

    def delete(self, name: str) -> bool:
        """Delete a schedule; return False if there was none."""
        try:
            self._client.delete_schedule(Name=name, GroupName=GROUP)
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return False
        return True

    def request(
        self,
        name: str,
        *,
        description: str,
        expression: str,
        timezone: str = "UTC",
        enabled: bool = True,
        call: str,
        arguments: dict[str, Any],
        role_arn: str,
        event_age: int,
        removes_itself: bool = False,
    ) -> dict[str, Any]:
        """Return the request for a schedule that makes a call of EC2's.

        Args:
            call: such as ``stopInstances``.
            event_age: how long AWS retries the call, in seconds.
        """
        return {
            "Name": name,
            "GroupName": GROUP,
            "Description": description,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": timezone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "State": "ENABLED" if enabled else "DISABLED",
            "ActionAfterCompletion": "DELETE" if removes_itself else "NONE",
            "Target": {
                "Arn": f"arn:{partition_of(self._client.meta.region_name)}:scheduler:::aws-sdk:ec2:{call}",
                "RoleArn": role_arn,
                "Input": json.dumps(arguments),
                "RetryPolicy": {"MaximumEventAgeInSeconds": event_age, "MaximumRetryAttempts": ATTEMPTS},
            },
        }

    def _put(self, request: dict[str, Any], *, create: bool) -> None:
        """Create or update; either may fail: another client, or the schedule's own end, may intervene."""
        give_up = self._clock() + NEW_ROLE_PATIENCE
        while (error := self.try_to_put(request, create=create)) is not None:
            code = error_code(error)
            new_role = code == "ValidationException" and _NO_ROLE in error_message(error)
            if self._clock() >= give_up or not (new_role or code in CREATE_NEXT):
                raise error
            create = CREATE_NEXT.get(code, create)
            self._sleep(PAUSE)


def _differences(wanted: dict[str, Any], found: dict[str, Any] | None) -> list[str]:
    """Return the arguments in which a schedule differs from the request."""
    if found is None:
        return ["everything: the schedule does not exist"]
    flat, other = ({**one, **one.get("Target", {})} for one in (wanted, found))
    return [
        name
        for name, value in flat.items()
        if name != "Target" and _comparable(name, other.get(name)) != _comparable(name, value)
    ]


def _comparable(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if name != "Input":
        return value
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
