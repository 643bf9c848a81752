"""AWS's limits for EBS volumes.

Source: the pages "General Purpose SSD volumes" and "Provisioned IOPS SSD volumes" of the Amazon EBS User Guide
(docs.aws.amazon.com/ebs/latest/userguide), as of November 2026. AWS raised those of gp3 in September 2025.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

VolumeType = Literal["gp3", "io1", "io2"]
GP3_IOPS = 3000
"""AWS's default IOPS for gp3."""
_GP3_THROUGHPUT = (125, 2000)
"""MiB/s; the first is that of a gp3 volume if it is not set."""
_GP3_THROUGHPUT_PER_IOPS = 0.25


class _Limits(Struct, frozen=True):
    """The limits of a type of volume: GiB, IOPS, and the most IOPS for each GiB."""

    gib: tuple[int, int]
    iops: tuple[int, int]
    iops_per_gib: int


_LIMITS: dict[VolumeType, _Limits] = {
    "gp3": _Limits((1, 65536), (GP3_IOPS, 80000), 500),
    "io1": _Limits((4, 16384), (100, 64000), 50),
    "io2": _Limits((4, 65536), (100, 256000), 1000),
}


def check_volume(kind: VolumeType, *, gib: int, iops: int | None, throughput: int | None, names: str = "") -> None:
    """Check a volume against AWS's limits.

    Args:
        kind: its type.
        gib: its size.
        throughput: MiB/s.
        names: the beginning of the options' names, such as ``root_volume_``.

    Raises:
        ValueError: AWS would refuse the volume. The message begins with the option.
    """
    limits = _LIMITS[kind]
    if not limits.gib[0] <= gib <= limits.gib[1]:
        raise ValueError(f"{names}gib: must be {limits.gib[0]} to {limits.gib[1]} with {kind}, got {gib}")
    if iops is None and kind != "gp3":
        raise ValueError(f"{names}iops: is required with {kind}")
    most = max(GP3_IOPS if kind == "gp3" else 0, min(limits.iops[1], limits.iops_per_gib * gib))
    if iops is not None and not limits.iops[0] <= iops <= most:
        why = f": AWS takes {limits.iops_per_gib} IOPS for each GiB" if most < limits.iops[1] else ""
        raise ValueError(f"{names}iops: must be {limits.iops[0]} to {most} with {gib} GiB of {kind}, got {iops}{why}")
    if throughput is None:
        return
    if kind != "gp3":
        raise ValueError(f"{names}throughput: is for gp3 only; that of {kind} follows from its IOPS")
    least, highest = _GP3_THROUGHPUT
    if not least <= throughput <= highest:
        raise ValueError(f"{names}throughput: must be {least} to {highest} MiB/s, got {throughput}")
    needed = int(-(-throughput // _GP3_THROUGHPUT_PER_IOPS))
    if needed > (iops or GP3_IOPS):
        raise ValueError(f"{names}throughput: {throughput} MiB/s needs {names}iops of at least {needed}")
