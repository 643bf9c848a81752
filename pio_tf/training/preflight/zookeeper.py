"""``zookeeper``: the hosts by which HBase's client finds HBase accept connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.storage import HbaseBlock
from pio_tf.training.preflight.model import Finding, skipped
from pio_tf.training.preflight.tcp import about_hosts

if TYPE_CHECKING:
    from pio_tf.training.preflight.model import Preflight


async def check_zookeeper(preflight: Preflight) -> Finding:
    """Connect to every host of the quorum. ZooKeeper works as long as more than half of them do."""
    for source in preflight.config.sources:
        if isinstance(source.block, HbaseBlock):
            at = [(host, source.block.zookeeper_port) for host in source.block.zookeeper_quorum or source.block.hosts]
            where = preflight.config.where(source.path)
            return await about_hosts(preflight, at, needed=len(at) // 2 + 1, where=where)
    return skipped("no repository is in HBase")
