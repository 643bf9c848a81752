"""A small cluster of SSH servers on loopback, all on one port as real machines have it."""

from __future__ import annotations

from tests.support.aws_cli import aws
from tests.support.ssh_cluster import cluster, no_ssh_config

__all__ = ["aws", "cluster", "no_ssh_config"]
