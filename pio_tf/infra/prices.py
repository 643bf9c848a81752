"""AWS's prices in us-east-1, in USD: on-demand, Linux, shared tenancy. Most other regions cost more.

Source: the price lists behind aws.amazon.com/ec2/pricing/on-demand, /ebs/pricing and /vpc/pricing, by way of public
tables made from them, compared with each other in November 2026. Taxes, discounts, traffic, extra IOPS and throughput,
and the CPU credits of t3 are not included.
"""

from __future__ import annotations

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


def _larges(size: str) -> float:
    """Return how many ``large`` an instance size is worth."""
    small = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}
    return small[size] if size in small else 2.0 * int(size.removesuffix("xlarge"))


HOURLY_USD = {
    f"{family}.{size}": round(large * _larges(size), 4)
    for family, (large, sizes) in _FAMILIES.items()
    for size in sizes
} | {"r3.large": 0.166, "r3.xlarge": 0.333}  # AWS rounds these two to three places
"""By instance type."""

GIB_MONTH_USD = {"gp2": 0.10, "gp3": 0.08, "sc1": 0.015, "st1": 0.045}
"""By volume type, whether the machine runs or not. AWS charges io1, io2 and magnetic disks by more than their size."""

ADDRESS_HOURLY_USD = 0.005
"""A public IPv4 address, since February 2024: an Elastic IP always, any other while its machine runs."""

ALARM_MONTH_USD = 0.10
"""A CloudWatch alarm on one metric, whether its machine runs or not. An account's first ten are free, but pio-tf does
not know which those are."""

HOURS_PER_MONTH = 730
"""The number that AWS's own estimates use."""
