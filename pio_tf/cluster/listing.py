"""All clusters of an account and region, by their tags: their power, their deadlines and their cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.aws.errors import aws_errors
from pio_tf.cluster.messages import short
from pio_tf.errors import AwsError
from pio_tf.events import Warned
from pio_tf.infra.cost import ADDRESS_HOURLY_USD, HOURS_PER_MONTH, Prices
from pio_tf.machines.deadline_schedule import DeadlineSchedule
from pio_tf.machines.inventory import find_all_machines, tag_of
from pio_tf.machines.scheduler import Scheduler
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine

_TAGGED: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [CLUSTER_TAG]}]


class Rates(Struct, frozen=True):
    """What an hour of a cluster costs, in USD with its disks and addresses. None: a price is unknown."""

    now: float | None
    """As the machines are."""
    stopped: float | None
    """All machines stopped."""
    running: float | None
    """All machines running, without public addresses that they do not have now."""


class ClusterSummary(Struct, frozen=True):
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
    belongings = Belongings.read(context.ec2)
    for name in found.keys() - belongings.gib.keys():  # its machines exist already: Terraform tags only them
        belongings |= Belongings.of_instances(context.ec2, name, [one.instance_id for one in found[name]])
    rates = belongings.rates(found, Prices.of(context.config))
    deadlines = _deadlines(context, set(found))
    return tuple(
        ClusterSummary(name, tuple(found[name]), deadlines.get(name), rates[name].now, rates[name].stopped)
        for name in sorted(found)
    )


class Belongings(Struct, frozen=True):
    """The disks and Elastic IPs of all clusters in a region, by cluster."""

    gib: Mapping[str, Mapping[str, int]]
    """By volume type."""
    eips: Mapping[str, int]

    @classmethod
    def read(cls, ec2: EC2Client) -> Belongings:
        """Ask EC2 for them."""
        gib: defaultdict[str, Counter[str]] = defaultdict(Counter)
        with aws_errors("reading disks and addresses"):
            for page in ec2.get_paginator("describe_volumes").paginate(Filters=_TAGGED):
                for volume in page["Volumes"]:
                    gib[tag_of(volume, CLUSTER_TAG)][volume["VolumeType"]] += volume["Size"]
            eips = Counter(tag_of(one, CLUSTER_TAG) for one in ec2.describe_addresses(Filters=_TAGGED)["Addresses"])
        return cls(gib, eips)

    @classmethod
    def of_instances(cls, ec2: EC2Client, cluster: str, ids: Sequence[str]) -> Belongings:
        """Ask EC2 for the disks and addresses of these instances, which do not carry the cluster's tag."""
        gib: Counter[str] = Counter()
        with aws_errors("reading disks and addresses"):
            attached: FilterTypeDef = {"Name": "attachment.instance-id", "Values": ids}
            for page in ec2.get_paginator("describe_volumes").paginate(Filters=[attached]):
                for volume in page["Volumes"]:
                    gib[volume["VolumeType"]] += volume["Size"]
            eips = len(ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": ids}])["Addresses"])
        return cls({cluster: gib}, {cluster: eips})

    def __or__(self, other: Belongings) -> Belongings:
        """Return these and those of other clusters."""
        return Belongings({**self.gib, **other.gib}, {**self.eips, **other.eips})

    def rates(self, clusters: Mapping[str, Sequence[Machine]], prices: Prices) -> dict[str, Rates]:
        """Return what an hour of each cluster costs."""
        return {name: self._rates(name, machines, prices) for name, machines in clusters.items()}

    def _rates(self, name: str, machines: Sequence[Machine], prices: Prices) -> Rates:
        gib, eips = self.gib.get(name, {}), self.eips.get(name, 0)
        if not prices.gib_month.keys() >= gib.keys():
            return Rates(None, None, None)
        disks = sum(prices.gib_month[kind] * size for kind, size in gib.items()) / HOURS_PER_MONTH
        stopped = disks + eips * ADDRESS_HOURLY_USD
        on = [machine for machine in machines if not machine.is_off]
        others = max(0, sum(1 for machine in on if machine.public_ip) - eips) * ADDRESS_HOURLY_USD

        def added(some: Sequence[Machine]) -> float | None:
            usd = prices.running_usd((machine.instance_type for machine in some), 3600)
            return None if usd is None else stopped + usd + others

        return Rates(added(on), stopped, added([machine for machine in machines if not machine.is_terminated]))


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
