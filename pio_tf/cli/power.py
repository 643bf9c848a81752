"""``pio-tf up | down | status``: what switches power and shows it."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, ForOption, JsonOption, NoDeadlineOption


@app.command()
def up(
    for_: ForOption = None,
    no_deadline: NoDeadlineOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start the machines and wait until Spark has every worker. Creates what is missing.

    AWS stops the machines at their deadline, whatever happens to this computer. It is set before any machine starts.
    """
    from pio_tf.cli.options import parse_runtime
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.machines import machine_rows
    from pio_tf.cluster import Cluster

    duration = parse_runtime("--for", for_, no_deadline=no_deadline)
    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        machines = cluster.up(duration=duration, deadline=not no_deadline)
        terminal.result(machine_rows(machines, deadline=cluster.armed))


@app.command()
def extend(
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="From now, like 90m or 2h.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let machines that run go on until so much later from now: sets their deadline. It is never shortened."""
    from pio_tf.cli.options import parse_runtime
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.machines import extended_rows
    from pio_tf.cluster import Cluster

    seconds = parse_runtime("DURATION", duration)
    assert seconds is not None  # noqa: S101 - it is not optional
    with Terminal(json=json) as terminal:
        terminal.result(extended_rows(Cluster.load(config, reporter=terminal.reporter).extend(seconds)))


@app.command()
def down(
    force: Annotated[
        bool,
        typer.Option("--force", help="End a run that is active, and stop machines whose driver does not answer."),
    ] = False,
    if_idle: Annotated[
        bool, typer.Option("--if-idle", help="Only if no run is active; otherwise say so, and end with 0.")
    ] = False,
    idle_for: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option(
            metavar="DURATION",
            help="With --if-idle: only this long after the last start and the last run's end.",
            show_default="30m",
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Stop every machine, and prove it. Addresses, disks and software stay. Refused while a run is active."""
    from pio_tf.cli.options import parse_wait
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.machines import machine_rows
    from pio_tf.cluster import IDLE_FOR, Cluster
    from pio_tf.errors import ConfigError

    if if_idle and force:
        raise ConfigError("--if-idle and --force contradict each other", next_step="pio-tf down --if-idle")
    if idle_for is not None and not if_idle:
        raise ConfigError("--idle-for goes with --if-idle", next_step=f"pio-tf down --if-idle --idle-for {idle_for}")
    seconds = IDLE_FOR if idle_for is None else parse_wait("--idle-for", idle_for)
    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        machines = cluster.down_if_idle(idle_for=seconds) if if_idle else cluster.down(force=force)
        terminal.result(machine_rows(machines))


@app.command()
def status(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the machines: state, addresses, since when, and whether Spark has the worker."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.machines import status_rows
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        terminal.result(status_rows(Cluster.load(config, reporter=terminal.reporter).status()))
