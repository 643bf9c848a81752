"""A generated sample of training events, the same every time."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERS = 300
ITEMS = 200
_TASTES = 20
"""Groups of items that the same users like; a user has two."""
_PURCHASES = 7
_VIEWS_PER_PURCHASE = 3
_LOYALTY = 0.85
"""Share of events within a user's tastes. The rest is noise, which the log-likelihood ratio must ignore."""
_SEED = 20180521
_FIRST = datetime(2018, 5, 21, tzinfo=timezone.utc)


def make_events() -> Iterator[dict[str, object]]:
    """Yield some 8,000 events, ``purchase`` and ``view``, in the form of ``pio export``, in the order of their times.

    Only ``random()`` is used, because its sequence for a seed is the same in every version of Python.
    """
    rng = random.Random(_SEED)  # noqa: S311 - a sample, not a secret
    number = 0
    for user in range(USERS):
        tastes = int(rng.random() * _TASTES), int(rng.random() * _TASTES)
        for _ in range(1 + int(rng.random() * 2 * _PURCHASES)):
            for view in range(int(rng.random() * 2 * _VIEWS_PER_PURCHASE) + 1):
                if rng.random() < _LOYALTY:
                    item = tastes[int(rng.random() * 2)] + _TASTES * int(rng.random() * (ITEMS // _TASTES))
                else:
                    item = int(rng.random() * ITEMS)
                number += 1
                yield _event("purchase" if view == 0 else "view", user=user, item=item, number=number)


def _event(name: str, *, user: int, item: int, number: int) -> dict[str, object]:
    when = (_FIRST + timedelta(seconds=number * 10)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "eventId": f"e{number:06d}",
        "event": name,
        "entityType": "user",
        "entityId": f"u{user:04d}",
        "targetEntityType": "item",
        "targetEntityId": f"i{item:03d}",
        "properties": {},
        "eventTime": when,
        "creationTime": when,
    }


def write_events(path: Path) -> None:
    """Write the sample as JSON lines; the file appears only when it is whole."""
    write_atomically(path, "".join(json.dumps(event) + "\n" for event in make_events()), mode=0o644)
