"""Tables, prose and colours on terminals of 80 and 120 columns, light and dark."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pio_tf import ClusterStatus, ClusterSummary
from pio_tf.cli.live import styled_text
from pio_tf.cli.output import Output
from pio_tf.cli.results.base import Table
from pio_tf.cli.results.clusters import ClustersResult
from pio_tf.cli.results.runs import RunResult
from pio_tf.cli.results.status import StatusResult
from pio_tf.cli.wrap import wrap_words
from pio_tf.config.starter import Starter, load_starter
from pio_tf.events import Done, Step, Warned
from pio_tf.infra.cost import Prices
from tests.cli.samples import DRIVER, LONG_AGO, MASTER, RUN, WORKER
from tests.cli.screen import Screen

if TYPE_CHECKING:
    from pio_tf.cli.results.base import CommandResult

STATUS = StatusResult.of(ClusterStatus("trial", True, (DRIVER, MASTER, WORKER), frozenset(), deadline=LONG_AGO))
CLUSTERS = ClustersResult.of(
    [ClusterSummary("a-cluster-with-a-long-name-of-forty-chars", (DRIVER, MASTER), LONG_AGO, 0.1, 0.01)],
    load_starter(Starter()),
)
PRICES = Prices({"r5.large": 0.126}, {}, "")
RESULTS = [STATUS, CLUSTERS, RunResult.of(RUN, PRICES)]


def shown(result: CommandResult, columns: int) -> list[str]:
    screen = Screen(columns=columns)
    with screen.open() as terminal:
        Output(out=terminal, err=terminal, environ={"TERM": "xterm"}).result(result)
    screen.close()
    return screen.lines


@pytest.mark.parametrize("result", RESULTS, ids=lambda one: type(one).__name__)
def test_a_result_fits_80_columns_without_a_broken_word(result: CommandResult) -> None:
    lines, table = shown(result, 80), result.table()
    assert max(map(len, lines)) <= 80
    cells = (*table.columns, *(cell for row in table.rows for cell in row), result.closing())
    assert {word for line in lines for word in line.split()} <= set(" ".join(cells).split())


def test_a_wide_terminal_shows_every_column_and_a_pipe_always_does() -> None:
    header = " ".join(STATUS.table().columns)
    assert " ".join(shown(STATUS, 120)[0].split()) == header
    out = io.StringIO()
    Output(out=out, err=io.StringIO()).result(STATUS)
    assert " ".join(out.getvalue().splitlines()[0].split()) == header


def test_columns_without_a_value_go_first_and_then_the_spare_ones() -> None:
    table = Table(("A", "B", "C"), [("1", "-", "333"), ("2", "-", "4")], spare=("A",))
    assert table.narrowed(9) == table
    assert table.narrowed(8).columns == ["A", "C"]
    assert table.narrowed(3).columns == ["C"]
    assert table.narrowed(1).rows == [["333"], ["4"]]


def test_prose_breaks_between_words_and_a_command_stays_whole() -> None:
    text = "the machines run: `pio-tf down --force` stops them\nshort"
    assert wrap_words(text, 30).split("\n") == ["the machines run:", "`pio-tf down --force` stops", "them", "short"]
    assert wrap_words(text, 80) == text
    assert wrap_words("  island, no way out", 12) == "  island, no\n  way out"


def test_a_line_about_the_work_breaks_between_words_on_a_terminal_only() -> None:
    screen, pipe = Screen(columns=40), io.StringIO()
    said = "the driver has no room: spark-defaults.conf is on a full disk"
    with screen.open() as terminal:
        for file in (terminal, pipe):
            Output(out=file, err=file, environ={"TERM": "xterm"}).reporter(Warned(said))
    screen.close()
    assert screen.lines[:2] == ["warning: the driver has no room:", "spark-defaults.conf is on a full disk"]
    assert pipe.getvalue() == f"warning: {said}\n"


def test_a_colour_marks_the_beginning_and_prose_has_that_of_the_terminal() -> None:
    text = styled_text("warning: no space", "bold yellow", 9)
    assert [(span.start, span.end, span.style) for span in text.spans] == [(0, 9, "bold yellow")]
    assert str(text.style) == ""


def test_a_wait_says_how_long_it_usually_takes() -> None:
    err = io.StringIO()
    output = Output(out=io.StringIO(), err=err)
    for event in (Step("Stopping 4 machines", "1 to 2 minutes"), Done("stopped"), Warned("late")):
        output.reporter(event)
    assert err.getvalue() == "Stopping 4 machines (usually 1 to 2 minutes)\nstopped\nwarning: late\n"
