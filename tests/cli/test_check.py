"""The output of `pio-tf check`."""

from __future__ import annotations

import io
import json

from pio_tf.cli.output import Output
from pio_tf.cli.results.runs import ChecksResult
from pio_tf.training.preflight import CheckResult

RESULT = ChecksResult.model_validate(
    {
        "checks": (
            CheckResult("disk", "ok", "30.1 GiB free on /"),
            CheckResult("engine", "failed", "~/ur is not there", "put the engine there"),
        )
    }
)


def test_a_row_a_check_says_what_was_found_and_what_to_do() -> None:
    out = io.StringIO()
    Output(out=out, err=io.StringIO()).result(RESULT)
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
