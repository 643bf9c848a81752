"""``pio-tf check``: what a training needs, looked at without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cli.output import Rows
    from pio_tf.cli.schemas.runs import CheckData, ChecksResult
    from pio_tf.training.preflight import CheckResult

SkipCheckOption = Annotated[
    Optional[list[str]],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
    typer.Option("--skip-check", metavar="NAME", help="Leave a check out. May be given several times."),
]


@app.command()
def check(skip_check: SkipCheckOption = None, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Look whether the running machines and their services are fit for a training. Changes nothing."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster
    from pio_tf.errors import NotReady

    with Terminal(json=json) as terminal:
        results = Cluster.load(config, reporter=terminal.reporter).check(skip=skip_check or ())
        terminal.result(check_rows(results))
    if any(result.status == "failed" for result in results):
        raise typer.Exit(NotReady.exit_code)


def check_rows(results: Sequence[CheckResult]) -> Rows:
    """One row a check."""
    from pio_tf.cli.output import Rows

    checks: list[CheckData] = [
        {"name": one.name, "status": one.status, "detail": one.detail, "next_step": one.next_step} for one in results
    ]
    data: ChecksResult = {"version": 1, "checks": checks}
    return Rows(
        columns=("CHECK", "RESULT", "FOUND", "WHAT TO DO"),
        rows=tuple((one.name, one.status, one.detail, one.next_step or "-") for one in results),
        data=data,
        outputs={"failed": ",".join(one.name for one in results if one.status == "failed")},
    )
