"""The estimated cost of a cluster before and after a plan, to catch mistakes; it is not an invoice.

AWS's prices are those of us-east-1, in USD: on-demand, Linux, shared tenancy. Most other regions cost more. Source: the
price lists behind aws.amazon.com/ec2/pricing/on-demand, /ebs/pricing and /vpc/pricing, by way of public tables made
from them, compared with each other in November 2026. Taxes, discounts, traffic, and the CPU credits of t3 are not
included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.machines.price_list import PriceList

REGION = "us-east-1"
AS_OF = "2026-11"

_UP_TO_8 = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge")
_UP_TO_24 = (*_UP_TO_8, "12xlarge", "16xlarge", "24xlarge")
_FAMILIES = {
    "m5": (0.096, _UP_TO_24),
    "r3": (0.16625, _UP_TO_8),
    "r4": (0.133, (*_UP_TO_8, "16xlarge")),
    "r5": (0.126, _UP_TO_24),
    "r5d": (0.144, _UP_TO_8),
    "r6i": (0.126, (*_UP_TO_24, "32xlarge")),
    "r7i": (0.1323, (*_UP_TO_24, "48xlarge")),
    "t3": (0.0832, ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge")),
}
"""The price of each family's ``large``, and the sizes. A price grows in proportion to the size."""

GIB_MONTH_USD = {"gp2": 0.10, "gp3": 0.08, "io1": 0.125, "io2": 0.125, "sc1": 0.015, "st1": 0.045}
"""Prices by volume type, running or not. AWS charges magnetic disks by their use, too."""
_IOPS_MONTH_USD = {
    "gp3": ((3000, 0.0), (None, 0.005)),
    "io1": ((None, 0.065),),
    "io2": ((32000, 0.065), (64000, 0.0455), (None, 0.03185)),
}
"""Prices of one IOPS, each up to a number of them."""
_THROUGHPUT_MONTH_USD = ((125, 0.0), (None, 0.04))
"""Prices of a MiB/s of gp3, likewise."""
ADDRESS_HOURLY_USD = 0.005
"""A public IPv4 address, since February 2024: an Elastic IP always, any other while its machine runs."""
ALARM_MONTH_USD = 0.10
"""A CloudWatch alarm on one metric, whether its machine runs or not. An account's first ten are free, but pio-tf does
not know which those are."""
HOURS_PER_MONTH = 730
"""The number that AWS's own estimates use."""
_Values = dict[str, Any]


def _larges(size: str) -> float:
    """Return how many ``large`` an instance size is worth."""
    small = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}
    return small[size] if size in small else 2.0 * int(size.removesuffix("xlarge"))


HOURLY_USD = {
    f"{family}.{size}": round(large * _larges(size), 4)
    for family, (large, sizes) in _FAMILIES.items()
    for size in sizes
} | {"r3.large": 0.166, "r3.xlarge": 0.333}  # AWS rounds these two to three places
"""The price by instance type."""


class Cost(Struct, frozen=True):
    """The cost of one state of a cluster, in USD without taxes. None where a price is unknown."""

    running_hourly_usd: float | None
    """The price that an hour of running adds: the machines, and the public addresses they have while they run."""
    stopped_monthly_usd: float | None
    """A month with all machines stopped: disks, Elastic IPs, alarms. AWS bills this while machines run, too."""
    unknown: tuple[str, ...]
    """Items without a price: ``instance type x9.large``."""

    def monthly_usd(self, training_hours: float) -> float | None:
        """Return the cost of a month in which the machines run for this many hours."""
        if self.running_hourly_usd is None or self.stopped_monthly_usd is None:
            return None
        return self.stopped_monthly_usd + training_hours * self.running_hourly_usd


class _Disk(Struct, frozen=True):
    """A disk: its volume type, size (0: unknown), IOPS and throughput (MiB/s; 0: what is in its price)."""

    kind: str
    gib: int
    iops: int
    throughput: int

    @classmethod
    def of(cls, values: _Values, *, kind: object, gib: Any) -> _Disk:  # noqa: ANN401 - JSON
        """Return the disk of these values of a plan, where volumes and machines name type and size differently."""
        throughput = values.get("throughput") if kind == "gp3" else 0
        return cls(str(kind or "unknown"), int(gib or 0), int(values.get("iops") or 0), int(throughput or 0))

    @property
    def monthly_usd(self) -> float:
        """Return the price of a month."""
        iops = _in_steps(self.iops, _IOPS_MONTH_USD.get(self.kind, ()))
        return GIB_MONTH_USD[self.kind] * self.gib + iops + _in_steps(self.throughput, _THROUGHPUT_MONTH_USD)


def _in_steps(number: int, steps: tuple[tuple[int | None, float], ...]) -> float:
    """Return the price of a number of units. Each step has a price up to an end."""
    price, start = 0.0, 0
    for end, each in steps:
        price += max(0, (number if end is None else min(number, end)) - start) * each
        start = end or start
    return price


def plan_cost(config: Config, plan_json: Mapping[str, Any]) -> tuple[Cost, Cost]:
    """Return the cost before and after a plan.

    Args:
        config: its ``guard.hourly_prices`` override pio-tf's prices.
        plan_json: ``terraform show -json`` of the plan file.
    """
    return _cost(config, plan_json, "before"), _cost(config, plan_json, "after")


class Prices(Struct, frozen=True):
    """Prices in USD."""

    hourly: Mapping[str, float]
    """Of an instance type."""
    gib_month: Mapping[str, float]
    """Of a volume type."""
    note: str
    """Where they come from."""

    @classmethod
    def of(cls, config: Config, found: PriceList | None = None) -> Prices:
        """Return a cluster's prices, from ``guard.hourly_prices``, AWS's price list, and pio-tf's table."""
        hourly, gib_month, note = HOURLY_USD, GIB_MONTH_USD, price_note(config)
        if found is not None:
            hourly = hourly | {name: usd for name, usd in found.hourly.items() if usd is not None}
            gib_month = gib_month | {name: usd for name, usd in found.gib_month.items() if usd is not None}
            note = f"on-demand prices of {found.region}, from AWS's price list of {found.read_on}"
            note += "; guard.hourly_prices overrides them" if config.guard.hourly_prices else ""
        return cls({**hourly, **config.guard.hourly_prices}, gib_month, note)

    def running_usd(self, instance_types: Iterable[str], seconds: float) -> float | None:
        """Return what machines cost in this time, without their disks and addresses. None: a price is unknown."""
        types = list(instance_types)
        known = self.hourly.keys() >= set(types)
        return sum(self.hourly[one] for one in types) * seconds / 3600 if known else None


def running_usd(config: Config, instance_types: Iterable[str], seconds: float) -> float | None:
    """Return :meth:`Prices.running_usd` of the prices that need no question to AWS."""
    return Prices.of(config).running_usd(instance_types, seconds)


def price_note(config: Config) -> str:
    """Return the note that belongs to every figure."""
    differ = "" if config.aws.region == REGION else f", which differ from those of {config.aws.region}"
    return f"estimate with on-demand prices of {REGION}{differ} ({AS_OF}); guard.hourly_prices overrides them"


def _cost(config: Config, plan_json: Mapping[str, Any], side: Literal["before", "after"]) -> Cost:
    prices = Prices.of(config).hourly
    machines = list(_values(plan_json, "aws_instance", side))
    eips = sum(1 for _ in _values(plan_json, "aws_eip", side))
    kinds = [str(machine.get("instance_type") or "unknown") for machine in machines]
    disks = list(_disks(machines, list(_values(plan_json, "aws_ebs_volume", side))))
    unpriced_machines = {f"instance type {kind}" for kind in kinds if kind not in prices}
    unpriced_disks = {
        f"{one.kind} disk of {_size(one.gib)}" for one in disks if one.kind not in GIB_MONTH_USD or not one.gib
    }
    running = stopped = None
    if not unpriced_machines:
        gives = any(subnet.get("map_public_ip_on_launch") for subnet in _values(plan_json, "aws_subnet", side))
        meanwhile = max(0, len(machines) - eips) if gives else 0  # an Elastic IP replaces the other address
        running = sum(prices[kind] for kind in kinds) + meanwhile * ADDRESS_HOURLY_USD
    if not unpriced_disks:
        stopped = sum(one.monthly_usd for one in disks) + eips * ADDRESS_HOURLY_USD * HOURS_PER_MONTH
        stopped += ALARM_MONTH_USD * sum(1 for _ in _values(plan_json, "aws_cloudwatch_metric_alarm", side))
    return Cost(running, stopped, tuple(sorted(unpriced_machines | unpriced_disks)))


def _values(plan_json: Mapping[str, Any], kind: str, side: str) -> Iterator[_Values]:
    for change in plan_json.get("resource_changes") or ():
        values = change["change"].get(side)
        if change["type"] == kind and change.get("mode") == "managed" and values is not None:
            yield values


def _disks(machines: list[_Values], volumes: list[_Values]) -> Iterator[_Disk]:
    """Yield each disk. A machine also lists the volumes that are attached to it."""
    apart = {volume.get("id") for volume in volumes} - {None}
    for machine in machines:
        for disk in (*(machine.get("root_block_device") or [{}]), *(machine.get("ebs_block_device") or ())):
            if disk.get("volume_id") not in apart:
                yield _Disk.of(disk, kind=disk.get("volume_type"), gib=disk.get("volume_size"))
    for volume in volumes:
        yield _Disk.of(volume, kind=volume.get("type"), gib=volume.get("size"))


def _size(gib: int) -> str:
    return f"{gib} GiB" if gib else "unknown size"
