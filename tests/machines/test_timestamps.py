"""Timestamps are read as botocore reads them."""

from __future__ import annotations

from typing import cast

import pytest
from botocore.utils import parse_timestamp

from pio_tf.aws.timestamps import read_timestamp


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T23:59:59Z",
        "2026-01-31T23:59:59.123Z",
        "2026-01-31T23:59:59.123456Z",
        "2026-01-31T23:59:59+02:00",
        "Sat, 31 Jan 2026 23:59:59 GMT",
        "1769903999",
        cast("str", 1769903999),  # JSON has numbers
        cast("str", 1769903999.5),
    ],
)
def test_a_timestamp_of_any_form_is_the_time_that_botocore_reads(value: str) -> None:
    assert read_timestamp(value) == parse_timestamp(value)
    assert read_timestamp(value).utcoffset() == parse_timestamp(value).utcoffset()


@pytest.mark.parametrize("value", ["2026-02-30T00:00:00Z", "yesterday"])
def test_a_text_that_is_no_time_is_refused_as_by_botocore(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(value)
    with pytest.raises(ValueError, match=r"."):
        read_timestamp(value)
