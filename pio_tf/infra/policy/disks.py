"""PTF008: every disk is encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.infra.policy.found import Found
from pio_tf.infra.policy.planned import planned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config

_BLOCKS = ("root_block_device", "ebs_block_device")


def check_disks(_config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """Disks that are not encrypted, and those of which the plan does not say that they are."""
    for volume in planned(plan_json, "aws_ebs_volume"):
        if volume.values.get("encrypted") is not True:
            yield Found("PTF008", volume.address, f"{volume.label} is not encrypted", "spark")
    for machine in planned(plan_json, "aws_instance"):
        place = "driver" if machine.machine == "driver" else "spark"
        if not machine.values.get("root_block_device"):
            message = f"{machine.label}: nothing says that its root disk is encrypted"
            yield Found("PTF008", machine.address, message, place)
        for name in _BLOCKS:
            for disk in machine.values.get(name) or ():
                if disk.get("encrypted") is not True:
                    which = disk.get("device_name") or name
                    yield Found("PTF008", machine.address, f"{machine.label}: {which} is not encrypted", place)
