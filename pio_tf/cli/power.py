"""``pio-tf up | down | status``: what switches power and shows it."""

from __future__ import annotations

from typing import Annotated

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption


@app.command()
def up(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Start the machines and wait until Spark has every worker. Creates what is missing."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables import machine_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        machines = Cluster.load(config, reporter=terminal.reporter).up()
        terminal.result(machine_rows(machines))


@app.command()
def down(
    force: Annotated[
        bool,
        typer.Option("--force", help="End a run that is active, and stop machines whose driver does not answer."),
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Stop every machine, and prove it. Addresses, disks and software stay. Refused while a run is active."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables import machine_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        machines = Cluster.load(config, reporter=terminal.reporter).down(force=force)
        terminal.result(machine_rows(machines))


@app.command()
def status(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the machines: state, addresses, since when, and whether Spark has the worker."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables import status_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(status_rows(Cluster.load(config, reporter=terminal.reporter).status()))
