"""The driver as an SSH server on loopback, and connections to it."""

from __future__ import annotations

from tests.support.ssh_cluster import cluster, no_ssh_config

__all__ = ["cluster", "no_ssh_config"]
