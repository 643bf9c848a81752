"""The verdict on an image, from its entry in DescribeImages."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from pio_tf.machines.references import image_problems

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

CANONICAL, DEBIAN = "099720109477", "136693071363"


def problems(**said: str) -> list[str]:
    usual = {
        "ImageId": "ami-1",
        "Architecture": "x86_64",
        "RootDeviceType": "ebs",
        "PlatformDetails": "Linux/UNIX",
        "OwnerId": "123456789012",
        "Name": "mine",
    }
    return list(image_problems(cast("ImageTypeDef", usual | said)))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (CANONICAL, "ubuntu/images/hvm-ssd/ubuntu-bionic-18.04-amd64-server-20230531"),
        (CANONICAL, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250101"),
        (DEBIAN, "debian-11-amd64-20240101-1613"),
        (DEBIAN, "debian-12-amd64-20240101-1613"),
        ("123456789012", "windows-of-opportunity"),
        ("123456789012", "ubuntu-xenial-16.04-with-everything"),
    ],
)
def test_a_system_that_is_prepared_or_unknown_passes(owner: str, name: str) -> None:
    assert problems(OwnerId=owner, Name=name) == []


@pytest.mark.parametrize(
    ("said", "system"),
    [
        ({"Platform": "windows", "PlatformDetails": "Windows with SQL Server Web"}, "Windows"),
        ({"PlatformDetails": "Windows"}, "Windows"),
        ({"PlatformDetails": "Red Hat Enterprise Linux"}, "Red Hat Enterprise Linux"),
        ({"PlatformDetails": "SUSE Linux"}, "SUSE Linux"),
        ({"OwnerId": DEBIAN, "Name": "debian-10-amd64-20240101-1613"}, "Debian 10"),
        ({"OwnerId": CANONICAL, "Name": "ubuntu/images/hvm-ssd/ubuntu-mantic-23.10-amd64-server-1"}, "Ubuntu 23.10"),
        ({"ImageOwnerAlias": "amazon", "Name": "al2023-ami-2023.5.20240819.0-kernel-6.1-x86_64"}, "Amazon Linux 2023"),
    ],
)
def test_another_system_is_named_with_those_that_are_prepared(said: dict[str, str], system: str) -> None:
    prepared = "Ubuntu 18.04, 20.04, 22.04 and 24.04, and Debian 11 and 12"
    assert problems(**said) == [f"ami-1 is an image of {system}, which pio-tf does not support; it supports {prepared}"]


@pytest.mark.parametrize("architecture", ["i386", "arm64", "x86_64_mac"])
def test_another_architecture_is_refused(architecture: str) -> None:
    assert problems(Architecture=architecture) == [f"ami-1 is for {architecture}, but machines must be x86_64"]


def test_a_root_disk_in_the_instance_store_is_refused() -> None:
    assert problems(RootDeviceType="instance-store") == [
        "ami-1 has its root disk in the instance store, not in EBS, so its machines cannot be stopped"
    ]


def test_all_of_it_is_told_at_once() -> None:
    assert len(problems(PlatformDetails="Windows", Architecture="arm64", RootDeviceType="instance-store")) == 3
