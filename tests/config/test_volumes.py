"""Disks that AWS would not make, and the key that encrypts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.config_samples import load_text, mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def spark(*lines: str) -> str:
    return text_with(spark="spark {\n" + "".join(f"  {line}\n" for line in lines) + "}\n")


def machines(line: str) -> str:
    return text_with(machines=f"machines {{\n  {line}\n}}\n")


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        (["root_volume_iops = 2999"], "root_volume_iops: must be 3000 to 25000 with 50 GiB of gp3, got 2999"),
        (["root_volume_iops = 25001"], "got 25001: AWS takes 500 IOPS for each GiB"),
        (["root_volume_gib = 1000", "root_volume_iops = 80001"], "root_volume_iops: must be 3000 to 80000"),
        (["root_volume_throughput = 124"], "root_volume_throughput: must be 125 to 2000 MiB/s, got 124"),
        (["root_volume_throughput = 1000"], "1000 MiB/s needs root_volume_iops of at least 4000"),
        (['root_volume_type = "io2"'], "root_volume_iops: is required with io2"),
        (['root_volume_type = "io1"', "root_volume_iops = 2501"], "must be 100 to 2500 with 50 GiB of io1"),
        (
            ['root_volume_type = "io1"', "root_volume_iops = 200", "root_volume_throughput = 200"],
            "root_volume_throughput: is for gp3 only; that of io1 follows from its IOPS",
        ),
        (['root_volume_type = "st1"'], "spark.root_volume_type"),
        (['root_volume_iops = "fast"'], "spark.root_volume_iops"),
        (["scratch_volume {", "}"], "spark.scratch_volume.gib"),
        (["scratch_volume {", "  gib = 0", "}"], "spark.scratch_volume.gib"),
        (["scratch_volume {", "  gib = 70000", "}"], "gib: must be 1 to 65536 with gp3, got 70000"),
        (["scratch_volume {", "  gib = 100", '  type = "io2"', "}"], "iops: is required with io2"),
    ],
)
def test_a_disk_that_aws_does_not_make_is_refused(tmp_path: Path, lines: list[str], mistake: str) -> None:
    (found,) = mistakes(tmp_path, spark(*lines))
    assert found.startswith("pio-tf.hcl:")
    assert mistake in found


@pytest.mark.parametrize(
    "lines",
    [
        ["root_volume_gib = 8", "root_volume_iops = 4000", "root_volume_throughput = 1000"],
        ["root_volume_throughput = 750"],
        ['root_volume_type = "io2"', "root_volume_iops = 50000"],
        ["scratch_volume {", "  gib = 4000", "  iops = 80000", "  throughput = 2000", "}"],
    ],
)
def test_disks_at_the_limits_of_aws_are_taken(tmp_path: Path, lines: list[str]) -> None:
    load_text(tmp_path, spark(*lines))


@pytest.mark.parametrize(
    "key", ["my-key", "arn:aws:kms:eu-west-1:123:key/x", "arn:aws:s3:::bucket", f"{KEY[:-1]}", "alias/", ""]
)
def test_what_names_no_key_is_refused(tmp_path: Path, key: str) -> None:
    (found,) = mistakes(tmp_path, machines(f'kms_key_id = "{key}"'))
    assert "pio-tf.hcl:2: machines.kms_key_id" in found
    assert "must be the ARN or id of a KMS key, or an alias" in found


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f"mrk-{KEY.replace('-', '')}",
        "alias/training",
        f"arn:aws:kms:eu-west-1:123456789012:key/{KEY}",
        "arn:aws:kms:eu-west-1:123456789012:alias/training",
    ],
)
def test_a_key_may_be_named_in_each_way_of_aws(tmp_path: Path, key: str) -> None:
    assert load_text(tmp_path, machines(f'kms_key_id = "{key}"')).machines.kms_key_id == key


def test_a_key_of_another_region_is_refused_naming_both(tmp_path: Path) -> None:
    arn = f"arn:aws:kms:us-east-1:123456789012:key/{KEY}"
    (found,) = mistakes(tmp_path, machines(f'kms_key_id = "{arn}"'))
    assert f"machines.kms_key_id: must be a key in eu-west-1, the region of the aws block, got {arn}" in found


@pytest.mark.parametrize("name", ["a parameter", "/images/", "ssm:/images/x", ""])
def test_what_names_no_parameter_is_refused(tmp_path: Path, name: str) -> None:
    (found,) = mistakes(tmp_path, spark(f'ami_parameter = "{name}"'))
    assert "pio-tf.hcl:2: spark.ami_parameter" in found
    assert "must be the name of a parameter of Systems Manager" in found


def test_an_image_is_named_in_one_way(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, spark('ami = "ami-0a"', 'ami_parameter = "/images/spark"'))
    assert "give only one of ami, ami_parameter and ami_filter" in found
