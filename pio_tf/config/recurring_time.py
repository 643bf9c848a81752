"""Recurring times in the cron dialect of EventBridge Scheduler, and the time zones that they are in.

Source: "Schedule types in EventBridge Scheduler" in AWS's user guide.
"""

from __future__ import annotations

import calendar
import difflib
import re
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXAMPLE: Final = "cron(0 3 ? * SUN *)"
START_AFTER: Final = timedelta(minutes=2)
"""Machines start so long after the recurring time: a schedule fires within its minute, so their mark precedes it."""
START_RETRIES: Final = timedelta(hours=1)
"""How long AWS retries a start while it lacks capacity, and a stop that fails."""
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY = 24 * 60
_SAFE_DAYS = 28
"""Days that every month has."""
_MONTHS_AHEAD = 8 * 12 + 1
"""29 February may be eight years away."""
_COMPARED = 400
"""Times of a schedule that are compared with each other: a year of one that comes each day."""


class RecurringTime(Struct, frozen=True):
    """A cron expression of EventBridge Scheduler. :func:`parse_recurring_time` makes one."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: str
    """Days of the month, as they are written."""
    months: tuple[int, ...]
    weekdays: str
    years: tuple[int, ...]
    written: tuple[str, ...]
    """The six fields as they are written."""

    def __str__(self) -> str:
        """Return it as AWS reads it."""
        return f"cron({' '.join(self.written)})"

    def after(self, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the times after a moment, in UTC.

        AWS leaves out a time that the change to summer time skips. A time that comes twice in autumn counts once.
        """
        local = moment.astimezone(zone)
        first = local.year * 12 + local.month - 1
        for number in range(first, first + _MONTHS_AHEAD):
            yield from (one for one in self._in_month(*divmod(number, 12), zone) if one > moment)

    def last_until(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the last time until a moment, in UTC; None: there was none for years."""
        local = moment.astimezone(zone)
        last = local.year * 12 + local.month - 1
        for number in range(last, last - _MONTHS_AHEAD, -1):
            if found := [one for one in self._in_month(*divmod(number, 12), zone) if one <= moment]:
                return found[-1]
        return None

    def later(self, by: timedelta) -> RecurringTime:
        """Return these times, moved by whole minutes.

        Raises:
            ValueError: one expression can't name them. The message says why.
        """
        minutes = int(by.total_seconds()) // 60
        moved = {divmod(hour * 60 + minute + minutes, _DAY) for hour, minute in product(self.hours, self.minutes)}
        days = {day for day, _ in moved}
        times = {divmod(time, 60) for _, time in moved}
        hours, ends = sorted({hour for hour, _ in times}), sorted({minute for _, minute in times})
        if len(days) > 1 or len(times) != len(hours) * len(ends):
            raise ValueError("only some of its times would be on a later day or hour, which one expression can't say")
        month_days, weekdays = self._days_later(days.pop())
        written = (_listed(ends), _listed(hours), month_days, self.written[3], weekdays, self.written[5])
        return replace(
            self, minutes=tuple(ends), hours=tuple(hours), days=month_days, weekdays=weekdays, written=written
        )

    def _days_later(self, by: int) -> tuple[str, str]:
        if by == 0:
            return self.days, self.weekdays
        whole_year = self.written[3] == self.written[5] == "*"
        if whole_year and "*" in (self.days, self.weekdays):
            return self.days, self.weekdays
        if self.weekdays == "?":
            days = [] if re.search("[LW*]", self.days) else [one + by for one in _numbers(self.days, 1, 31)]
            if days and max(days) <= _SAFE_DAYS:
                return _listed(days), "?"
            raise ValueError("its end would be on a later day, which is not the same in every month")
        if not whole_year or re.search("[L#]", self.weekdays):
            raise ValueError("its end would be on a later day, which may be in another month or week")
        later = sorted((number - 1 + by) % 7 for number in _numbers(self.weekdays, 1, 7, _DAYS, first=1))
        return "?", ",".join(_DAYS[number] for number in later)

    def _in_month(self, year: int, month: int, zone: ZoneInfo) -> Iterator[datetime]:
        month += 1
        if year not in self.years or month not in self.months:
            return
        for day, hour, minute in product(sorted(self._days_of(year, month)), self.hours, self.minutes):
            moment = datetime(year, month, day, hour, minute, tzinfo=zone).astimezone(timezone.utc)
            found = moment.astimezone(zone)
            if (found.hour, found.minute) == (hour, minute):
                yield moment

    def _days_of(self, year: int, month: int) -> set[int]:
        last = calendar.monthrange(year, month)[1]
        if self.weekdays == "?":
            return {day for item in self.days.split(",") for day in _month_days(item, year, month, last)}
        return {day for item in self.weekdays.split(",") for day in _week_days(item, year, month, last)}


def parse_recurring_time(text: str) -> RecurringTime:
    """Read a cron expression of EventBridge Scheduler.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"\s*(cron|rate|at)\s*\((.*)\)\s*", text)
    if match is None:
        raise ValueError(f'must be an expression of EventBridge Scheduler, like "{EXAMPLE}"')
    if match[1] == "rate":
        raise ValueError(f'must name the time of day, which rate(…) does not: write it like "{EXAMPLE}"')
    if match[1] == "at":
        raise ValueError(f'must recur, and at(…) comes once: write it like "{EXAMPLE}"')
    fields = match[2].upper().split()
    if len(fields) != 6:
        raise ValueError(
            f"must have six fields (minute, hour, day of the month, month, day of the week, year), not {len(fields)}"
        )
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ValueError('must have "?" either as the day of the month or as the day of the week')
    for item in day.split(",") if weekday == "?" else weekday.split(","):
        (_month_days if weekday == "?" else _week_days)(item, 2000, 1, 31)
    return RecurringTime(
        minutes=_numbers(minute, 0, 59),
        hours=_numbers(hour, 0, 23),
        days=day,
        months=_numbers(month, 1, 12, tuple(name.upper() for name in _MONTHS), first=1),
        weekdays=weekday,
        years=_numbers(year, 1970, 2199),
        written=tuple(fields),
    )


def check_runtime(time: RecurringTime, zone: ZoneInfo, *, max_runtime: int, now: datetime) -> None:
    """Check that AWS can stop each training after ``max_runtime`` seconds, and before the next one begins.

    Raises:
        ValueError: it can't. The message says what would do.
    """
    longest = START_AFTER + timedelta(seconds=max_runtime)
    try:
        time.later(START_AFTER)
        time.later(longest)
    except ValueError as error:
        latest = time.hours[-1] * 60 + time.minutes[-1]
        fits = _DAY - 1 - latest - int(START_AFTER.total_seconds()) // 60
        start = _DAY - 1 - -(-int(longest.total_seconds()) // 60)
        advice = [f"a train.max_runtime of at most {duration(fits * 60)}"] if fits > 0 else []
        advice += [f"a time until {start // 60:02}:{start % 60:02}"] if start >= 0 else []
        would = f"; {' or '.join(advice)} would do" if advice else ""
        raise ValueError(
            f"{time} can't be moved by train.max_runtime ({duration(max_runtime)}), after which AWS stops the "
            f"machines: {error}{would}"
        ) from None
    times = islice(time.after(now, zone), _COMPARED)
    gap = min((later - earlier for earlier, later in pairwise(times)), default=None)
    if gap is not None and gap <= longest + START_RETRIES:
        rest = int((gap - START_AFTER - START_RETRIES).total_seconds()) - 60
        would = f"; a train.max_runtime of at most {duration(rest)} would do" if rest >= 60 else ""
        raise ValueError(
            f"{time} comes again after {duration(gap.total_seconds())}, when AWS may not have stopped the machines of "
            f"the training before: train.max_runtime is {duration(max_runtime)}, and a start may take an hour{would}"
        )


@cache
def find_zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: there is none of that name.
    """
    known = available_timezones()
    if name in known:
        return ZoneInfo(name)
    if not known:
        raise ValueError("can't be read: this computer has no time zones; install them: `pip install tzdata`")
    folded = {one.lower(): one for one in known}
    cities = {one.rpartition("/")[2].lower(): one for one in sorted(known)}
    wanted = name.strip().lower().replace(" ", "_")
    near = difflib.get_close_matches(wanted, [*folded, *cities], n=1, cutoff=0.7)
    suggestion = next((names[one] for one in near for names in (folded, cities) if one in names), "Europe/Berlin")
    raise ValueError(f'must be a time zone; there is no {name!r}: did you mean "{suggestion}"?')


def _numbers(text: str, lowest: int, highest: int, names: Sequence[str] = (), *, first: int = 0) -> tuple[int, ...]:
    """Return the numbers of a field, in order. Its ``names`` stand for the numbers from ``first`` on."""

    def number(word: str) -> int:
        found = names.index(word) + first if word in names else int(word) if word.isdecimal() else -1
        if not lowest <= found <= highest:
            raise ValueError(f"has {word or 'nothing'} where a number from {lowest} to {highest} must be")
        return found

    found: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        low, dash, high = span.partition("-")
        begin = lowest if span == "*" else number(low)
        end = number(high) if dash else highest if slash or span == "*" else begin
        if end < begin or (slash and not (step.isdecimal() and int(step))):
            raise ValueError(f"has {item}, which is no range")
        found.update(range(begin, end + 1, int(step or 1)))
    return tuple(sorted(found))


def _month_days(item: str, year: int, month: int, last: int) -> list[int]:
    if item == "L":
        return [last]
    nearest = re.fullmatch(r"(\d{1,2}|L)W", item)
    if nearest is None:
        return [day for day in _numbers(item, 1, 31) if day <= last]
    day = last if nearest[1] == "L" else _numbers(nearest[1], 1, 31)[0]
    if day > last:
        return []
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return [day - 1 if day > 1 else day + 2]
    if weekday == calendar.SUNDAY:
        return [day + 1 if day < last else day - 2]
    return [day]


def _week_days(item: str, year: int, month: int, last: int) -> list[int]:
    special = re.fullmatch(r"(\w+?)(L|#[1-5])", item)
    numbers = _numbers(special[1] if special else "7" if item == "L" else item, 1, 7, _DAYS, first=1)
    # AWS counts from Sunday as 1, Python from Monday as 0.
    days = [day for day in range(1, last + 1) if (calendar.weekday(year, month, day) + 1) % 7 + 1 in numbers]
    if special is None:
        return days
    return days[-1:] if special[2] == "L" else days[int(special[2][1]) - 1 : int(special[2][1])]


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
