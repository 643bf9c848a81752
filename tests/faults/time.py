"""A clock that moves only when a client waits; and turns, for two clients at once."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping


_MIDNIGHT = datetime(2026, 1, 31, tzinfo=timezone.utc)


class Clock:
    """Seconds since the campaign's beginning: monotonic time of every client, and of AWS."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._began = _MIDNIGHT

    @contextmanager
    def on_the_wall(self) -> Iterator[None]:
        """Make the time of day the real one: clients in processes of their own count from it."""
        began = self._began
        self._began = datetime.now(timezone.utc) - timedelta(seconds=self.now)
        try:
            yield
        finally:
            self._began = began

    def moment(self) -> datetime:
        """Return the time of day."""
        return self._began + timedelta(seconds=self.now)

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass at once."""
        self.now += max(0.0, seconds)


class Turns:
    """Turns for several clients: one acts at a time.

    A draw decides at each step which client is next: the same seed gives the same order.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._condition = threading.Condition()
        self._waiting: list[str] = []
        self._turn = ""

    def run(self, clients: Mapping[str, Callable[[], None]]) -> None:
        """Run all clients to their ends."""
        self._waiting = list(clients)
        self._turn = self._rng.choice(self._waiting)
        threads = [threading.Thread(target=self._one, args=(name, work)) for name, work in clients.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def step(self, name: str) -> None:
        """Let other clients act at this point."""
        with self._condition:
            if len(self._waiting) < 2:
                return
            self._turn = self._rng.choice(self._waiting)
            self._condition.notify_all()
            self._wait(name)

    def wait_for_others(self, name: str) -> None:
        """Let the other clients act until their ends, or until all of them wait so."""
        with self._condition:
            self._waiting.remove(name)
            if self._waiting:
                self._turn = self._rng.choice(self._waiting)
                self._condition.notify_all()
                self._condition.wait_for(lambda: not self._waiting)
            self._waiting.append(name)
            self._turn = name

    def _one(self, name: str, work: Callable[[], None]) -> None:
        with self._condition:
            self._wait(name)
        try:
            work()
        finally:
            with self._condition:
                self._waiting.remove(name)
                if self._waiting:
                    self._turn = self._rng.choice(self._waiting)
                self._condition.notify_all()

    def _wait(self, name: str) -> None:
        while self._turn != name:
            self._condition.wait()
