"""A small cluster of SSH servers on loopback, all on one port as real machines have it, and a connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from pio_tf.remote.ssh import ClusterConnection
from tests.support.aws_cli import aws
from tests.support.ssh_cluster import QUICK, TestCluster, cluster, no_ssh_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["aws", "cluster", "no_ssh_config"]


@pytest_asyncio.fixture
async def remote(cluster: TestCluster) -> AsyncIterator[ClusterConnection]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield remote
