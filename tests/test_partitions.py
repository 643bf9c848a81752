"""The partition of a region, as botocore knows it."""

from __future__ import annotations

import pytest
from botocore.session import Session

from pio_tf.aws.identity import partition_of

BOTOCORE = Session()
REGIONS = [
    (region, partition)
    for partition in BOTOCORE.get_available_partitions()
    for region in BOTOCORE.get_available_regions("ec2", partition_name=partition)
]


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_every_region_has_its_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition
