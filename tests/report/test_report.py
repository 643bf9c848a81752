"""The report about runs: its HTML, without a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from pio_tf import AwsError, Cluster, ConfigError, Event, RunRecord, Warned
from pio_tf.report import write_report
from pio_tf.report.plots import Axis, round_step, spread
from pio_tf.training.runs.run_copies import Archive
from tests.report.samples import HOSTILE, NOW, PRICES, report_of, sample_report, sample_run

if TYPE_CHECKING:
    from pathlib import Path
from tests.support.builders import make_config

VOID = frozenset({"meta"})


class Page(HTMLParser):
    """The elements of a page. Raise AssertionError where they do not fit into each other."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.cells: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("number", [0, 1, 3, 200])
def test_a_page_is_whole_and_loads_nothing(number: int) -> None:
    text = sample_report(number)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert {"script", "link", "img", "iframe", "object", "a"}.isdisjoint({tag for tag, _ in page.found})
    assert not re.search(r"url\(|@import|\bhref=|\bsrc=", re.sub(r"<td.*?</td>", "", text))
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert [one["lang"] for one in page.all("html")] == ["en"]
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in [*page.all("table"), *page.all("div")]:
        assert attributes.get("aria-labelledby", ids[0] if ids else "") in ids or "aria-labelledby" not in attributes
    assert all(drawn["role"] == "img" and drawn["aria-label"] for drawn in page.all("svg"))


def test_without_runs_the_page_says_what_to_do() -> None:
    page = Page(sample_report(0))
    assert "There is no run yet. `pio-tf train` does the first one." in page.text
    assert page.all("svg") == []


def test_every_figure_of_a_plot_is_in_the_table_the_latest_run_first() -> None:
    page = Page(sample_report(3))
    head, *rows = page.cells[-4:]
    assert head == [
        *("Run", "Started", "Result", "Duration", "USD", "Machines", "Driver heap", "Executor heap"),
        *("GC", "Idle cores", "Spilled", "Skew", "Model"),
    ]
    third = sample_run(2)
    assert rows[0] == [
        third.id,
        "2026-01-15 00:00",
        "succeeded",
        "2 h 5 min",
        f"{third.seconds * 4 * 0.504 / 3600:.2f}" if third.seconds else "",
        "4 r5.2xlarge",
        "11.0 of 58.0",
        "44.0 of 58.0",
        "11%",
        "32%",
        "2.0",
        "3.0",
        third.model,
    ]
    assert [row[0] for row in rows] == [sample_run(number).id for number in (2, 1, 0)]


def test_a_bar_for_each_run_says_its_value_and_result_and_failures_are_marked() -> None:
    text = sample_report(12)
    wide = text.partition('<svg class="plot wide"')[2].partition("</svg>")[0]
    titles = re.findall(r"<title>(.*?)</title>", wide)
    assert len(titles) == 12
    assert titles[1].endswith(": 52 min, failed")
    assert wide.count('class="bad"') == 2
    assert re.search(r"Durations of 12 runs, from \d+ min( \d+ s)? to 2 h \d+ min\.", wide)


def test_words_of_a_log_stay_words() -> None:
    text = sample_report(3)
    page = Page(text)
    (row,) = [cells for cells in page.cells if cells[1:2] == ["failed"] and len(cells) == 4]
    assert row[3] == HOSTILE.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_run_that_knows_nothing_is_in_the_page() -> None:
    bare = sample_run(0).with_(state="lost", started=None, ended=None, usage={}, machines=(), model="")
    page = Page(report_of(bare))
    assert page.all("svg") == []
    assert page.cells[-1] == [bare.id, "-", "lost", *["-"] * 10]
    active = sample_run(0).with_(state="running", ended=None, usage={})
    assert "none has ended" in Page(report_of(active)).text


def test_runs_of_spark_2_have_no_plot_of_heaps() -> None:
    usage = {"gc_share": 0.05, "idle_share": 0.5, "seen_seconds": 100.0}
    page = Page(report_of(sample_run(0).with_(usage=usage)))
    assert "Most heap in use" not in page.text
    assert "Time of the executors" in page.text


@pytest.mark.parametrize(
    ("most", "unit", "labels"),
    [
        (3.0, "seconds", ["0", "1", "2", "3"]),
        (119.0, "seconds", ["0", "50", "100", "150"]),
        (4920.0, "minutes", ["0", "20", "40", "60", "80", "100"]),
        (8940.0, "hours", ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]),
        (0.0, "seconds", ["0", "1"]),
    ],
)
def test_an_axis_has_round_numbers_in_a_unit_that_suits(most: float, unit: str, labels: list[str]) -> None:
    axis = Axis.of_seconds(most)
    assert (axis.unit, [label for _, label in axis.ticks]) == (unit, labels)
    assert axis.top >= most


def test_steps_are_round_and_places_are_spread() -> None:
    assert [round_step(about) for about in (0.0, 0.03, 0.6, 1.0, 20.5, 99.0)] == [1.0, 0.05, 1.0, 1.0, 50.0, 100.0]
    assert spread(3, 7) == [0, 1, 2]
    assert spread(200, 3) == [0, 100, 199]


def test_a_report_replaces_the_one_before_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for number in (1, 2):
        write_report(path, "recommender", map(sample_run, range(number)), PRICES, now=NOW)
    assert path.read_text(encoding="utf-8") == sample_report(2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "report.html", tmp_path / "missing" / "report.html"):
        with pytest.raises(ConfigError, match=f"cannot write {re.escape(str(path))}"):
            write_report(path, "recommender", (), PRICES, now=NOW)


def test_without_aws_the_report_is_about_the_runs_that_this_computer_knows(tmp_path: Path) -> None:
    class Unanswered(Cluster):
        def runs(self) -> tuple[RunRecord, ...]:
            raise AwsError("AWS does not answer")

    events: list[Event] = []
    config = make_config(tmp_path)
    Archive.of(config).save(sample_run(1))
    cluster = Unanswered(config, reporter=events.append, environ={"HOME": str(tmp_path)})
    path, runs = cluster.report()
    assert path == config.work_dir / "report.html"
    assert [run.id for run in runs] == [sample_run(1).id]
    assert sample_run(1).id in path.read_text(encoding="utf-8")
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "AWS does not answer: the report is about the runs that this computer knows"
    ]
