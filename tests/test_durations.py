"""Durations in words."""

from __future__ import annotations

import pytest

from pio_tf.durations import clock, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.6, "0 s"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (65, "1 min 5 s"),
        (7200, "2 h"),
        (7230, "2 h"),
        (7525.5, "2 h 5 min"),
        (86400 + 300, "1 d"),
        (3 * 86400 + 5 * 3600 + 59, "3 d 5 h"),
    ],
)
def test_a_duration_is_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00:00"), (3723.9, "1:02:03"), (90000, "25:00:00")])
def test_a_clock_shows_hours_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
