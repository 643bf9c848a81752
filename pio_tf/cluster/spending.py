"""What a cluster costs in a month: asleep, training, and beside it what the same machines would cost left on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.cluster.listing import Belongings
from pio_tf.cluster.messages import short
from pio_tf.config.partitions import partition_of
from pio_tf.errors import AwsError
from pio_tf.events import Warned, silent
from pio_tf.fact_cache import FactCache
from pio_tf.infra.cost import Prices
from pio_tf.machines.price_list import API_REGION, KeptPrices, PriceList, read_price_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine
    from pio_tf.training.runs.record import RunRecord

PATIENCE = 10.0
"""Seconds that AWS's price list has for an answer: without it, pio-tf's own prices are used."""


class Month(Struct, frozen=True):
    """A month, in UTC, or what has passed of it."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: datetime, now: datetime) -> Month:
        """Return the month that begins then, up to now."""
        following = (start + timedelta(days=31)).replace(day=1)
        return cls(start, max(start, min(following, now)))

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds() / 3600

    def has(self, run: RunRecord) -> bool:
        """Return whether a run began in it."""
        return run.started is not None and self.start <= datetime.fromtimestamp(run.started, timezone.utc) < self.end


class Spending(Struct, frozen=True):
    """An estimate of what a cluster costs in a month, in USD. None: a price is unknown."""

    month: Month
    trainings: int
    """Those that began in it, however they ended."""
    training_hours: float
    training_usd: float | None
    """The machines, while the trainings ran. A start and a stop before and after them are not in it."""
    stopped_hourly_usd: float | None
    """An hour of its disks and Elastic IPs, which AWS bills while machines run, too."""
    running_hourly_usd: float | None
    """An hour with all machines on, disks and addresses included."""
    note: str
    """Where the prices come from."""

    @property
    def stopped_usd(self) -> float | None:
        """Disks and Elastic IPs, all the time."""
        return None if self.stopped_hourly_usd is None else self.stopped_hourly_usd * self.month.hours

    @property
    def total_usd(self) -> float | None:
        """Disks, Elastic IPs and trainings."""
        if self.stopped_usd is None or self.training_usd is None:
            return None
        return self.stopped_usd + self.training_usd

    @property
    def left_on_usd(self) -> float | None:
        """The same machines, on all the time."""
        return None if self.running_hourly_usd is None else self.running_hourly_usd * self.month.hours


def run_usd(run: RunRecord, prices: Prices) -> float | None:
    """Return what the machines of a run cost while it ran; None: it has not ended, or a price is unknown."""
    return None if run.seconds is None else prices.running_usd(run.instance_types, run.seconds)


def kept_prices(context: ClusterContext) -> Prices:
    """Return the prices that are known without a question to AWS."""
    return Prices.of(context.config, _kept(context).read(context.now().date()))


def look_up_prices(context: ClusterContext, instance_types: Iterable[str], volume_types: Iterable[str]) -> Prices:
    """Return prices with those of these types from AWS's price list. It is asked for each type once in 30 days.

    A price list that can't be had is a warning, and pio-tf's own table takes its place.
    """
    found = _look_up(context, instance_types, volume_types)
    return Prices.of(context.config, found if found.knows_any else None)


def comparable_prices(context: ClusterContext, instance_types: Iterable[str]) -> Prices:
    """Return prices of these types from one source: AWS's price list, or else pio-tf's own table, without a warning."""
    types = set(instance_types)
    found = _look_up(replace(context, report=silent), types, ())
    complete = all(found.hourly.get(kind) is not None for kind in types)
    return Prices.of(context.config, found if complete else None)


def _look_up(context: ClusterContext, instance_types: Iterable[str], volume_types: Iterable[str]) -> PriceList:
    region, today = context.config.aws.region, context.now().date()
    kept = _kept(context)
    found = kept.read(today) or PriceList(region, today)
    instance_types, volume_types = found.lacks(instance_types, volume_types)
    if (instance_types or volume_types) and partition_of(region) == "aws":
        try:
            pricing = context.aws.quick_client("pricing", patience=PATIENCE, region=API_REGION)
            more = read_price_list(pricing, region, today, instance_types=instance_types, volume_types=volume_types)
            found = found.with_(more)
            kept.write(found)
        except AwsError as error:
            context.report(Warned(f"AWS's price list can't be had: {short(error)}; pio-tf's own prices are used"))
    return found


def _kept(context: ClusterContext) -> KeptPrices:
    return KeptPrices(FactCache.of_environment(context.environ), context.config.aws.region)


def measure(
    context: ClusterContext, machines: Sequence[Machine], runs: Iterable[RunRecord], *, start: datetime
) -> Spending:
    """Return what a cluster costs in the month that begins then.

    Args:
        runs: the cluster's, of any month.
    """
    month = Month.of(start, context.now())
    ended = [run for run in runs if month.has(run) and run.seconds is not None]
    name, ids = context.config.cluster.name, [*context.config.machines.ids.values()]
    ec2 = context.ec2
    belongings = Belongings.of_instances(ec2, name, ids) if ids else Belongings.read(ec2)
    types = {machine.instance_type for machine in machines} | {kind for run in ended for kind in run.instance_types}
    prices = look_up_prices(context, types, belongings.gib.get(name, {}))
    rates = belongings.rates({name: machines}, prices)[name]
    costs = [run_usd(run, prices) for run in ended]
    return Spending(
        month,
        trainings=len(ended),
        training_hours=sum(run.seconds or 0.0 for run in ended) / 3600,
        training_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        stopped_hourly_usd=rates.stopped,
        running_hourly_usd=rates.running,
        note=prices.note,
    )
