"""The machines, their power and their deadline."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.cli.output import Rows
from pio_tf.durations import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cli.schemas.machines import ExtendResult, MachineData, MachinesResult, StatusMachineData, StatusResult
    from pio_tf.cluster import ClusterStatus, Extended
    from pio_tf.model import Machine

_MACHINE_COLUMNS = ("ROLE", "NAME", "ID", "TYPE", "STATE", "PRIVATE IP", "PUBLIC IP", "SINCE")


def machine_rows(machines: Sequence[Machine], *, deadline: datetime | None = None) -> Rows:
    """The machines after ``up`` or ``down``."""
    data: MachinesResult = {
        "version": 1,
        "machines": [_machine_data(machine) for machine in machines],
        "deadline": _iso(deadline),
    }
    return Rows(
        columns=_MACHINE_COLUMNS,
        rows=tuple(_machine_row(machine) for machine in machines),
        data=data,
        outputs={"state": _power(machines), "deadline": _iso(deadline) or ""},
        closing=_until(deadline) if deadline else "",
    )


def extended_rows(extended: Extended) -> Rows:
    """``pio-tf extend``."""
    data: ExtendResult = {
        "version": 1,
        "before": _iso(extended.before),
        "deadline": extended.deadline.isoformat(),
    }
    before = f" (before: {extended.before:%Y-%m-%d %H:%M} UTC)" if extended.before else " (there was no deadline)"
    return Rows(
        (), (), data, outputs={"deadline": extended.deadline.isoformat()}, closing=_until(extended.deadline) + before
    )


def status_rows(status: ClusterStatus) -> Rows:
    """``pio-tf status``: the machines, and which workers Spark has."""
    rows = []
    machines: list[StatusMachineData] = []
    for machine in status.machines:
        alive = status.spark_alive(machine)
        rows.append((*_machine_row(machine), {True: "alive", False: "no", None: "-"}[alive]))
        machines.append({**_machine_data(machine), "spark_alive": alive})
    data: StatusResult = {
        "version": 1,
        "cluster": status.cluster,
        "created": status.created,
        "machines": machines,
        "run": status.run or None,
        "deadline": _iso(status.deadline),
    }
    if rows:
        closing = "\n".join(
            filter(
                None,
                (
                    f"run {status.run} is active" if status.run else "",
                    _until(status.deadline) if status.deadline else _no_deadline(status.machines),
                ),
            )
        )
    else:
        closing = f"{status.cluster} has no machines: pio-tf up creates them"
    return Rows(
        columns=(*_MACHINE_COLUMNS, "SPARK"),
        rows=tuple(rows),
        data=data,
        outputs={"state": _power(status.machines), "run": status.run, "deadline": _iso(status.deadline) or ""},
        closing=closing,
    )


def _machine_row(machine: Machine) -> tuple[str, ...]:
    return (
        machine.role,
        machine.name + (" (Spot)" if machine.spot else "") + ("" if machine.in_outputs else " (not in the state)"),
        machine.instance_id,
        machine.instance_type,
        machine.state,
        machine.private_ip or "-",
        machine.public_ip or "-",
        _ago(machine.since),
    )


def _machine_data(machine: Machine) -> MachineData:
    return {
        "name": machine.name,
        "role": machine.role,
        "instance_id": machine.instance_id,
        "instance_type": machine.instance_type,
        "state": machine.state,
        "private_ip": machine.private_ip,
        "public_ip": machine.public_ip,
        "since": machine.since.isoformat() if machine.since else None,
        "spot": machine.spot,
        "in_outputs": machine.in_outputs,
    }


def _power(machines: Sequence[Machine]) -> str:
    """The state of all of them, in one word."""
    states = {machine.state for machine in machines}
    return "none" if not states else states.pop() if len(states) == 1 else "mixed"


def _until(deadline: datetime) -> str:
    left = (deadline - datetime.now(tz=timezone.utc)).total_seconds()
    return f"AWS stops the machines at {deadline:%Y-%m-%d %H:%M} UTC, " + (
        f"in {duration(left)}" if left > 0 else "which has passed"
    )


def _no_deadline(machines: Sequence[Machine]) -> str:
    awake = any(machine.is_on for machine in machines)
    return "machines run without a deadline: `pio-tf extend 2h` sets one" if awake else ""


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _ago(since: datetime | None) -> str:
    if since is None:
        return "-"
    seconds = max(0, (datetime.now(tz=timezone.utc) - since).total_seconds())
    return f"{duration(seconds)} ago"
