"""``pio-tf schedule set | show | pause | resume | remove``: trainings on AWS's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.command import CommandCall, command

if TYPE_CHECKING:
    from pio_tf.cluster.scheduling import ScheduleStatus


@command(name="set")
def set_(
    call: CommandCall,
    cron: Annotated[str, typer.Argument(metavar="EXPR", help='When to train, like "cron(0 3 ? * SUN *)".')],
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone, like Europe/Berlin.")] = "UTC",
    no_start: Annotated[
        bool,
        typer.Option(
            "--no-start", help="Start no machines: the driver learns of the schedule at the next up or train."
        ),
    ] = False,
) -> None:
    """Let AWS start the machines and train at set times.

    EXPR is a cron expression of EventBridge Scheduler. pio-tf starts machines that are off, configures and checks the
    driver, and stops them again. Replaces any other schedule of the cluster.
    """
    call.cluster.set_schedule(cron, timezone=timezone, start=not no_start)
    _show(call)


@command()
def show(
    call: CommandCall,
    check: Annotated[
        bool, typer.Option("--check", help="End with 6 if the last scheduled training failed or was missed.")
    ] = False,
) -> None:
    """Show the schedule, and what came of its last time."""
    from pio_tf.errors import TrainingFailed

    found = _show(call)
    if check and found is not None and found.problem:
        raise typer.Exit(TrainingFailed.exit_code)


@command()
def pause(call: CommandCall) -> None:
    """Let the schedule start no machines until resumed."""
    call.cluster.pause_schedule()
    _show(call)


@command()
def resume(call: CommandCall) -> None:
    """Let a paused schedule start machines again."""
    call.cluster.resume_schedule()
    _show(call)


@command()
def remove(call: CommandCall) -> None:
    """Remove the schedule."""
    call.cluster.remove_schedule()
    _show(call)


def _show(call: CommandCall) -> ScheduleStatus | None:
    from pio_tf.cli.results.schedule import ScheduleResult

    found = call.cluster.schedule()
    call.show(ScheduleResult.model_validate({"schedule": found}))
    return found
