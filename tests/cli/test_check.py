"""The output of `pio-tf check`."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from pio_tf.cli.output import Output
from pio_tf.cli.results.runs import ChecksResult
from pio_tf.events import Checked
from pio_tf.training.preflight import CheckResult
from tests.cli.screen import Screen

if TYPE_CHECKING:
    from pio_tf.training.preflight.context import Status

CHECKS: tuple[tuple[str, Status], ...] = (
    ("hdfs", "failed"),
    ("jdbc", "skipped"),
    ("disk", "ok"),
    ("java", "warning"),
    ("spark", "failed"),
    ("engine", "ok"),
)
RESULT = ChecksResult.model_validate(
    {
        "checks": (
            CheckResult("disk", "ok", "30.1 GiB free on /"),
            CheckResult("engine", "failed", "~/ur is not there", "put the engine there"),
        )
    }
)


def test_a_pipe_gets_a_line_for_each_check_and_one_for_a_next_step() -> None:
    out = io.StringIO()
    Output(out=out, err=io.StringIO()).result(RESULT)
    assert [" ".join(line.split()) for line in out.getvalue().splitlines()] == [
        "CHECK RESULT FOUND",
        "disk ok 30.1 GiB free on /",
        "engine failed ~/ur is not there",
        "next: put the engine there",
    ]


def test_failed_checks_come_last() -> None:
    found = [CheckResult(name, status, "") for name, status in CHECKS]
    rows = ChecksResult.model_validate({"checks": found}).table().rows
    assert [row[0] for row in rows] == ["jdbc", "disk", "engine", "java", "hdfs", "spark"]


def test_a_list_of_checks_fits_a_terminal() -> None:
    long = CheckResult("java", "warning", "Java 21 (/opt/java), but PredictionIO 0.14.0 was made for Java 8 " * 2)
    screen = Screen(columns=80)
    with screen.open() as terminal:
        Output(out=terminal, err=terminal, environ={"TERM": "xterm"}).result(ChecksResult(checks=[long]))
    screen.close()
    assert max(map(len, screen.lines)) <= 80
    assert " ".join(" ".join(screen.lines[1:]).split()) == f"java warning {long.detail.strip()}"


def test_json_has_every_field() -> None:
    out = io.StringIO()
    Output(json=True, out=out, err=io.StringIO()).result(RESULT)
    assert json.loads(out.getvalue()) == {
        "version": 1,
        "checks": [
            {"name": "disk", "status": "ok", "detail": "30.1 GiB free on /", "next_step": ""},
            {
                "name": "engine",
                "status": "failed",
                "detail": "~/ur is not there",
                "next_step": "put the engine there",
            },
        ],
    }


def test_a_terminal_shows_each_check_once() -> None:
    screen = Screen(columns=80)
    with screen.open() as terminal:
        output = Output(out=terminal, err=terminal, environ={"TERM": "xterm"})
        output.leave_checks_to_result()
        for check in RESULT.checks:
            output.reporter(Checked(check.name, check.status, check.detail))
        output.result(RESULT)
    screen.close()
    assert " ".join(screen.lines).count("30.1 GiB free on /") == 1


def test_checks_are_shown_as_they_end_where_their_table_goes_elsewhere() -> None:
    screen = Screen(columns=80)
    with screen.open() as terminal:
        output = Output(out=io.StringIO(), err=terminal, environ={"TERM": "xterm"})
        output.leave_checks_to_result()
        output.reporter(Checked("disk", "ok", "30.1 GiB free on /"))
    screen.close()
    assert "30.1 GiB free on /" in " ".join(screen.lines)
