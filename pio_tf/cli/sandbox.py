"""``pio-tf sandbox start | status | stop``: a local AWS to try everything on."""

from __future__ import annotations

from typing import Annotated

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import JsonOption

sandbox_app = typer.Typer(help="A local stand-in for AWS, with real Terraform, SSH and Spark.", no_args_is_help=True)
app.add_typer(sandbox_app, name="sandbox")


@sandbox_app.command("start")
def start(
    alarm_speed: Annotated[
        float,
        typer.Option(min=1.0, help="How many seconds of CloudWatch's pass in one: idle alarms in minutes, not hours."),
    ] = 1.0,
    json: JsonOption = False,
) -> None:
    """Start the sandbox in the background."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.sandbox import sandbox_rows
    from pio_tf.sandbox.control import default_directory, sandbox_status, start_sandbox

    with Terminal(json=json) as terminal:
        info = start_sandbox(default_directory(), alarm_speed=alarm_speed)
        terminal.done(f"the sandbox answers at {info.url} (process {info.pid})")
        terminal.say("next: pio-tf init --sandbox")
        if json:
            terminal.result(sandbox_rows(sandbox_status(default_directory())))


@sandbox_app.command("status")
def status(json: JsonOption = False) -> None:
    """Show whether the sandbox runs, and the machines behind it."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.sandbox import sandbox_rows
    from pio_tf.sandbox.control import default_directory, sandbox_status

    with Terminal(json=json) as terminal:
        terminal.result(sandbox_rows(sandbox_status(default_directory())))


@sandbox_app.command("stop")
def stop(json: JsonOption = False) -> None:
    """Stop the sandbox: its machines, their disks and all of its AWS are gone."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.sandbox import sandbox_stop_rows
    from pio_tf.sandbox.control import default_directory, stop_sandbox

    with Terminal(json=json) as terminal:
        stopped = stop_sandbox(default_directory())
        terminal.done("the sandbox is stopped, and nothing of it is left")
        terminal.result(sandbox_stop_rows(stopped=stopped))
