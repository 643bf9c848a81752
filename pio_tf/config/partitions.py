"""The partitions of AWS: the second part of every ARN, by region."""

from __future__ import annotations

_PARTITIONS = {
    "cn": "aws-cn",
    "us-gov": "aws-us-gov",
    "us-iso": "aws-iso",
    "us-isob": "aws-iso-b",
    "eu-isoe": "aws-iso-e",
    "us-isof": "aws-iso-f",
    "eusc-de": "aws-eusc",
}
"""By the beginning of a region's name, all partitions but ``aws``."""


def partition_of(region: str) -> str:
    """Return ``aws``, or the partition of China, GovCloud or another: the second part of every ARN there."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(f"{start}-")), "aws")
