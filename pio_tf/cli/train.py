"""``pio-tf train``: start, configure, train, stop."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption


@app.command()
def train(
    spark_arguments: Annotated[
        Optional[list[str]],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(metavar="[-- SPARK-SUBMIT ARGUMENTS]", help="Passed on to spark-submit, after ours."),
    ] = None,
    keep_up: Annotated[bool, typer.Option("--keep-up", help="Leave the machines running afterwards.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start the machines, run `pio train` on the Spark cluster, and stop them again, whatever happens."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables import training_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        result = cluster.train(spark_arguments or (), keep_up=keep_up or None)
        terminal.result(training_rows(result))
