"""The deadline while a run is followed: looked up again and again, and warned of as it nears."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from pio_tf.durations import duration
from pio_tf.errors import PioTfError
from pio_tf.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.events import Reporter

EVERY: Final = 60.0
"""Seconds between two looks: somebody else may have extended it."""
WARN_BEFORE: Final = tuple(timedelta(minutes=minutes) for minutes in (30, 10, 5))


class DeadlineWatch:
    """What a client that follows a run knows of the deadline.

    Args:
        find: asks AWS.
        at: what is known already.
    """

    def __init__(
        self,
        find: Callable[[], datetime | None],
        *,
        at: datetime | None,
        reporter: Reporter,
        now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc),
    ) -> None:
        self._find = find
        self._report = reporter
        self._now = now
        self._warned: timedelta | None = None
        self.at = at

    async def watch(self) -> None:
        """Look and warn until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Once."""
        try:
            found = await asyncio.to_thread(self._find)
        except PioTfError:  # the deadline stands whether we see it or not
            found = self.at
        if found != self.at:
            self.at, self._warned = found, None
            self._report(
                Warned(f"the deadline is {found:%H:%M} UTC now: it was changed" if found else "the deadline is gone")
            )
        if self.at is None:
            return
        left = self.at - self._now()
        near = min((one for one in WARN_BEFORE if left <= one), default=None)
        if near is not None and near != self._warned:
            self._warned = near
            self._report(
                Warned(
                    f"AWS stops the machines in {duration(left.total_seconds())}, at {self.at:%H:%M} UTC, and the run "
                    "ends with them: `pio-tf extend 1h` gives it an hour from now"
                )
            )
