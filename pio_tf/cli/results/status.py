"""The cluster now: ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Moment, Outputs, TextOrNone
from pio_tf.cli.results.machines import (
    DEADLINE_OUTPUT,
    MACHINE_COLUMNS,
    SPARE_COLUMNS,
    STATE_OUTPUT,
    MachineData,
    until,
)
from pio_tf.cli.results.schedule import ScheduleData
from pio_tf.durations import duration

if TYPE_CHECKING:
    from pio_tf.cluster.status import ClusterStatus


class StatusMachineData(MachineData):
    """A machine, and whether Spark has it."""

    spark_alive: bool | None = Field(
        description="whether Spark's master has this worker; null: not a worker, or Spark was not asked"
    )


class StatusResult(CommandResult):
    """The cluster now."""

    ROWS = "machines"
    SPARE = SPARE_COLUMNS
    COLUMNS: ClassVar[Columns] = {
        **MACHINE_COLUMNS,
        "SPARK": lambda one: {True: "alive", False: "no", None: ""}[one.spark_alive],
    }
    OUTPUTS: ClassVar[Outputs] = {
        "state": STATE_OUTPUT,
        "run": ("run", "the active run; empty: none"),
        "deadline": DEADLINE_OUTPUT,
    }

    cluster: str
    created: bool = Field(description="whether Terraform has outputs")
    machines: list[StatusMachineData]
    run: TextOrNone = Field(description="the active run")
    deadline: Moment | None = Field(description="when AWS stops the machines; null: no deadline, or nothing runs")

    powers_off_after: int | None = Field(
        description="seconds without use after which the driver powers itself off; null: it does not, or was not asked"
    )
    powers_off_in: int | None = Field(description="seconds until then, if nothing uses the driver; null: as before")
    power_off_problem: TextOrNone = Field(description="why the driver could not power itself off")
    schedule: ScheduleData | None = Field(description="the schedule of trainings; null: none, or AWS was not asked")
    without_timer: list[str] | None = Field(
        description="running machines that do not stop by themselves after the driver; null: it was not asked"
    )

    @classmethod
    def of(cls, status: ClusterStatus) -> StatusResult:
        """Return the result of ``status``."""
        machines = [
            {**MachineData.model_validate(one).model_dump(), "spark_alive": status.spark_alive(one)}
            for one in status.machines
        ]
        linger = status.driver.linger if status.driver else None
        power_off = {
            "without_timer": status.without_timer,
            "powers_off_after": linger.seconds if linger else None,
            "powers_off_in": linger.left if linger else None,
            "power_off_problem": linger.problem if linger else "",
        }
        return cls.model_validate({**asdict(status), **power_off, "machines": machines})

    def closing(self) -> str:
        if not self.machines:
            return f"{self.cluster} has no machines: `pio-tf up` creates them"
        lines = [f"run {self.run} is active"] if self.run else []
        lines += self._power_off()
        lines += self.schedule.lines() if self.schedule else []
        if self.deadline:
            lines.append(until(self.deadline))
        elif any(one.state in ("pending", "running") for one in self.machines) and not self._scheduled:
            lines.append("machines run without a deadline: `pio-tf extend 2h` sets one")
        return "\n".join(lines)

    @property
    def _scheduled(self) -> bool:
        return self.schedule is not None and self.schedule.stops is not None

    def _power_off(self) -> list[str]:
        """Return the lines that say which machines stop themselves, and when."""
        if self.without_timer is None:
            roles = {one.role: one.state in ("pending", "running") for one in self.machines}
            if any(roles.values()) and not roles.get("driver", True):
                return ["the driver is off: the other machines stop some minutes after it, or at the deadline"]
            return []
        if self.power_off_problem:
            return [
                f"the driver could not power itself off: {self.power_off_problem}; `pio-tf down` stops the machines"
            ]
        if self.powers_off_after is None or self.powers_off_in is None:
            return ["the machines do not stop by themselves after a training; `pio-tf down` stops them"]
        seconds = self.powers_off_after if self.run else self.powers_off_in
        after = f"after run {self.run}" if self.run else "from now"
        then = "the other machines follow it after 5 minutes"
        if self.without_timer:
            then = f"only the deadline stops {', '.join(self.without_timer)}: `pio-tf up` says why"
        return [f"the driver powers itself off {duration(seconds)} {after}, unless a client uses it; {then}"]
