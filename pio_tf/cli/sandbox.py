"""``pio-tf sandbox start | status | stop``: a local AWS to try everything on."""

from __future__ import annotations

from typing import Annotated

import typer

from pio_tf.cli.command import CommandCall, command


@command(config=False)
def start(
    call: CommandCall,
    alarm_speed: Annotated[
        float,
        typer.Option(min=1.0, help="Let CloudWatch's time pass this much faster: idle alarms in minutes, not hours."),
    ] = 1.0,
) -> None:
    """Start the sandbox in the background."""
    from pio_tf.sandbox.control import default_directory, start_sandbox

    info = start_sandbox(default_directory(), alarm_speed=alarm_speed)
    call.output.done(f"the sandbox answers at {info.url} (process {info.pid})")
    call.output.say("next: pio-tf init --sandbox")
    if call.json:
        _show_status(call)


@command(config=False)
def status(call: CommandCall) -> None:
    """Show whether the sandbox runs, and its machines."""
    _show_status(call)


@command(config=False)
def stop(call: CommandCall) -> None:
    """Stop the sandbox and remove all of its machines and AWS."""
    from pio_tf.cli.results.sandbox import SandboxStopResult
    from pio_tf.sandbox.control import default_directory, stop_sandbox

    stopped = stop_sandbox(default_directory())
    call.output.done("the sandbox is stopped, and nothing of it is left")
    call.show(SandboxStopResult(stopped=stopped))


def _show_status(call: CommandCall) -> None:
    from pio_tf.cli.results.sandbox import SandboxResult
    from pio_tf.sandbox.control import default_directory, sandbox_status

    call.show(SandboxResult.model_validate(sandbox_status(default_directory())))
