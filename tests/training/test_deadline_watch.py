"""The warnings about the deadline while a client follows a run."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

from pio_tf.errors import AwsError
from pio_tf.events import Event, Warned
from pio_tf.training.deadline_watch import DeadlineWatch

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=timezone.utc)


class Follower:
    """A watch that looks at given minutes before noon; ``found`` is what AWS answers."""

    def __init__(self, at: datetime | None = NOON) -> None:
        self.events: list[Event] = []
        self.found: datetime | Exception | None = at
        self.now = NOON
        self.watch = DeadlineWatch(find=self._find, at=at, report=self.events.append, now=lambda: self.now)

    def _find(self) -> datetime | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def look(self, minutes_before: float) -> list[str]:
        """Return the warnings of one look."""
        self.events.clear()
        self.now = NOON - timedelta(minutes=minutes_before)
        asyncio.run(self.watch.look())
        return [event.message for event in self.events if isinstance(event, Warned)]


def test_it_warns_once_at_30_10_and_5_minutes_with_how_to_extend() -> None:
    follower = Follower()
    said = {minutes: follower.look(minutes) for minutes in (120, 31, 30, 29, 11, 10, 9, 5, 4, 1)}
    assert [minutes for minutes, warnings in said.items() if warnings] == [30, 10, 5]
    (warning,) = said[10]
    assert "in 10 min, at 12:00 UTC" in warning
    assert "pio-tf extend" in warning


def test_a_late_client_gets_only_the_nearest_warning() -> None:
    follower = Follower()
    assert len(follower.look(7)) == 1
    assert follower.look(6) == []


def test_an_extension_is_reported_and_the_warnings_start_again() -> None:
    follower = Follower()
    follower.look(10)
    follower.found = NOON + timedelta(hours=1)
    assert follower.look(9) == ["the deadline was changed to 13:00 UTC"]
    assert follower.watch.at == NOON + timedelta(hours=1)
    assert len(follower.look(-55)) == 1


def test_a_removed_deadline_is_reported_once() -> None:
    follower = Follower()
    follower.found = None
    assert follower.look(60) == ["the deadline was removed"]
    assert follower.look(59) == []


def test_without_an_answer_of_aws_the_known_deadline_counts() -> None:
    follower = Follower()
    follower.found = AwsError("no answer")
    assert len(follower.look(5)) == 1


def test_without_a_deadline_there_is_no_warning() -> None:
    assert Follower(at=None).look(5) == []


def test_it_has_passed_once_aws_has_no_later_one() -> None:
    follower = Follower()

    def passed(known: datetime | None, *, found: datetime | None) -> bool:
        follower.found = found
        return asyncio.run(follower.watch.has_passed(known))

    follower.now = NOON - timedelta(seconds=1)
    assert not passed(NOON, found=NOON)
    follower.now = NOON
    assert passed(NOON, found=NOON)
    assert passed(NOON, found=None), "a schedule that has fired removes itself"
    assert not passed(NOON, found=NOON + timedelta(hours=1)), "another client has extended it"
    assert not passed(None, found=None), "there was none"


def test_a_start_that_ends_soon_asks_aws_nothing() -> None:
    follower = Follower()
    asked: list[datetime | None] = []
    find = follower.watch.find

    def ask() -> datetime | None:
        asked.append(find())
        return asked[-1]

    async def start(lasts: float) -> int:
        watching = asyncio.ensure_future(follower.watch.watch_long_start(every=0.2))
        await asyncio.sleep(lasts)
        watching.cancel()
        await asyncio.wait([watching])
        return len(asked)

    follower.watch.find = ask
    assert asyncio.run(start(0.05)) == 0
    assert asyncio.run(start(1.0)) > 1
