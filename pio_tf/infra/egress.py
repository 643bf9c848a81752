"""The connections that machines need, compared with ``network.egress``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pio_tf.config.components import components
from pio_tf.config.egress import parse_egress
from pio_tf.config.storage import Elasticsearch1Source, ElasticsearchBlock, HbaseBlock, HdfsBlock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.config.schema import Config
    from pio_tf.config.storage import StorageBlock


def find_blocked(config: Config) -> tuple[str, ...]:
    """Return warnings: the connections that ``network.egress`` does not allow, and sessions without instance profile.

    A host name may have any address: only its port is compared. Machines that exist already have groups of their own.
    """
    if config.adopted:
        return ()
    warnings = []
    if config.ssh.via == "ssm" and not config.machines.has_profile:
        warnings.append(
            f'{config.where("ssh.via")}: ssh.via = "ssm" needs machines with an instance profile, unless the account '
            "has Systems Manager's Default Host Management Configuration: set machines.make_instance_profile = true"
        )
    rules = [parse_egress(one) for one in config.network.egress]
    blocked = dict.fromkeys(
        f"{host}:{port} ({what})"
        for what, host, port in _connections(config)
        if not any(rule.may_allow(host, port) for rule in rules)
    )
    if blocked:
        warnings.append(f"{config.where('network.egress')}: network.egress keeps machines from {', '.join(blocked)}")
    return tuple(warnings)


def _connections(config: Config) -> Iterator[tuple[str, str, int]]:
    """Yield the purpose, host and port of each connection, as far as pio-tf.hcl tells them."""
    region = config.aws.region
    for one in components(config):
        for url in one.urls[:1]:
            parts = urlsplit(url)
            host = f"s3.{region}.amazonaws.com" if parts.scheme == "s3" else parts.hostname or ""
            yield "software", host, parts.port or (80 if parts.scheme == "http" else 443)
    for source in config.sources:
        yield from ((source.path, host, port) for host, port in _addresses(source.block))
    if config.ssh.via == "ssm":
        yield "ssh.via", f"ssm.{region}.amazonaws.com", 443


def _addresses(block: StorageBlock) -> Iterator[tuple[str, int]]:
    if isinstance(block, ElasticsearchBlock):
        yield from ((node.host, node.port) for node in block.nodes)
    elif isinstance(block, Elasticsearch1Source):
        yield from ((host, block.port) for host in block.hosts)
    elif isinstance(block, HbaseBlock):
        yield from ((host, block.zookeeper_port) for host in block.zookeeper_quorum or block.hosts)
    elif isinstance(block, HdfsBlock):
        yield from block.addresses
