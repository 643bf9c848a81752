"""All clusters of an account and region, by their tags: their power, their deadlines and their cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.aws.errors import aws_errors
from pio_tf.cluster.messages import short
from pio_tf.errors import AwsError
from pio_tf.events import Warned
from pio_tf.infra.cost import ADDRESS_HOURLY_USD, GIB_MONTH_USD, HOURS_PER_MONTH, hourly_prices
from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.machines.inventory import find_all_machines, tag_of
from pio_tf.machines.scheduler import Scheduler
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine

_TAGGED: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [CLUSTER_TAG]}]


@dataclass(frozen=True)
class ClusterSummary:
    """A cluster in brief. Costs are estimates in USD, and None if a price is unknown."""

    cluster: str
    machines: tuple[Machine, ...]
    deadline: datetime | None
    """When AWS stops the machines, UTC; None: there is no deadline, or AWS could not be asked."""
    hourly_usd: float | None
    """An hour as the machines are now, with their disks and addresses."""
    stopped_hourly_usd: float | None
    """An hour with all machines stopped."""


def list_clusters(context: ClusterContext) -> tuple[ClusterSummary, ...]:
    """Return every cluster in the account and region of a context, sorted by name."""
    found: defaultdict[str, list[Machine]] = defaultdict(list)
    for machine in find_all_machines(context.ec2):
        found[machine.cluster].append(machine)
    with aws_errors("reading disks and addresses"):
        disks = _disks_hourly_usd(context.ec2)
        eips = Counter(tag_of(one, CLUSTER_TAG) for one in context.ec2.describe_addresses(Filters=_TAGGED)["Addresses"])
    deadlines = _deadlines(context, set(found))
    prices = hourly_prices(context.config)

    def summary(name: str, machines: list[Machine]) -> ClusterSummary:
        on = [machine for machine in machines if not machine.is_off]
        disk = disks.get(name, 0.0)
        stopped = None if disk is None else disk + eips[name] * ADDRESS_HOURLY_USD
        now = None
        if stopped is not None and all(machine.instance_type in prices for machine in on):
            others = max(0, sum(1 for machine in on if machine.public_ip) - eips[name])
            now = stopped + sum(prices[machine.instance_type] for machine in on) + others * ADDRESS_HOURLY_USD
        return ClusterSummary(name, tuple(machines), deadlines.get(name), now, stopped)

    return tuple(summary(name, found[name]) for name in sorted(found))


def _disks_hourly_usd(ec2: EC2Client) -> dict[str, float | None]:
    """Return what an hour of the disks costs, by cluster; None: the price of one is unknown."""
    usd: defaultdict[str, float] = defaultdict(float)
    unknown: set[str] = set()
    for page in ec2.get_paginator("describe_volumes").paginate(Filters=_TAGGED):
        for volume in page["Volumes"]:
            name, price = tag_of(volume, CLUSTER_TAG), GIB_MONTH_USD.get(volume["VolumeType"])
            if price is None:
                unknown.add(name)
            else:
                usd[name] += volume["Size"] * price / HOURS_PER_MONTH
    return {**usd, **dict.fromkeys(unknown)}


def _deadlines(context: ClusterContext, names: set[str]) -> dict[str, datetime]:
    """Return the deadlines of clusters that have one."""
    client = context.aws.client("scheduler")
    found = {}
    try:
        with aws_errors("looking for deadlines", service="scheduler"):
            armed = set(Scheduler(client).names("pio-tf-"))
        for name in names:
            schedule = DeadlineSchedule(client, cluster=name)
            deadline = schedule.find() if schedule.name in armed else None
            if deadline is not None and not deadline.released:
                found[name] = deadline.at
    except AwsError as error:
        context.report(Warned(f"deadlines are unknown: {short(error)}"))
    return found
