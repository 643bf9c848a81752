"""The deadline while a client follows a run or waits for machines: looked up every minute, with warnings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from pio_tf.durations import duration
from pio_tf.errors import PioTfError
from pio_tf.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.events import Reporter

EVERY: Final = 60.0
"""Seconds between two looks: another client may have extended it."""
WARN_BEFORE: Final = tuple(timedelta(minutes=minutes) for minutes in (30, 10, 5))


@dataclass(kw_only=True)
class DeadlineWatch:
    """The deadline as a client that follows a run knows it."""

    find: Callable[[], datetime | None]
    """Asks AWS for it."""
    at: datetime | None
    """The deadline as it is known already."""
    report: Reporter
    now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc)
    _warned: timedelta | None = field(default=None, init=False)

    async def has_passed(self, known: datetime | None) -> bool:
        """Return whether AWS stops the machines now: the deadline so far is over, and there is no later one.

        A schedule that has fired removes itself: if there is none any more, it has stopped them.
        """
        if known is None or self.now() < known:
            return False
        await self.look()
        return self.at is None or self.now() >= self.at

    async def watch(self, *, every: float = EVERY) -> None:
        """Look and warn until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every)

    async def watch_long_start(self, *, every: float = EVERY) -> None:
        """Look and warn as :meth:`watch` does, from a while after now on: most starts end before the first look."""
        await asyncio.sleep(every)
        await self.watch(every=every)

    async def look(self) -> None:
        """Look once, and warn of a change, or if the deadline is near."""
        try:
            found = await asyncio.to_thread(self.find)
        except PioTfError:  # the deadline stands in any case
            found = self.at
        if found != self.at:
            self.at, self._warned = found, None
            self.report(
                Warned(f"the deadline was changed to {found:%H:%M} UTC" if found else "the deadline was removed")
            )
        if self.at is None:
            return
        left = self.at - self.now()
        near = min((one for one in WARN_BEFORE if left <= one), default=None)
        if near is not None and near != self._warned:
            self._warned = near
            self.report(
                Warned(
                    f"AWS stops the machines in {duration(left.total_seconds())}, at {self.at:%H:%M} UTC, and what "
                    "runs there ends with them: `pio-tf extend 1h` keeps them for an hour from now"
                )
            )
