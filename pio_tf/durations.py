"""Durations in words."""


def duration(seconds: float) -> str:
    """Return the two largest units of a duration: ``2 h 5 min``, ``3 d``, ``0 s``. A negative duration counts as 0."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((place for place, (number, _unit) in enumerate(units) if number), len(units) - 1)
    largest, *second = units[first : first + 2]
    return " ".join(f"{number} {unit}" for number, unit in (largest, *(one for one in second if one[0])))


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it: ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
