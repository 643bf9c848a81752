"""``elasticsearch``, ``zookeeper`` and ``jdbc``: services that the driver must reach.

A TCP connection is a channel of the driver's SSH connection: the driver needs no program for it.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pio_tf.config.software import COMPATIBILITY
from pio_tf.config.storage import Elasticsearch1Source, ElasticsearchBlock, HbaseBlock, JdbcSource
from pio_tf.errors import ConfigError, RemoteError
from pio_tf.pio.engine import read_engine
from pio_tf.remote.ssh_errors import reason
from pio_tf.ssh_library import asyncssh
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.elasticsearch_room import CLUSTER_SETTINGS, DISKS
from pio_tf.training.preflight.context import NoAnswer, combine, failed, ok, unused, warning
from pio_tf.training.preflight.elasticsearch_writes import (
    BLOCKS,
    HAS_METADATA_BLOCK,
    METADATA_BLOCKED,
    judge_writes,
)
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from pio_tf.config.repositories import Source
    from pio_tf.config.storage import ElasticsearchNode
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.preflight.context import CheckContext, CheckResult

_DEFAULT_NAME = "elasticsearch"
_HEALTH = "/_cluster/health?timeout=3s&master_timeout=3s"
"""Without the timeouts, a cluster without a master keeps its client waiting for half a minute."""
_FIND_INDEX = "find the index with GET /_cat/indices?health=red, and the reason with GET /_cluster/allocation/explain"
ZOOKEEPER_QUESTION = b"srvr"
"""The four-letter word that ZooKeeper 3.5 and later allow without configuration. They answer others with a refusal."""
_NOT_SERVING = b"not currently serving requests"
_JDBC_SERVERS = re.compile(r"jdbc:[^/]*//([^/?]*)")
_JDBC_PORTS = {"postgresql": 5432, "mysql": 3306}


async def check_hosts(
    context: CheckContext, addresses: Sequence[tuple[str, int]], *, needed: int, where: str, question: bytes = b""
) -> CheckResult:
    """Check that a service's hosts accept connections and, if they are asked a question, answer it.

    The kernel accepts connections for a process that hangs: only an answer shows that it runs.

    Args:
        addresses: host and port of each.
        needed: how many must be fine; if fewer than all but enough are, the result is a warning.
        where: the lines of pio-tf.hcl with the addresses.
        question: sent to each; any answer will do.
    """
    timeout = context.limits.connect
    refusals = await asyncio.gather(
        *(_refusal(context.remote, *address, question=question, timeout=timeout) for address in addresses)
    )
    down = [f"{host}:{port}: {why}" for (host, port), why in zip(addresses, refusals, strict=True) if why]
    if not down:
        listed = ", ".join(f"{host}:{port}" for host, port in addresses)
        verb, rest = ("answer", "") if question else ("accept", " connections")
        return ok(f"{listed} {verb}{'s' if len(addresses) == 1 else ''}{rest}")
    result = failed if len(addresses) - len(down) < needed else warning
    return result(
        "; ".join(down),
        f"check that it runs there, that its security group lets the driver connect, and its address in {where}",
    )


async def _refusal(remote: ClusterConnection, host: str, port: int, *, question: bytes, timeout: float) -> str:
    """Return why the host refuses TCP connections, or does not answer; "" if it does."""
    connection = await remote.connection(remote.driver.name)

    async def ask() -> bytes:
        reader, writer = await connection.open_connection(host, port, encoding=None)
        try:
            if not question:
                return b""
            writer.write(question)
            answer: bytes = await reader.read(512)
            return answer
        finally:
            writer.close()

    try:
        answer = await wait_for(ask(), timeout=timeout)
    except asyncio.TimeoutError:
        return f"no answer within {timeout:g} s"
    except (OSError, asyncssh.Error) as error:
        return reason(error)
    if question and not answer:
        return "it closed the connection without an answer"
    return "it serves no requests: too few servers of its quorum run" if _NOT_SERVING in answer else ""


def http_refusal(error: RemoteError, *, timeout: float) -> str:
    """Return, in the same words, why there was no answer over HTTP within ``timeout`` seconds."""
    timed_out = isinstance(error.__cause__, asyncio.TimeoutError)
    return f"no answer within {timeout:g} s" if timed_out else error.cause or error.what


async def check_elasticsearch(context: CheckContext) -> CheckResult:
    """Ask every node for its name, as PredictionIO does, and one of them for health, blocks and disks."""
    asked: list[Awaitable[CheckResult]] = []
    for source in context.config.sources:
        where = context.config.where(source.path)
        if isinstance(source.block, ElasticsearchBlock):
            asked.append(_check_rest(context, source, source.block, where=where))
        if isinstance(source.block, Elasticsearch1Source):  # it has no REST that PredictionIO uses
            addresses = [(host, source.block.port) for host in source.block.hosts]
            asked.append(check_hosts(context, addresses, needed=1, where=where))
    return combine(await asyncio.gather(*asked)) if asked else unused(context, "no repository is in Elasticsearch")


async def _check_rest(context: CheckContext, source: Source, block: ElasticsearchBlock, *, where: str) -> CheckResult:
    password = context.secrets.reveal(block.password) if block.password is not None else None
    client = ElasticsearchClient(context.remote, block.nodes, user=block.user, password=password)
    timeout = context.limits.answer / 2  # the questions come in two rounds
    answers = await asyncio.gather(*(_ask(client, node, "/", timeout) for node in block.nodes))
    asked = list(zip(block.nodes, answers, strict=True))
    found = {node: answer for node, answer in asked if not isinstance(answer, RemoteError)}
    results = [
        _judge_refusal(node, answer, where=where, timeout=timeout, others=bool(found))
        for node, answer in asked
        if isinstance(answer, RemoteError)
    ]
    if found:
        node, answer = next(iter(found.items()))
        repository = context.config.repository
        written = [one.name for one in (repository.metadata, repository.modeldata) if one.source == source.name]
        health, old_models, blocks, settings, disks = await asyncio.gather(
            _ask(client, node, _HEALTH, timeout),
            _old_models(context, client, node, timeout),
            _blocks(client, node, {f"{name}*": f"{name}_*" for name in written}, timeout),
            *(_ask_if_possible(client, node, path, timeout) for path in (CLUSTER_SETTINGS, DISKS)),
        )
        summary = f"Elasticsearch {_version(answer)}, {len(found)} of {len(answers)} nodes answer"
        results += [
            *_judge_name(block, tuple(found.values())),
            *_judge_version(context, answer),
            _judge_health(node, health, summary, timeout),
            *judge_writes(written, blocks=blocks, settings=settings, disks=disks, old_models=old_models),
        ]
    return combine(results)


async def _ask(
    client: ElasticsearchClient, node: ElasticsearchNode, path: str, timeout: float
) -> dict[str, Any] | RemoteError:
    """Return a node's JSON object, or the error of a node that has none."""
    answer = await _ask_any(client, node, path, timeout)
    if isinstance(answer, RemoteError) or answer.get("cluster_name"):
        return answer
    return RemoteError(
        "this is not Elasticsearch: the answer has no cluster name", next_step="find out what listens there"
    )


async def _ask_if_possible(
    client: ElasticsearchClient, node: ElasticsearchNode, path: str, timeout: float
) -> dict[str, Any]:
    """Return a node's JSON object; an empty one if it has none, or the user may not read it."""
    answer = await _ask_any(client, node, path, timeout)
    return {} if isinstance(answer, RemoteError) else answer


async def _ask_any(
    client: ElasticsearchClient, node: ElasticsearchNode, path: str, timeout: float
) -> dict[str, Any] | RemoteError:
    """Return a node's JSON object, empty for other JSON, or the error of a node that has none."""
    try:
        answer = await client.get(path, node=node, timeout=timeout)
    except RemoteError as error:
        if error.details.get("kind") not in ("http", "http-status"):
            raise
        return error
    return answer if isinstance(answer, dict) else {}


async def _blocks(
    client: ElasticsearchClient, node: ElasticsearchNode, patterns: Mapping[str, str], timeout: float
) -> dict[str, Any]:
    """Return the blocks of indices by name.

    Args:
        patterns: names of indices or aliases, or patterns of them, each with the name for one that refuses the answer.
    """
    paths = [BLOCKS.format(index=quote(pattern, safe="*")) for pattern in patterns]
    answers = await asyncio.gather(*(_ask_any(client, node, path, timeout) for path in paths))
    found: dict[str, Any] = {}
    for name, answer in zip(patterns.values(), answers, strict=True):
        if not isinstance(answer, RemoteError):
            found |= answer
        elif METADATA_BLOCKED in answer.cause:
            found[name] = HAS_METADATA_BLOCK
    return found


async def _old_models(
    context: CheckContext, client: ElasticsearchClient, node: ElasticsearchNode, timeout: float
) -> dict[str, Any]:
    """Return the blocks of the indices behind the engine's aliases; none if engine.json cannot be read in time."""

    async def ask() -> dict[str, Any]:
        aliases = read_engine((await context.driver_facts()).variant_text).indices
        return await _blocks(client, node, {alias: alias for alias in aliases}, timeout)

    try:
        return await wait_for(ask(), timeout=timeout)
    except (asyncio.TimeoutError, ConfigError, NoAnswer, RemoteError):  # `engine` reports the driver's answer
        return {}


def _judge_refusal(
    node: ElasticsearchNode, error: RemoteError, *, where: str, timeout: float, others: bool
) -> CheckResult:
    """Judge a node that does not answer.

    ``others``: another node has answered. PredictionIO's client uses those that do.
    """
    if error.details.get("status") in (401, 403):
        return failed(
            f"{_at(node)} refuses user and password ({error.details['status']})",
            f"correct user and password of Elasticsearch in {where}",
        )
    detail = f"{_at(node)}: {http_refusal(error, timeout=timeout)}"
    return (warning if others else failed)(detail, f"{error.next_step}; its address is from {where}")


def _judge_name(block: ElasticsearchBlock, answers: Sequence[dict[str, Any]]) -> list[CheckResult]:
    names = sorted({str(answer["cluster_name"]) for answer in answers})
    if len(names) > 1:
        return [failed(f"the nodes belong to several clusters: {', '.join(names)}", "list the nodes of one of them")]
    if block.cluster_name in (_DEFAULT_NAME, names[0]):
        return []
    return [
        warning(
            f"the cluster's name is {names[0]!r}, not {block.cluster_name!r}: PredictionIO ignores the name",
            "check its hosts, or correct cluster_name",
        )
    ]


def _judge_version(context: CheckContext, answer: dict[str, Any]) -> list[CheckResult]:
    version, pio = _version(answer), context.config.pio.version
    majors = COMPATIBILITY[pio].elasticsearch_majors
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) in majors:
        return []
    made_for = " and ".join(map(str, majors))
    return [
        warning(
            f"this is Elasticsearch {version}, but PredictionIO {pio} was made for {made_for}",
            f"use Elasticsearch {made_for}, unless you have built PredictionIO for this one",
        )
    ]


def _judge_health(
    node: ElasticsearchNode, health: dict[str, Any] | RemoteError, summary: str, timeout: float
) -> CheckResult:
    if isinstance(health, RemoteError):
        if health.details.get("status") in (401, 403):
            return warning(
                f"{summary}, but the user may not read the cluster's health",
                "grant the user the privilege to monitor the cluster, or check it yourself: GET /_cluster/health",
            )
        why = http_refusal(health, timeout=timeout)
        return failed(f"{_at(node)} does not report the cluster's health: {why}", _FIND_INDEX)
    detail = f"{summary}, cluster {health['cluster_name']!r} is {health.get('status')}"
    if health.get("status") == "red":
        return failed(f"{detail}: an index lacks a primary shard, and can be neither read nor written", _FIND_INDEX)
    return ok(detail)


def _version(answer: dict[str, Any]) -> str:
    version = answer.get("version")
    return str(version.get("number", "")) if isinstance(version, dict) else ""


def _at(node: ElasticsearchNode) -> str:
    return f"{node.scheme}://{node.host}:{node.port}"


async def check_zookeeper(context: CheckContext) -> CheckResult:
    """Ask every host of HBase's quorum. ZooKeeper works while more than half of them do."""
    for source in context.config.sources:
        if isinstance(source.block, HbaseBlock):
            hosts = source.block.zookeeper_quorum or source.block.hosts
            addresses = [(host, source.block.zookeeper_port) for host in hosts]
            where = context.config.where(source.path)
            return await check_hosts(
                context, addresses, needed=len(addresses) // 2 + 1, where=where, question=ZOOKEEPER_QUESTION
            )
    return unused(context, "no repository is in HBase")


async def check_jdbc(context: CheckContext) -> CheckResult:
    """Connect to the database of every JDBC source, and find its driver's jar."""
    asked: list[Awaitable[CheckResult]] = []
    for source in context.config.sources:
        if isinstance(source.block, JdbcSource):
            where = context.config.where(source.path)
            asked.append(check_hosts(context, jdbc_addresses(source.block.url), needed=1, where=where))
            asked.append(_check_jar(context, source.block.driver_jar, where=where))
    return combine(await asyncio.gather(*asked)) if asked else unused(context, "no source is a database")


def jdbc_addresses(url: str) -> list[tuple[str, int]]:
    """Return host and port of each server of ``jdbc:postgresql://db-1:5432,db-2/pio``.

    Without a port: the database's usual one. Without a host, as in ``jdbc:postgresql:pio``: the driver machine itself.
    """
    usual = _JDBC_PORTS[url.split(":")[1]]
    match = _JDBC_SERVERS.match(url)
    servers = (server.rpartition("@")[2].partition(":") for server in (match[1] if match else "").split(","))
    return [(host or "localhost", int(port) if port.isdigit() else usual) for host, _, port in servers]


async def _check_jar(context: CheckContext, jar: str, *, where: str) -> CheckResult:
    if (await context.driver_facts()).jdbc_drivers.get(jar) in ("file", "executable"):
        return ok(f"{jar} exists")
    return failed(f"{jar} is not a file on the driver", f"copy the JDBC driver there, or correct driver_jar in {where}")
