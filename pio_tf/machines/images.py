"""Images that pio-tf can create machines from: their system, architecture and disk, from DescribeImages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pio_tf.machines.instance_types import ARCHITECTURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ec2.type_defs import ImageTypeDef

SUPPORTED: Final = "Ubuntu 18.04, 20.04, 22.04 and 24.04, and Debian 11 and 12"
"""The systems that the bootstrap script prepares."""
_FOREIGN: Final = ("Windows", "Red Hat", "SUSE")
"""The start of PlatformDetails for systems that AWS distinguishes; it calls all others Linux/UNIX."""


class _Distribution(NamedTuple):
    """A distribution, as its publisher names images. Other owners may use any name."""

    name: str
    owners: tuple[str, ...]
    """The publisher's account id, or AWS's alias for it."""
    version: re.Pattern[str]
    supported: frozenset[str]


_DISTRIBUTIONS: Final = (
    _Distribution(
        "Ubuntu",
        ("099720109477",),
        re.compile(r"/ubuntu-[a-z]+-(\d\d\.\d\d)-"),
        frozenset({"18.04", "20.04", "22.04", "24.04"}),
    ),
    _Distribution("Debian", ("136693071363",), re.compile(r"^debian-(\d+)-"), frozenset({"11", "12"})),
    _Distribution("Amazon Linux", ("137112412989", "amazon"), re.compile(r"^(?:amzn|al)(\d*)-"), frozenset()),
)


def image_problems(image: ImageTypeDef) -> Iterator[str]:
    """Yield the reasons why pio-tf cannot create machines from this image, one sentence each.

    pio-tf knows only what AWS says: a user's own image passes with any system, and the bootstrap script refuses one
    that it cannot prepare.
    """
    label = image["ImageId"]
    if system := _unsupported_system(image):
        yield f"{label} is an image of {system}, which pio-tf does not support; it supports {SUPPORTED}"
    if (architecture := image.get("Architecture", ARCHITECTURE)) != ARCHITECTURE:
        yield f"{label} is for {architecture}, but machines must be {ARCHITECTURE}"
    if image.get("RootDeviceType", "ebs") != "ebs":
        yield f"{label} has its root disk in the instance store, not in EBS, so its machines cannot be stopped"


def root_disk_gib(image: ImageTypeDef) -> int:
    """Return the size of the image's root snapshot, the smallest root disk; 0 if the image does not state it."""
    root = image.get("RootDeviceName")
    sizes = [
        mapping.get("Ebs", {}).get("VolumeSize", 0)
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("DeviceName") == root
    ]
    return max(sizes, default=0)


def _unsupported_system(image: ImageTypeDef) -> str:
    """Return ``Windows``, ``Ubuntu 16.04``; empty if the system is supported, or AWS and the name do not state it."""
    details = image.get("PlatformDetails", "")
    if str(image.get("Platform", "")).lower() == "windows":
        return "Windows"
    if details.startswith(_FOREIGN):
        return details
    for distribution in _DISTRIBUTIONS:
        if {image.get("OwnerId"), image.get("ImageOwnerAlias")}.intersection(distribution.owners):
            version = distribution.version.search(image.get("Name", ""))
            if version and version[1] not in distribution.supported:
                return f"{distribution.name} {version[1]}".rstrip()
    return ""
