"""Machines that AWS has no room for: asked for again, less and less often, until a budget of time is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pio_tf.model import Machine

FIRST_PAUSE: Final = 10.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts; each pause is twice the one before. Capacity comes back as others stop machines, which
is a matter of minutes, and every attempt for many machines costs tokens of the account's bucket for starts."""


class CapacityWait:
    """One wait for all machines that lack capacity, so that they are asked for in one call.

    Args:
        budget: seconds from the first refusal on; 0: a refusal is final.
        clock: seconds.
    """

    def __init__(self, *, budget: float, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._clock = clock
        self._pause = FIRST_PAUSE
        self._next = 0.0
        self._until: float | None = None
        self.waiting: set[str] = set()
        """Ids of machines that AWS had no room for when it was asked last."""

    @property
    def until(self) -> float:
        """When the wait ends; in the past where nothing is waited for."""
        return self._until if self._until is not None and self.waiting else 0.0

    def hold(self, ids: Iterable[str]) -> bool:
        """Note machines that AWS has refused just now. Whether to go on waiting for them."""
        now = self._clock()
        if self._until is None:
            self._until = now + self._budget
        if now >= self._until:
            return False
        self.waiting |= set(ids)
        self._next = min(now + self._pause, self._until)  # the last attempt is at the very end
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return True

    def holds_back(self, instance_id: str) -> bool:
        """Whether it is too early to ask for a machine again."""
        return instance_id in self.waiting and self._clock() < self._next

    def has_room(self, ids: Iterable[str]) -> bool:
        """Note machines that AWS has accepted. Whether any of them had been waited for."""
        found = self.waiting & set(ids)
        self.waiting -= found
        return bool(found)


def lacking(machines: Iterable[Machine]) -> str:
    """``r3.xlarge in eu-west-1a (worker-1, worker-2)``: what AWS has no room for, by type and zone."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    for machine in machines:
        by_kind.setdefault((machine.instance_type, machine.zone), []).append(machine.name)
    return "; ".join(
        f"{kind}{f' in {zone}' if zone else ''} ({', '.join(names)})" for (kind, zone), names in by_kind.items()
    )
