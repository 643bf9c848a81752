"""The schedule of trainings: ``schedule``."""

from __future__ import annotations

from pydantic import Field

from pio_tf.cli.results.base import CommandResult, Moment, ResultData, TextOrNone


class ScheduleData(ResultData):
    """The schedule of trainings, and what came of its last time."""

    cron: str = Field(description="the expression of EventBridge Scheduler")
    timezone: str
    paused: bool = Field(description="true: it starts no machines")
    from_file: bool = Field(description="true: pio-tf.hcl names the time; false: `schedule set` did")
    role_arn: str = Field(description="the role with which AWS starts and stops the machines")
    next: list[Moment] = Field(description="the next three times; empty if it is paused")
    last: Moment | None = Field(description="the last time, by the machines' tags; null: they carry none")
    stops: Moment | None = Field(description="when the schedule stops machines that run now; null: it stops none")
    run: TextOrNone = Field(description="the training of the last time; null: none is known")
    problem: TextOrNone = Field(description="why the last time led to no model, as far as it is known")
    driver_knows: bool | None = Field(description="whether the driver trains on it; null: it was not asked")

    def lines(self) -> list[str]:
        """Return what people read about it."""
        state = "paused" if self.paused else f"next at {self.next[0]:%Y-%m-%d %H:%M} UTC" if self.next else "over"
        lines = [f"AWS trains at {self.cron} ({self.timezone}): {state}"]
        if self.stops:
            lines.append(f"AWS stops the machines of the scheduled training at {self.stops:%Y-%m-%d %H:%M} UTC")
        if self.problem:
            lines.append(f"warning: {self.problem}")
        if self.driver_knows is False:
            lines.append("the driver does not know this schedule: `pio-tf config push` tells it")
        return lines


class ScheduleResult(CommandResult):
    """The schedule of a cluster's trainings."""

    schedule: ScheduleData | None = Field(description="null: there is none")

    def closing(self) -> str:
        if self.schedule is None:
            return "there is no schedule of trainings"
        found = self.schedule
        first, *rest = found.lines()
        lines = [first, *(f"then at {moment:%Y-%m-%d %H:%M} UTC" for moment in found.next[1:])]
        if found.last:
            lines.append(f"last at {found.last:%Y-%m-%d %H:%M} UTC, run {found.run or 'unknown'}")
        origin = "pio-tf.hcl" if found.from_file else "`pio-tf schedule set`"
        return "\n".join([*lines, *rest, f"set by {origin}, with the role {found.role_arn}"])
