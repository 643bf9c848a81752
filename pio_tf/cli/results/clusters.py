"""The clusters of an account: ``list``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Moment, ResultData
from pio_tf.cli.results.machines import common_state, now
from pio_tf.durations import duration
from pio_tf.infra.cost import price_note

if TYPE_CHECKING:
    from pio_tf.cluster.listing import ClusterSummary
    from pio_tf.config.schema import Config


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
        facts = {"state": common_state(machines), "machines": len(machines), "running": len(on)}
        return cls.model_validate({**asdict(summary), **facts, "since": max(since, default=None)})


class ClustersResult(CommandResult):
    """The clusters of an account and region."""

    ROWS = "clusters"
    SPARE = ("SINCE", "STOPPED", "MACHINES")
    COLUMNS: ClassVar[Columns] = {
        "CLUSTER": "cluster",
        "STATE": "state",
        "MACHINES": lambda one: f"{one.running} of {one.machines} on",
        "SINCE": lambda one: f"{duration((now() - one.since).total_seconds())} ago" if one.since else "",
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
