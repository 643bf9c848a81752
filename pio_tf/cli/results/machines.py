"""Machines, their power and their deadline: ``up``, ``down``, ``extend``, ``status``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Moment, Outputs, ResultData, TextOrNone
from pio_tf.durations import duration
from pio_tf.infra.cost import price_note
from pio_tf.model import PowerState, Role

if TYPE_CHECKING:
    from pio_tf.cluster.listing import ClusterSummary
    from pio_tf.cluster.power import ClusterStatus
    from pio_tf.cluster.resize import Resize
    from pio_tf.config.schema import Config
    from pio_tf.model import Machine

_COLUMNS: Columns = {
    "ROLE": "role",
    "NAME": lambda machine: machine.name + _notes(machine),
    "ID": "instance_id",
    "TYPE": "instance_type",
    "STATE": "state",
    "PRIVATE IP": "private_ip",
    "PUBLIC IP": "public_ip",
    "SINCE": lambda machine: f"{duration((_now() - machine.since).total_seconds())} ago" if machine.since else "",
}
_SPARE = ("ROLE", "SINCE", "TYPE")
_STATE = (lambda result: _power(result.machines), "`running`, `stopped`, …; `mixed`; `none`: no machines")
_DEADLINE = (
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
    COLUMNS = _COLUMNS
    SPARE = _SPARE
    OUTPUTS: ClassVar[Outputs] = {"state": _STATE, "deadline": _DEADLINE}

    machines: list[MachineData] = Field(description="driver, master and workers")
    deadline: Moment | None = Field(description="when AWS stops them; null: no deadline was set")

    def closing(self) -> str:
        return _until(self.deadline) if self.deadline else ""


class ExtendResult(CommandResult):
    """The deadline of running machines."""

    OUTPUTS: ClassVar[Outputs] = {"deadline": _DEADLINE}

    before: Moment | None = Field(description="the deadline until now; null: there was none")
    deadline: Moment = Field(description="the deadline from now on")

    def closing(self) -> str:
        before = f"before: {self.before:%Y-%m-%d %H:%M} UTC" if self.before else "there was no deadline"
        return f"{_until(self.deadline)} ({before})"


class SizeData(ResultData):
    """An instance type."""

    instance_type: str
    memory_mib: int
    vcpus: int
    hourly_usd: float | None = Field(description="estimated price of an hour; null: unknown")

    def __str__(self) -> str:
        price = "unknown price" if self.hourly_usd is None else f"{self.hourly_usd:.3f} USD/hour"
        return f"{self.instance_type} ({self.memory_mib / 1024:g} GiB, {self.vcpus} cores, {price})"


class MachineResizeData(ResultData):
    """A change of a machine's type."""

    name: str
    instance_id: str
    before: SizeData
    after: SizeData

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.after}"


class ResizeResult(CommandResult):
    """The machines with a new type."""

    ROWS = "machines"
    COLUMNS: ClassVar[Columns] = {"NAME": "name", "ID": "instance_id", "BEFORE": "before", "NOW": "after"}

    machines: list[MachineResizeData] = Field(description="those that were changed; empty: all had the type already")

    @classmethod
    def of(cls, changes: Sequence[Resize]) -> ResizeResult:
        """Return the result of ``resize``."""
        machines = [
            {"name": one.machine.name, "instance_id": one.machine.instance_id, "before": one.before, "after": one.after}
            for one in changes
        ]
        return cls.model_validate({"machines": machines})

    def closing(self) -> str:
        return "" if self.machines else "nothing to change: the type is set already"


class ClusterData(ResultData):
    """A cluster in brief, by the tags of its machines."""

    cluster: str
    state: str = Field(description="`running`, `stopped`, …; `mixed`: not all machines have the same")
    machines: int
    running: int = Field(description="machines that are not stopped: AWS bills them")
    since: Moment | None = Field(description="the last start, or the last stop if nothing runs")
    deadline: Moment | None = Field(description="when AWS stops the machines; null: no deadline is known")
    hourly_usd: float | None = Field(description="estimate for an hour as it is now; null: a price is unknown")
    stopped_hourly_usd: float | None = Field(description="the same with all machines stopped: disks and addresses")

    @classmethod
    def of(cls, summary: ClusterSummary) -> ClusterData:
        """Return a cluster of ``list``."""
        machines = summary.machines
        on = [machine for machine in machines if not machine.is_off]
        since = [machine.since for machine in on or machines if machine.since]
        facts = {"state": _power(machines), "machines": len(machines), "running": len(on)}
        return cls.model_validate({**vars(summary), **facts, "since": max(since, default=None)})


class ClustersResult(CommandResult):
    """The clusters of an account and region."""

    ROWS = "clusters"
    SPARE = ("SINCE", "STOPPED", "MACHINES")
    COLUMNS: ClassVar[Columns] = {
        "CLUSTER": "cluster",
        "STATE": "state",
        "MACHINES": lambda one: f"{one.running} of {one.machines} on",
        "SINCE": lambda one: f"{duration((_now() - one.since).total_seconds())} ago" if one.since else "",
        "USD/HOUR": lambda one: _usd(one.hourly_usd),
        "STOPPED": lambda one: _usd(one.stopped_hourly_usd),
        "DEADLINE": lambda one: f"{one.deadline:%Y-%m-%d %H:%M} UTC" if one.deadline else "",
    }

    region: str
    clusters: list[ClusterData]
    note: str = Field(description="where the prices come from")

    @classmethod
    def of(cls, clusters: Sequence[ClusterSummary], config: Config) -> ClustersResult:
        """Return the result of ``list``."""
        found = [ClusterData.of(one) for one in clusters]
        return cls(region=config.aws.region, clusters=found, note=price_note(config))

    def closing(self) -> str:
        if not self.clusters:
            return f"there are no clusters in {self.region}"
        free = ", ".join(one.cluster for one in self.clusters if one.running and not one.deadline)
        warning = f"warning: machines run, and no deadline is known: {free}\n" if free else ""
        return f"{warning}({self.note})"


def _usd(amount: float | None) -> str:
    return "" if amount is None else f"{amount:.3f}"


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


class StatusMachineData(MachineData):
    """A machine, and whether Spark has it."""

    spark_alive: bool | None = Field(
        description="whether Spark's master has this worker; null: not a worker, or Spark was not asked"
    )


class StatusResult(CommandResult):
    """The cluster now."""

    ROWS = "machines"
    SPARE = _SPARE
    COLUMNS: ClassVar[Columns] = {
        **_COLUMNS,
        "SPARK": lambda one: {True: "alive", False: "no", None: ""}[one.spark_alive],
    }
    OUTPUTS: ClassVar[Outputs] = {"state": _STATE, "run": ("run", "the active run; empty: none"), "deadline": _DEADLINE}

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
        return cls.model_validate({**vars(status), **power_off, "machines": machines})

    def closing(self) -> str:
        if not self.machines:
            return f"{self.cluster} has no machines: `pio-tf up` creates them"
        lines = [f"run {self.run} is active"] if self.run else []
        lines += self._power_off()
        lines += self.schedule.lines() if self.schedule else []
        if self.deadline:
            lines.append(_until(self.deadline))
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
            then = f"{', '.join(self.without_timer)} can't follow it before the deadline: run `pio-tf provision`"
        return [f"the driver powers itself off {duration(seconds)} {after}, unless a client uses it; {then}"]


def _now() -> datetime:
    return datetime.now(tz=timezone.utc)


def _notes(machine: MachineData) -> str:
    """Return whatever is unusual about a machine."""
    return (" (Spot)" if machine.spot else "") + ("" if machine.in_outputs else " (not in the state)")


def _power(machines: Sequence[MachineData | Machine]) -> str:
    """Return the state of all machines in one word."""
    states = {machine.state for machine in machines}
    return "none" if not states else states.pop() if len(states) == 1 else "mixed"


def _until(deadline: datetime) -> str:
    left = (deadline - _now()).total_seconds()
    when = f"in {duration(left)}" if left > 0 else "which has passed"
    return f"AWS stops the machines at {deadline:%Y-%m-%d %H:%M} UTC, {when}"
