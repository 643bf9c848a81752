"""The estimated cost of a cluster before and after a plan, to catch mistakes; it is not an invoice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pio_tf.infra.prices import (
    ADDRESS_HOURLY_USD,
    ALARM_MONTH_USD,
    AS_OF,
    GIB_MONTH_USD,
    HOURLY_USD,
    HOURS_PER_MONTH,
    REGION,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config

_Values = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """The cost of one state of a cluster, in USD without taxes. None where a price is unknown."""

    running_hourly_usd: float | None
    """What an hour with all machines running adds: the machines, and the public addresses they have while they run."""
    stopped_monthly_usd: float | None
    """A month with all machines stopped: disks, Elastic IPs, alarms. AWS bills this while machines run, too."""
    unknown: tuple[str, ...]
    """Items without a price: ``instance type x9.large``."""

    def monthly_usd(self, training_hours: float) -> float | None:
        """Return the cost of a month in which the machines run for this many hours."""
        if self.running_hourly_usd is None or self.stopped_monthly_usd is None:
            return None
        return self.stopped_monthly_usd + training_hours * self.running_hourly_usd


def plan_cost(config: Config, plan_json: Mapping[str, Any]) -> tuple[Cost, Cost]:
    """Return the cost before and after a plan.

    Args:
        config: its ``guard.hourly_prices`` override pio-tf's prices.
        plan_json: ``terraform show -json`` of the plan file.
    """
    return _cost(config, plan_json, "before"), _cost(config, plan_json, "after")


def price_note(config: Config) -> str:
    """Return the note that belongs to every figure."""
    differ = "" if config.aws.region == REGION else f", which differ from those of {config.aws.region}"
    return f"estimate with on-demand prices of {REGION}{differ} ({AS_OF}); guard.hourly_prices overrides them"


def _cost(config: Config, plan_json: Mapping[str, Any], side: Literal["before", "after"]) -> Cost:
    prices = HOURLY_USD | config.guard.hourly_prices
    machines = list(_values(plan_json, "aws_instance", side))
    eips = sum(1 for _ in _values(plan_json, "aws_eip", side))
    kinds = [str(machine.get("instance_type") or "unknown") for machine in machines]
    disks = list(_disks(machines, list(_values(plan_json, "aws_ebs_volume", side))))
    unpriced_machines = {f"instance type {kind}" for kind in kinds if kind not in prices}
    unpriced_disks = {f"{kind} disk of {_size(size)}" for kind, size in disks if kind not in GIB_MONTH_USD or not size}
    running = stopped = None
    if not unpriced_machines:
        gives = any(subnet.get("map_public_ip_on_launch") for subnet in _values(plan_json, "aws_subnet", side))
        meanwhile = max(0, len(machines) - eips) if gives else 0  # an Elastic IP takes the place of the other address
        running = sum(prices[kind] for kind in kinds) + meanwhile * ADDRESS_HOURLY_USD
    if not unpriced_disks:
        stopped = sum(GIB_MONTH_USD[kind] * size for kind, size in disks) + eips * ADDRESS_HOURLY_USD * HOURS_PER_MONTH
        stopped += ALARM_MONTH_USD * sum(1 for _ in _values(plan_json, "aws_cloudwatch_metric_alarm", side))
    return Cost(running, stopped, tuple(sorted(unpriced_machines | unpriced_disks)))


def _values(plan_json: Mapping[str, Any], kind: str, side: str) -> Iterator[_Values]:
    for change in plan_json.get("resource_changes") or ():
        values = change["change"].get(side)
        if change["type"] == kind and change.get("mode") == "managed" and values is not None:
            yield values


def _disks(machines: list[_Values], volumes: list[_Values]) -> Iterator[tuple[str, int]]:
    """Yield type and GiB of each disk; 0 GiB: unknown. A machine also lists the volumes that are attached to it."""
    apart = {volume.get("id") for volume in volumes} - {None}
    for machine in machines:
        for disk in (*(machine.get("root_block_device") or [{}]), *(machine.get("ebs_block_device") or ())):
            if disk.get("volume_id") not in apart:
                yield str(disk.get("volume_type") or "unknown"), int(disk.get("volume_size") or 0)
    for volume in volumes:
        yield str(volume.get("type") or "unknown"), int(volume.get("size") or 0)


def _size(gib: int) -> str:
    return f"{gib} GiB" if gib else "unknown size"
