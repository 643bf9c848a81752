"""Recurring times as EventBridge Scheduler has them, the zones that they are in, and the same times moved."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from pio_tf.config.recurring_time import check_runtime, find_zone, parse_recurring_time
from pio_tf.errors import ConfigError
from tests.support.config_samples import load_text, text_with

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)
HOUR = 3600


def times(expression: str, zone: str = "UTC", *, after: datetime = NOW, count: int = 3) -> list[str]:
    found = parse_recurring_time(expression).after(after, ZoneInfo(zone))
    return [f"{moment:%Y-%m-%d %H:%M}" for moment in islice(found, count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 3 ? * SUN *)", ["2026-12-06 03:00", "2026-12-13 03:00", "2026-12-20 03:00"]),
        ("cron(0 3 ? * 1 *)", ["2026-12-06 03:00", "2026-12-13 03:00", "2026-12-20 03:00"]),
        ("cron(15,45 13 * * ? *)", ["2026-11-29 13:15", "2026-11-29 13:45", "2026-11-30 13:15"]),
        ("cron(0/30 12-13 ? * MON-FRI *)", ["2026-11-30 12:00", "2026-11-30 12:30", "2026-11-30 13:00"]),
        ("cron(0 3 L * ? *)", ["2026-11-30 03:00", "2026-12-31 03:00", "2027-01-31 03:00"]),
        ("cron(0 3 ? * FRIL *)", ["2026-12-25 03:00", "2027-01-29 03:00", "2027-02-26 03:00"]),
        ("cron(0 3 ? * 2#1 *)", ["2026-12-07 03:00", "2027-01-04 03:00", "2027-02-01 03:00"]),
        ("cron(0 3 15W * ? *)", ["2026-12-15 03:00", "2027-01-15 03:00", "2027-02-15 03:00"]),
        ("cron(0 3 31 * ? *)", ["2026-12-31 03:00", "2027-01-31 03:00", "2027-03-31 03:00"]),
        ("cron(0 3 29 2 ? *)", ["2028-02-29 03:00", "2032-02-29 03:00"]),
        ("cron(0 3 ? JAN,JUL SAT 2027)", ["2027-01-02 03:00", "2027-01-09 03:00", "2027-01-16 03:00"]),
        ("cron(0 3 30 2 ? *)", []),
        ("cron(0 3 ? * SUN 2020)", []),
    ],
)
def test_a_time_recurs_as_eventbridge_says(expression: str, expected: list[str]) -> None:
    assert times(expression) == expected


def test_a_time_is_in_its_zone_and_follows_the_change_of_its_clocks() -> None:
    march = datetime(2027, 3, 26, 12, 0, tzinfo=timezone.utc)
    assert times("cron(0 3 * * ? *)", "Europe/Berlin", after=march) == [
        "2027-03-27 02:00",
        "2027-03-28 01:00",
        "2027-03-29 01:00",
    ]


def test_a_time_that_summer_time_skips_does_not_come_and_one_that_comes_twice_counts_once() -> None:
    march, october = (datetime(2027, *day, 12, 0, tzinfo=timezone.utc) for day in ((3, 27), (10, 30)))
    assert times("cron(30 2 * * ? *)", "Europe/Berlin", after=march, count=1) == ["2027-03-29 00:30"]
    assert times("cron(30 2 * * ? *)", "Europe/Berlin", after=october, count=2) == [
        "2027-10-31 00:30",
        "2027-11-01 01:30",
    ]


def test_the_last_time_is_found_even_years_ago() -> None:
    assert parse_recurring_time("cron(0 3 29 2 ? *)").last_until(NOW, BERLIN) == datetime(
        2024, 2, 29, 2, 0, tzinfo=timezone.utc
    )
    assert parse_recurring_time("cron(0 3 ? * SUN 2027)").last_until(NOW, BERLIN) is None


@pytest.mark.parametrize(
    ("expression", "by", "moved"),
    [
        ("cron(0 3 ? * SUN *)", 2, "cron(2 3 ? * SUN *)"),
        ("cron(59 3 ? * SUN *)", 2, "cron(1 4 ? * SUN *)"),
        ("cron(0 3 ? * SUN *)", 8 * 60 + 2, "cron(2 11 ? * SUN *)"),
        ("cron(0 22 ? * SAT *)", 8 * 60 + 2, "cron(2 6 ? * SUN *)"),
        ("cron(0 22 ? * 6-7 *)", 8 * 60 + 2, "cron(2 6 ? * SUN,SAT *)"),
        ("cron(0 3 ? * SUN *)", 144 * 60 + 2, "cron(2 3 ? * SAT *)"),
        ("cron(0 22 * * ? *)", 8 * 60 + 2, "cron(2 6 * * ? *)"),
        ("cron(0 22 1,15 * ? *)", 8 * 60 + 2, "cron(2 6 2,16 * ? *)"),
        ("cron(0 22 1 6 ? 2027)", 8 * 60 + 2, "cron(2 6 2 6 ? 2027)"),
        ("cron(0 3 L * ? *)", 8 * 60 + 2, "cron(2 11 L * ? *)"),
        ("cron(0 1,13 * * ? *)", 2 * 60, "cron(0 3,15 * * ? *)"),
    ],
)
def test_a_moved_time_keeps_its_distance(expression: str, by: int, moved: str) -> None:
    time = parse_recurring_time(expression)
    later = time.later(timedelta(minutes=by))
    assert str(later) == moved
    utc = ZoneInfo("UTC")
    first = list(islice(time.after(NOW, utc), 40))
    assert list(islice(later.after(first[0], utc), 40)) == [one + timedelta(minutes=by) for one in first]
    assert str(parse_recurring_time(moved)) == moved


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("cron(0 22 L * ? *)", "not the same in every month"),
        ("cron(0 22 28 * ? *)", "not the same in every month"),
        ("cron(0 22 ? * 1#1 *)", "may be in another month or week"),
        ("cron(0 22 ? 6 SUN *)", "may be in another month or week"),
        ("cron(0 3,22 * * ? *)", "only some of its times"),
        ("cron(10,50 3 * * ? *)", "only some of its times"),
    ],
)
def test_a_time_that_can_not_be_moved_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_recurring_time(expression).later(timedelta(hours=8, minutes=20))


def test_the_refusal_says_which_max_runtime_and_which_time_would_do() -> None:
    time = parse_recurring_time("cron(30 20 L * ? *)")
    with pytest.raises(ValueError, match=r"at most 3 h 27 min or a time until 15:57 would do") as refused:
        check_runtime(time, BERLIN, max_runtime=8 * HOUR, now=NOW)
    assert "can't be moved by train.max_runtime (8 h)" in str(refused.value)
    check_runtime(time, BERLIN, max_runtime=3 * HOUR + 27 * 60, now=NOW)
    check_runtime(parse_recurring_time("cron(57 15 L * ? *)"), BERLIN, max_runtime=8 * HOUR, now=NOW)


def test_times_that_come_before_the_last_training_must_have_stopped_are_refused() -> None:
    time = parse_recurring_time("cron(0 0,6,12,18 * * ? *)")
    with pytest.raises(ValueError, match=r"comes again after 6 h.* at most 4 h 57 min would do"):
        check_runtime(time, ZoneInfo("UTC"), max_runtime=5 * HOUR, now=NOW)
    check_runtime(time, ZoneInfo("UTC"), max_runtime=4 * HOUR, now=NOW)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 3 * * 0", "must be an expression of EventBridge Scheduler"),
        ("cron(0 3 * * SUN)", "must have six fields"),
        ("cron(0 3 * * SUN *)", "as the day of the month or as the day of the week"),
        ("cron(0 3 ? * ? *)", "as the day of the month or as the day of the week"),
        ("cron(60 3 ? * SUN *)", "has 60 where a number from 0 to 59 must be"),
        ("cron(0 3 ? * SON *)", "has SON where a number from 1 to 7 must be"),
        ("cron(0 3 ? * 0 *)", "has 0 where a number from 1 to 7 must be"),
        ("cron(0 3 ? * FRI-MON *)", "has FRI-MON, which is no range"),
        ("cron(0 3/0 ? * SUN *)", "has 3/0, which is no range"),
        ("cron(0 3 32 * ? *)", "has 32 where a number from 1 to 31 must be"),
        ("cron(0 3 , * ? *)", "has nothing where"),
        ("rate(7 days)", r"rate\(…\) does not"),
        ("at(2026-12-24T03:00:00)", r"at\(…\) comes once"),
    ],
)
def test_what_is_no_recurring_time_is_refused_with_its_reason(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_recurring_time(expression)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("", "Europe/Berlin"),
    ],
)
def test_a_zone_that_does_not_exist_is_refused_with_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(ValueError, match=f'did you mean "{suggestion}"'):
        find_zone(name)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ('schedule {\n  timezone = "Europe/Berln"\n}', "schedule.timezone: .*did you mean"),
        ('schedule {\n  cron = "rate(1 day)"\n}', "schedule.cron: must name the time of day"),
        ('schedule {\n  cron = "cron(0 22 L * ? *)"\n}', "schedule.cron: .*can't be moved"),
        ("schedule {\n}\nschedule {\n}", "schedule"),
    ],
)
def test_pio_tf_hcl_refuses_them_with_their_line(tmp_path: Path, block: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"pio-tf.hcl:\d+: {why}"):
        load_text(tmp_path, text_with(schedule=f"{block}\n"))


def test_a_year_that_has_passed_does_not_make_the_file_wrong(tmp_path: Path) -> None:
    load_text(tmp_path, text_with(schedule='schedule {\n  cron = "cron(0 3 ? * SUN 2020)"\n}\n'))
