"""The partition of a region, as botocore knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.session import Session

from pio_tf.config.partitions import partition_of
from pio_tf.config.template import render_template
from tests.support.config_samples import mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path

BOTOCORE = Session()
REGIONS = [
    (region, partition)
    for partition in BOTOCORE.get_available_partitions()
    for region in BOTOCORE.get_available_regions("ec2", partition_name=partition)
]


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_every_region_has_its_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition


def test_a_new_configuration_has_examples_of_its_region() -> None:
    text = render_template(cluster="x", region="cn-north-1")
    assert "arn:aws-cn:iam::" in text
    assert "arn:aws:" not in text
    assert "arn:aws:iam::" in render_template(cluster="x", region="eu-west-1")


ROLE = "iam::123456789012:role/x"


@pytest.mark.parametrize(
    ("blocks", "mistake"),
    [
        (
            {"aws": f'aws {{\n  region = "cn-north-1"\n  assume_role {{\n    role_arn = "arn:aws:{ROLE}"\n  }}\n}}\n'},
            "4: aws.assume_role.role_arn: must begin with arn:aws-cn: as all ARNs of cn-north-1 do",
        ),
        (
            {"failsafe": f'failsafe {{\n  role_arn = "arn:aws-us-gov:{ROLE}"\n}}\n'},
            "2: failsafe.role_arn: must begin with arn:aws: as all ARNs of eu-west-1 do",
        ),
    ],
)
def test_an_arn_of_another_partition_is_refused(tmp_path: Path, blocks: dict[str, str], mistake: str) -> None:
    (found,) = mistakes(tmp_path, text_with(**blocks))
    assert found.startswith(f"pio-tf.hcl:{mistake}")
