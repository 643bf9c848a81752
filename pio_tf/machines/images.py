"""Whether a machine can be made of an image: what DescribeImages says of its system, architecture and disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pio_tf.machines.instance_types import ARCHITECTURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ec2.type_defs import ImageTypeDef

SUPPORTED: Final = "Ubuntu 18.04, 20.04, 22.04 and 24.04, and Debian 11 and 12"
"""What the bootstrap script prepares."""
_FOREIGN: Final = ("Windows", "Red Hat", "SUSE")
"""How PlatformDetails begins for systems that AWS tells apart; it calls all others Linux/UNIX."""


class _Distribution(NamedTuple):
    """How the images of a distribution are named by those who make them. Others may name theirs as they like."""

    name: str
    owners: tuple[str, ...]
    """Account id, as each publishes its own, or AWS's alias for it."""
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
    """Why no machine of a cluster can be made of this image, each as a sentence about it. Nothing: it can.

    Only what AWS says is known: an image of the user's own passes whatever system it has, and the bootstrap script
    refuses one that it cannot prepare.
    """
    label = image["ImageId"]
    if system := _unsupported_system(image):
        yield f"{label} is an image of {system}, which pio-tf does not prepare; it does {SUPPORTED}"
    if (architecture := image.get("Architecture", ARCHITECTURE)) != ARCHITECTURE:
        yield f"{label} is for {architecture}, and machines must be {ARCHITECTURE}"
    if image.get("RootDeviceType", "ebs") != "ebs":
        yield f"{label} has its root disk in the instance store, not in EBS, so its machines could not be stopped"


def root_disk_gib(image: ImageTypeDef) -> int:
    """Size of the image's root snapshot, which no root disk may be smaller than; 0 where it does not say."""
    root = image.get("RootDeviceName")
    sizes = [
        mapping.get("Ebs", {}).get("VolumeSize", 0)
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("DeviceName") == root
    ]
    return max(sizes, default=0)


def _unsupported_system(image: ImageTypeDef) -> str:
    """``Windows``, ``Ubuntu 16.04``; empty where AWS and the image's name do not say, or it is a supported one."""
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
