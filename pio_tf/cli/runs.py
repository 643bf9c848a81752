"""``pio-tf runs | logs | cancel``: what there is of trainings, and the end of one."""

from __future__ import annotations

from typing import Annotated

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

_Run = Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.", show_default="the latest")]


@app.command()
def runs(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the runs: those that the driver knows, while it runs, and those that this computer knows."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.runs import runs_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(runs_rows(Cluster.load(config, reporter=terminal.reporter).runs()))


@app.command()
def logs(
    run: _Run = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write each line as an object of JSON, on a line.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the log of a run. Ctrl-C ends the looking, not the run."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.runs import log_line
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        write = (lambda line: terminal.write_json(log_line(line))) if json else terminal.write
        Cluster.load(config, reporter=terminal.reporter).logs(run, write, follow=follow)


@app.command()
def cancel(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.", show_default="the active one")
    ] = "",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """End a run: its processes on the driver and its executors. The machines go on."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.runs import run_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(run_rows(Cluster.load(config, reporter=terminal.reporter).cancel(run)))
