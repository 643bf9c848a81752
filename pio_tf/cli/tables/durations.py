"""How long something took, for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``2 h 5 min``: the two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or f"{seconds:.0f} s"
