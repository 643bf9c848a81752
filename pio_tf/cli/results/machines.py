"""Machines, their power and their deadline: ``up``, ``down``, ``extend``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Moment, Outputs, ResultData
from pio_tf.durations import duration
from pio_tf.model import PowerState, Role

if TYPE_CHECKING:
    from pio_tf.model import Machine

MACHINE_COLUMNS: Columns = {
    "ROLE": "role",
    "NAME": lambda machine: machine.name + _notes(machine),
    "ID": "instance_id",
    "TYPE": "instance_type",
    "STATE": "state",
    "PRIVATE IP": "private_ip",
    "PUBLIC IP": "public_ip",
    "SINCE": lambda machine: f"{duration((now() - machine.since).total_seconds())} ago" if machine.since else "",
}
SPARE_COLUMNS = ("ROLE", "SINCE", "TYPE")
STATE_OUTPUT = (lambda result: common_state(result.machines), "`running`, `stopped`, …; `mixed`; `none`: no machines")
DEADLINE_OUTPUT = (
    lambda result: result.deadline.isoformat() if result.deadline else "",
    "ISO 8601: when AWS stops the machines; empty: no deadline",
)


class MachineData(ResultData):
    """A machine, as EC2 describes it."""

    name: str = Field(description="`driver`, `master`, `worker-1`, …")
    role: Role
    instance_id: str
    instance_type: str
    state: PowerState
    private_ip: str
    public_ip: str | None = Field(description="null: it has none now")
    since: Moment | None = Field(description="when it was last started or stopped")
    spot: bool = Field(description="true: a Spot instance, which pio-tf did not create and does not start")
    in_outputs: bool = Field(description="false: it has the cluster's tags, but Terraform does not know it")


class MachinesResult(CommandResult):
    """The machines, once they are started or stopped."""

    ROWS = "machines"
    COLUMNS = MACHINE_COLUMNS
    SPARE = SPARE_COLUMNS
    OUTPUTS: ClassVar[Outputs] = {"state": STATE_OUTPUT, "deadline": DEADLINE_OUTPUT}

    machines: list[MachineData] = Field(description="driver, master and workers")
    deadline: Moment | None = Field(description="when AWS stops them; null: no deadline was set")

    def closing(self) -> str:
        return until(self.deadline) if self.deadline else ""


class ExtendResult(CommandResult):
    """The deadline of running machines."""

    OUTPUTS: ClassVar[Outputs] = {"deadline": DEADLINE_OUTPUT}

    before: Moment | None = Field(description="the deadline until now; null: there was none")
    deadline: Moment = Field(description="the deadline from now on")

    def closing(self) -> str:
        before = f"before: {self.before:%Y-%m-%d %H:%M} UTC" if self.before else "there was no deadline"
        return f"{until(self.deadline)} ({before})"


def now() -> datetime:
    """Return the time of day, UTC."""
    return datetime.now(tz=timezone.utc)


def _notes(machine: MachineData) -> str:
    """Return whatever is unusual about a machine."""
    return (" (Spot)" if machine.spot else "") + ("" if machine.in_outputs else " (not in the state)")


def common_state(machines: Sequence[MachineData | Machine]) -> str:
    """Return the state of all machines in one word."""
    states = {machine.state for machine in machines}
    return "none" if not states else states.pop() if len(states) == 1 else "mixed"


def until(deadline: datetime) -> str:
    """Return when AWS stops the machines, and how far away that is."""
    left = (deadline - now()).total_seconds()
    when = f"in {duration(left)}" if left > 0 else "which has passed"
    return f"AWS stops the machines at {deadline:%Y-%m-%d %H:%M} UTC, {when}"
