"""The report's page, out of the records of runs."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from importlib import resources
from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.durations import duration
from pio_tf.report.elements import add, document, element
from pio_tf.report.plots import Axis, Mark, Series, draw_bars, draw_lines
from pio_tf.training.spark_usage import SparkUsage
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from xml.etree.ElementTree import Element

    from pio_tf.infra.cost import Prices
    from pio_tf.training.runs.record import RunRecord

OPEN_ROWS = 12
"""Rows that a table shows at once; a longer one opens on a click."""
_BAD = frozenset({"failed", "cancelled", "lost"})
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing. Its style is in it."""
_CENT = 0.01


class _Run(Struct, frozen=True):
    """A run with its figures and its cost."""

    record: RunRecord
    usage: SparkUsage
    usd: float | None

    @property
    def day(self) -> str:
        return "" if self.record.started is None else f"{_moment(self.record.started):%Y-%m-%d}"

    @property
    def bad(self) -> bool:
        return self.record.state in _BAD


def render(cluster: str, records: Iterable[RunRecord], prices: Prices, *, now: datetime) -> str:
    """Return the report as one HTML document, which loads nothing.

    Args:
        records: the runs, the oldest first.
        now: the time at which it is made, UTC.
    """
    runs = [
        _Run(
            record,
            SparkUsage.of(record.usage),
            None if record.seconds is None else prices.running_usd(record.instance_types, record.seconds),
        )
        for record in records
    ]
    page = element("html", "", {"lang": "en"})
    head = add(page, "head")
    add(head, "meta", "", {"charset": "utf-8"})
    add(head, "meta", "", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    add(head, "meta", "", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    add(head, "title", f"Trainings of {cluster}")
    # ElementTree escapes no style: this one is a file of pio-tf.
    add(head, "style").text = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    body = add(add(page, "body"), "main")
    add(body, "h1", f"Trainings of {cluster}")
    add(body, "p", _subtitle(runs, now), {"class": "quiet"})
    if not runs:
        add(body, "p", "There is no run yet. `pio-tf train` does the first one.")
        return document(page)
    _facts(body, runs)
    drawn = [run for run in runs if run.record.started is not None]
    if drawn:
        _durations(body, drawn)
        _costs(body, drawn, prices.note)
        _memory(body, drawn)
        _time_of_tasks(body, drawn)
    _failures(body, runs)
    _table(body, runs)
    return document(page)


def _subtitle(runs: Sequence[_Run], now: datetime) -> str:
    days = sorted({run.day for run in runs} - {""})
    time = f"{days[0]} to {days[-1]}, " if len(days) > 1 else f"{days[0]}, " if days else ""
    return f"{time}times in UTC. Made by pio-tf {__version__} on {now:%Y-%m-%d %H:%M}."


def _facts(body: Element, runs: Sequence[_Run]) -> None:
    ended = [run for run in runs if run.record.state in _BAD | {"succeeded"}]
    good = [run for run in ended if not run.bad]
    seconds = [run.record.seconds for run in good if run.record.seconds is not None]
    costs = [run.usd for run in runs if run.usd is not None]
    facts = [("Runs", str(len(runs))), ("With a model", f"{len(good)} of {len(ended)}" if ended else "none has ended")]
    if seconds:
        facts += [("Median duration", duration(median(seconds))), ("Longest", duration(max(seconds)))]
    if costs:
        facts.append(("Machines, USD", usd_text(sum(costs))))
    shown = add(body, "dl", "", {"class": "facts"})
    for name, value in facts:
        pair = add(shown, "div")
        add(pair, "dt", name)
        add(pair, "dd", value)


def _durations(body: Element, runs: Sequence[_Run]) -> None:
    known = [run.record.seconds for run in runs if run.record.seconds is not None]
    if not known:
        return
    marks = _marks(runs, lambda run: run.record.seconds, duration)
    summary = f"Durations of {_count(known)}, from {duration(min(known))} to {duration(max(known))}."
    _figure(body, "Duration", _key(runs), draw_bars(Series("", marks), Axis.of_seconds(max(known)), summary=summary))


def _costs(body: Element, runs: Sequence[_Run], note: str) -> None:
    known = [run.usd for run in runs if run.usd is not None]
    if not known:
        return
    marks = _marks(runs, lambda run: run.usd, usd_text)
    summary = f"Cost of {_count(known)}, from {usd_text(min(known))} to {usd_text(max(known))} USD."
    unknown = sum(run.record.seconds is not None and run.usd is None for run in runs)
    without = f" Of {_count(range(unknown))}, a price is unknown." if unknown else ""
    about = f"The machines, while the run lasted: {note}.{without}"
    axis = Axis.of_numbers(max(max(known), _CENT), "USD")
    _figure(body, "Cost", about, draw_bars(Series("", marks), axis, summary=summary))


def _memory(body: Element, runs: Sequence[_Run]) -> None:
    def share(peak: int | None, heap: int | None) -> float | None:
        return min(1.0, peak / heap) if peak and heap else None

    series = [
        Series("driver", _shares(runs, lambda one: share(one.driver_peak_bytes, one.driver_heap_bytes)), "a"),
        Series(
            "fullest executor", _shares(runs, lambda one: share(one.executor_peak_bytes, one.executor_heap_bytes)), "b"
        ),
    ]
    about = (
        "In each JVM, when it reported, garbage included. A low figure means that less heap would do; a high one does "
        "not mean that more is needed."
    )
    _share_figure(body, "Most heap in use", about, series)


def _time_of_tasks(body: Element, runs: Sequence[_Run]) -> None:
    series = [
        Series("cores without a task", _shares(runs, lambda one: one.idle_share), "a"),
        Series("garbage collection", _shares(runs, lambda one: one.gc_share), "b"),
    ]
    about = "Garbage collection: a share of the tasks' time. Cores without a task: a share of the executors' core time."
    _share_figure(body, "Time of the executors", about, series)


def _share_figure(body: Element, title: str, about: str, series: Sequence[Series]) -> None:
    known = [one for one in series if any(mark.value is not None for mark in one.marks)]
    if not known:
        return
    parts = [
        f"{one.name} from {min(values):.0%} to {max(values):.0%}"
        for one in known
        if (values := [mark.value for mark in one.marks if mark.value is not None])
    ]
    summary = f"{title}, in per cent: {', '.join(parts)}."
    _figure(body, title, about, draw_lines(known, Axis.of_shares(), summary=summary))


def _figure(body: Element, title: str, about: str, drawings: Iterable[Element]) -> None:
    figure = add(body, "figure")
    caption = add(figure, "figcaption")
    add(caption, "h2", title)
    if about:
        add(caption, "p", about)
    figure.extend(drawings)


def _marks(runs: Sequence[_Run], value: Callable[[_Run], float | None], words: Callable[[float], str]) -> list[Mark]:
    def mark(run: _Run) -> Mark:
        found = value(run)
        label = "" if found is None else words(found)
        title = f"{run.record.id}: {label or 'unknown'}, {run.record.state}"
        return Mark(run.day, found, title, label, bad=run.bad)

    return [mark(run) for run in runs]


def _shares(runs: Sequence[_Run], value: Callable[[SparkUsage], float | None]) -> list[Mark]:
    return _marks(runs, lambda run: value(run.usage), "{:.0%}".format)


def _key(runs: Sequence[_Run]) -> str:
    return "Red: the run left no model." if any(run.bad for run in runs) else ""


def _failures(body: Element, runs: Sequence[_Run]) -> None:
    bad = [run for run in reversed(runs) if run.bad]
    add(body, "h2", "Runs without a model")
    if not bad:
        add(body, "p", "None.")
        return
    counts = Counter(run.record.sign for run in bad if run.record.sign)
    if repeated := [f"{name} ({number} times)" for name, number in counts.most_common() if number > 1]:
        add(body, "p", f"More than once: {', '.join(repeated)}.", {"class": "quiet"})
    rows = _rows(body, "failures", "Runs that failed, were cancelled or were lost, and why; the latest first", len(bad))
    _head(rows, [("Run", ""), ("Result", ""), ("Failure", ""), ("Cause", "")])
    lines = add(rows, "tbody")
    for run in bad:
        line = add(lines, "tr")
        add(line, "td", run.record.id, {"class": "run"})
        add(line, "td", run.record.state, {"class": "state-bad"})
        add(line, "td", run.record.sign or "-")
        add(line, "td", run.record.cause or "unknown", {"class": "cause"})


_COLUMNS: tuple[tuple[str, str, Callable[[_Run], str]], ...] = (
    ("Run", "run", lambda run: run.record.id),
    ("Started", "when", lambda run: f"{_moment(run.record.started):%Y-%m-%d %H:%M}" if run.record.started else "-"),
    ("Result", "", lambda run: run.record.state),
    ("Duration", "number", lambda run: "-" if run.record.seconds is None else duration(run.record.seconds)),
    ("USD", "number", lambda run: "-" if run.usd is None else usd_text(run.usd)),
    ("Machines", "when", lambda run: _machines(run.record)),
    ("Driver heap", "number", lambda run: _of(run.usage.driver_peak_bytes, run.usage.driver_heap_bytes)),
    ("Executor heap", "number", lambda run: _of(run.usage.executor_peak_bytes, run.usage.executor_heap_bytes)),
    ("GC", "number", lambda run: _percent(run.usage.gc_share)),
    ("Idle cores", "number", lambda run: _percent(run.usage.idle_share)),
    ("Spilled", "number", lambda run: _gib(run.usage.disk_spilled_bytes)),
    ("Skew", "number", lambda run: "-" if run.usage.skew is None else f"{run.usage.skew:.1f}"),
    ("Model", "", lambda run: run.record.model or "-"),
)


def _table(body: Element, runs: Sequence[_Run]) -> None:
    add(body, "h2", "All runs")
    about = "The figures behind the plots, the latest run first; heap in use and spilled data in GiB"
    rows = _rows(body, "runs", about, len(runs))
    _head(rows, [(name, kind) for name, kind, _ in _COLUMNS])
    lines = add(rows, "tbody")
    for run in reversed(runs):
        line = add(lines, "tr")
        for name, kind, show in _COLUMNS:
            style = "state-bad" if name == "Result" and run.bad else kind
            add(line, "td", show(run), {"class": style} if style else {})


def _rows(body: Element, name: str, about: str, count: int) -> Element:
    """Add a table with a description, which opens on a click if it is long."""
    place = body
    if count > OPEN_ROWS:
        place = add(body, "details")
        add(place, "summary", f"Show all {count} runs")
    add(place, "p", f"{about}.", {"class": "quiet", "id": name})
    # A region that can be scrolled must be within reach of a keyboard.
    scrolled = add(place, "div", "", {"class": "scroll", "tabindex": 0, "role": "region", "aria-labelledby": name})
    return add(scrolled, "table", "", {"class": name, "aria-labelledby": name})


def _head(table: Element, columns: Iterable[tuple[str, str]]) -> None:
    line = add(add(table, "thead"), "tr")
    for name, kind in columns:
        add(line, "th", name, {"scope": "col", **({"class": "number"} if kind == "number" else {})})


def _machines(record: RunRecord) -> str:
    counts = Counter(record.instance_types)
    return ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "-"


def _of(part: int | None, whole: int | None) -> str:
    return "-" if part is None else f"{_gib(part)} of {_gib(whole)}" if whole else _gib(part)


def _gib(number: int | None) -> str:
    return "-" if number is None else f"{number / 2**30:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def usd_text(amount: float) -> str:
    """Return ``2.41``; ``<0.01`` for less than a cent."""
    return f"{amount:.2f}" if amount >= _CENT or amount == 0 else "<0.01"


def _count(values: Sequence[object]) -> str:
    return f"{len(values)} run{'' if len(values) == 1 else 's'}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)
