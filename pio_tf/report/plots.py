"""Plots of runs as SVG: a mark for each run, the oldest on the left.

A browser shows one of two drawings, for a wide or a narrow window: an SVG that is scaled down would shrink its text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pio_tf.report.elements import add, element

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from xml.etree.ElementTree import Element

_TICKS = 5
"""Steps of the vertical axis, at most some more."""
_CHARACTER = 7.6
"""Width of a bold character of 12 pixels, at most, on average: the page's fonts differ."""
_DAY = 84.0
"""Pixels from one day's label to the next, at least."""
_MINUTE, _HOUR = 60.0, 3600.0


class Mark(Struct, frozen=True):
    """A run in a plot."""

    when: str
    """The label below it: its day."""
    value: float | None
    """None: unknown."""
    title: str
    """What a browser shows for it: run, value, result."""
    label: str = ""
    """The value in short, beside the mark where there is room."""
    bad: bool = False
    """Whether the run left no model."""


class Series(Struct, frozen=True):
    """The values of one quantity, in the order of the runs."""

    name: str
    marks: Sequence[Mark]
    style: str = "a"
    """The class of its colour: a, b."""


class Axis(Struct, frozen=True):
    """A vertical axis from 0."""

    unit: str
    """The name of its unit: ``hours``."""
    top: float
    """Its end, in the values' unit."""
    ticks: Sequence[tuple[float, str]]
    """Values and their labels."""

    @classmethod
    def of_seconds(cls, most: float) -> Axis:
        """Return an axis for durations, in the unit that suits the longest."""
        unit, size = (
            ("hours", _HOUR) if most >= 2 * _HOUR else ("minutes", _MINUTE) if most >= 120 else ("seconds", 1.0)
        )
        return cls.of_numbers(most, unit, size=size)

    @classmethod
    def of_numbers(cls, most: float, unit: str, *, size: float = 1.0) -> Axis:
        """Return an axis to a round number; ``size``: of the unit, in that of the values."""
        step = round_step(most / size / _TICKS)
        count = max(1, math.ceil(most / size / step - 1e-9))
        digits = max(0, -math.floor(math.log10(step)))
        return cls(unit, count * step * size, [(n * step * size, f"{n * step:.{digits}f}") for n in range(count + 1)])

    @classmethod
    def of_shares(cls) -> Axis:
        """Return an axis from 0 to 100 %."""
        return cls("%", 1.0, [(n / 4, str(25 * n)) for n in range(5)])


def round_step(about: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, … that is at least so large; also 0.1, 0.2, ….

    Args:
        about: 0 or more.
    """
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= about * (1 - 1e-9))


class _Frame(Struct, frozen=True):
    """The measures of a drawing, in pixels."""

    width: float
    height: float
    most_labels: int
    """Runs whose bars have labels, at most."""
    most_days: int
    """Labels below the axis, at most."""
    left: float = 44.0
    right: float = 8.0
    top: float = 22.0
    bottom: float = 26.0
    drawn: Element = field(default_factory=lambda: element("svg"))

    @property
    def across(self) -> float:
        return self.width - self.left - self.right

    def x(self, place: int, count: int) -> float:
        """Return the middle of a mark."""
        return self.left + self.across * (place + 0.5) / count

    def y(self, share: float) -> float:
        """Return the height of a value, as a share of the axis."""
        return self.height - self.bottom - (self.height - self.top - self.bottom) * min(1.0, max(0.0, share))


WIDE = (880.0, 220.0, 9, 7)
NARROW = (350.0, 200.0, 4, 3)
MOST_LINES = 60
"""Runs whose dots are joined by lines, at most: lines between more are no help."""


def draw_bars(series: Series, axis: Axis, *, summary: str) -> list[Element]:
    """Return a wide and a narrow drawing with a bar for each run; ``summary``: for those who can't see it."""
    return [_drawing(size, name, [series], axis, summary, _bars) for size, name in ((WIDE, "wide"), (NARROW, "narrow"))]


def draw_lines(series: Sequence[Series], axis: Axis, *, summary: str) -> list[Element]:
    """Return a wide and a narrow drawing with dots that lines join, for each series."""
    return [_drawing(size, name, series, axis, summary, _lines) for size, name in ((WIDE, "wide"), (NARROW, "narrow"))]


def _drawing(
    size: tuple[float, float, int, int],
    name: str,
    series: Sequence[Series],
    axis: Axis,
    summary: str,
    draw: Callable[[_Frame, Sequence[Series], Axis], None],
) -> Element:
    frame = _Frame(*size)
    frame.drawn.attrib.update(
        {
            "class": f"plot {name}",
            "viewBox": f"0 0 {frame.width:g} {frame.height:g}",
            "width": f"{frame.width:g}",
            "height": f"{frame.height:g}",
            "role": "img",
            "aria-label": summary,
        }
    )
    _axes(frame, series[0].marks, axis)
    draw(frame, series, axis)
    return frame.drawn


def _axes(frame: _Frame, marks: Sequence[Mark], axis: Axis) -> None:
    add(frame.drawn, "text", axis.unit, {"x": 0, "y": 10, "class": "unit"})
    for value, label in axis.ticks:
        y = frame.y(value / axis.top)
        kind = "grid" if value else "axis"
        add(
            frame.drawn,
            "line",
            "",
            {"x1": frame.left, "x2": frame.width - frame.right, "y1": y, "y2": y, "class": kind},
        )
        add(frame.drawn, "text", label, {"x": frame.left - 6, "y": y + 4, "class": "tick end"})
    last, end = "", 0.0
    for place in spread(len(marks), frame.most_days):
        x, day = frame.x(place, len(marks)), marks[place].when
        if day != last and x >= end:  # two trainings of one day have one label
            last, end = day, x + _DAY
            add(frame.drawn, "text", day, {"x": x, "y": frame.height - 8, "class": f"tick {_anchor(x, frame)}"})


def _anchor(x: float, frame: _Frame) -> str:
    """Return the side at which a label stands, so that all of it is in the drawing."""
    return "start" if x < frame.left + 32 else "end" if x > frame.width - frame.right - 32 else "middle"


def spread(count: int, most: int) -> list[int]:
    """Return at most so many places of 0 to ``count``, evenly spread, with the first and the last."""
    if count <= most:
        return [*range(count)]
    return sorted({round(n * (count - 1) / (most - 1)) for n in range(most)})


def _bars(frame: _Frame, series: Sequence[Series], axis: Axis) -> None:
    marks = series[0].marks
    width = min(48.0, max(1.0, frame.across / len(marks) * 0.75))
    labelled = len(marks) <= frame.most_labels
    for place, mark in enumerate(marks):
        x, y = frame.x(place, len(marks)), frame.y((mark.value or 0.0) / axis.top)
        group = add(frame.drawn, "g", "", {"class": "bad" if mark.bad else series[0].style})
        add(group, "title", mark.title)
        if mark.value is None:
            _text_if(labelled, group, "?", x, frame.y(0) - 5)
            continue
        low = frame.y(0)
        add(group, "rect", "", {"x": x - width / 2, "y": min(y, low - 1), "width": width, "height": max(1.0, low - y)})
        if mark.bad and width >= 6:
            add(group, "text", "×", {"x": x, "y": min(y, low - 1) - 4, "class": "mark middle"})  # noqa: RUF001
        _text_if(labelled and not (mark.bad and width < 30), group, mark.label, x, y - (16 if mark.bad else 5))


def _lines(frame: _Frame, series: Sequence[Series], axis: Axis) -> None:
    ends: list[float] = []
    for one in series:
        known = [(place, mark) for place, mark in enumerate(one.marks) if mark.value is not None]
        if not known:
            continue
        group = add(frame.drawn, "g", "", {"class": one.style})
        at = [(frame.x(place, len(one.marks)), frame.y((mark.value or 0.0) / axis.top)) for place, mark in known]
        few = len(one.marks) <= MOST_LINES
        for part in _unbroken([place for place, _ in known]) if few else ():
            points = " ".join(f"{at[n][0]:.1f},{at[n][1]:.1f}" for n in part)
            add(group, "polyline", "", {"points": points})
        for (x, y), (_, mark) in zip(at, known, strict=True):
            dot = add(group, "circle", "", {"cx": x, "cy": y, "r": 3.5 if few else 2})
            add(dot, "title", mark.title)
        x, y = at[-1]
        y = _free(y - 8 if y > frame.top + 20 else y + 16, ends)
        ends.append(y)
        last = known[-1][1]
        text = f"{one.name} {last.label}"
        x = max(frame.left + _CHARACTER * len(text), min(frame.width, x + _CHARACTER * len(text) / 2))
        add(group, "text", text, {"x": x, "y": y, "class": "mark end"})


def _free(y: float, taken: Sequence[float]) -> float:
    """Return a height near ``y`` at which no other text stands."""
    for step in (0, -15, 15, -30, 30):
        if all(abs(y + step - other) >= 14 for other in taken):
            return y + step
    return y


def _unbroken(places: Sequence[int]) -> list[list[int]]:
    """Return the positions of neighbouring places: a run without a value breaks a line."""
    parts: list[list[int]] = []
    for position, place in enumerate(places):
        if parts and places[parts[-1][-1]] == place - 1:
            parts[-1].append(position)
        else:
            parts.append([position])
    return parts


def _text_if(shown: bool, group: Element, text: str, x: float, y: float) -> None:
    if shown and text:
        add(group, "text", text, {"x": x, "y": y, "class": "value middle"})
