"""PTF001 to PTF005: nothing that must survive is removed or replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.infra.guard import Removal, find_removals
from pio_tf.infra.policy.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config

_RULES = {
    "aws_instance": "PTF001",
    "aws_ebs_volume": "PTF002",
    "aws_volume_attachment": "PTF002",
    "aws_eip": "PTF003",
    "aws_eip_association": "PTF003",
    "aws_s3_bucket": "PTF005",
    "aws_s3_bucket_versioning": "PTF005",
}
_PLACES = {
    "aws_eip": "network.driver_eip",
    "aws_eip_association": "network.driver_eip",
    "aws_vpc": "network.cidr",
    "aws_subnet": "network.cidr",
    "aws_s3_bucket": "terraform.backend",
    "aws_s3_bucket_versioning": "terraform.backend",
}


def check_removals(_config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """What must survive, and would not."""
    for removal in find_removals(plan_json):
        yield Found(rule_of(removal), removal.address, str(removal), _place(removal), removal)


def rule_of(removal: Removal) -> str:
    """The id of the rule that it breaks: the network's for all that is no machine, disk, address or bucket."""
    return _RULES.get(removal.type, "PTF004")


def _place(removal: Removal) -> str:
    if removal.type != "aws_instance":
        return _PLACES.get(removal.type, "network")
    if "private_ip" in removal.arguments:
        return "network.first_host"
    if removal.name.startswith("worker-") and not removal.replaced:
        return "spark.workers"
    return "driver" if removal.name == "driver" else "spark"
