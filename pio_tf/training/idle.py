"""Idle machines: recognised by facts of AWS and the driver, never by guesses about load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.durations import duration
from pio_tf.training.runs.driver_lock import locked_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.model import Machine
    from pio_tf.training.runs.driver_runs import DriverState


def find_starts(machines: Sequence[Machine], *, grace: float, now: float) -> str:
    """Return why running machines are in use, going by their start; empty: they are not.

    Args:
        grace: seconds after a start in which the client that started them may be about to use them: it has no lock
            before they are ready.
        now: seconds since 1970.
    """
    starting = [machine.name for machine in machines if machine.state == "pending"]
    if starting:
        return f"{', '.join(starting)}: starting"
    latest = max((machine.since.timestamp() for machine in machines if machine.since is not None), default=0.0)
    if now - latest < grace:
        return f"started {duration(now - latest)} ago, which is less than {duration(grace)}"
    return ""


def find_runs(state: DriverState, *, grace: float, now: float) -> str:
    """Return why running machines are in use, going by the driver's runs; empty: they are not.

    Args:
        grace: seconds after the last run's end in which a user may be looking at it.
        now: seconds since 1970, by a clock like the driver's.
    """
    holder = state.holder
    if holder is not None:
        doing = {"running": "is active", "preparing": "is being prepared"}.get(holder.doing)
        if doing:
            return f"run {holder.run} {doing}, {holder.who}"
        return f"already being stopped by {holder.who}" if holder.doing == "stopping" else locked_by(holder).what
    if state.is_awaited:
        return "a client waits for machines that prepare themselves"
    ended = [(run.ending.time, run.id) for run in state.runs if run.ending is not None]
    if ended and now - max(ended)[0] < grace:
        time, run = max(ended)
        return f"run {run} ended {duration(now - time)} ago, which is less than {duration(grace)}"
    return ""
