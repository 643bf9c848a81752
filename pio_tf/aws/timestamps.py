"""Timestamps in AWS's answers, read without dateutil's search for a format.

An answer of DescribeInstances has three or more of them a machine, all of one form. botocore's own parser takes 0.1 ms
for each: two thirds of the time in which it reads that answer.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final, cast

from botocore.utils import parse_timestamp

_USUAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


def read_timestamp(value: str | float) -> datetime:
    """Return the time of a timestamp, as botocore's ``parse_timestamp`` does.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and _USUAL.fullmatch(value):
        return datetime.fromisoformat(value[:-1]).replace(tzinfo=timezone.utc)
    return parse_timestamp(cast("str", value))  # it takes numbers, too
