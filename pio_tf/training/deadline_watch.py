"""The deadline while a run is followed: looked up every minute, with warnings as it nears."""

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
"""Seconds between two looks: another client may have extended it."""
WARN_BEFORE: Final = tuple(timedelta(minutes=minutes) for minutes in (30, 10, 5))


class DeadlineWatch:
    """The deadline as a client that follows a run knows it.

    Args:
        find: asks AWS for it.
        at: the deadline as it is known already.
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
        """Look and warn until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Look once, and warn of a change, or if the deadline is near."""
        try:
            found = await asyncio.to_thread(self._find)
        except PioTfError:  # the deadline stands in any case
            found = self.at
        if found != self.at:
            self.at, self._warned = found, None
            self._report(
                Warned(f"the deadline was changed to {found:%H:%M} UTC" if found else "the deadline was removed")
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
