"""What `pio-tf check` shows."""

from __future__ import annotations

import io
import json

from pio_tf.cli.check import check_rows
from pio_tf.cli.output import Terminal
from pio_tf.training.preflight import CheckResult

RESULTS = (
    CheckResult("disk", "ok", "30.1 GiB free on /"),
    CheckResult("engine", "failed", "~/ur is not there", "put the engine there"),
)


def test_a_row_a_check_says_what_was_found_and_what_to_do() -> None:
    out = io.StringIO()
    Terminal(out=out, err=io.StringIO()).result(check_rows(RESULTS))
    head, disk, engine = (line.split("  ") for line in out.getvalue().splitlines())
    assert [cell.strip() for cell in head if cell.strip()] == ["CHECK", "RESULT", "FOUND", "WHAT TO DO"]
    assert [cell.strip() for cell in disk if cell.strip()] == ["disk", "ok", "30.1 GiB free on /", "-"]
    assert [cell.strip() for cell in engine if cell.strip()] == [
        "engine",
        "failed",
        "~/ur is not there",
        "put the engine there",
    ]


def test_json_has_every_field() -> None:
    out = io.StringIO()
    Terminal(json=True, out=out, err=io.StringIO()).result(check_rows(RESULTS))
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
