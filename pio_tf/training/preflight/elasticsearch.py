"""``elasticsearch``: every node answers, knows our password, and the cluster is not red."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pio_tf.config.components import COMPATIBILITY
from pio_tf.config.storage import Elasticsearch1Source, ElasticsearchBlock
from pio_tf.errors import RemoteError
from pio_tf.training.elasticsearch import Elasticsearch
from pio_tf.training.preflight.model import Finding, failed, ok, skipped, together, warning
from pio_tf.training.preflight.tcp import about_hosts, http_refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from pio_tf.config.storage import ElasticsearchNode
    from pio_tf.training.preflight.model import Preflight

_DEFAULT_NAME = "elasticsearch"
_HEALTH = "/_cluster/health?timeout=3s&master_timeout=3s"
"""Without these, a cluster that has no master lets its client wait for half a minute."""
_LOOK = "look which index it is: GET /_cat/indices?health=red, and why: GET /_cluster/allocation/explain"


async def check_elasticsearch(preflight: Preflight) -> Finding:
    """Ask every node for its name, as PredictionIO does, and one of them for the cluster's health."""
    asked: list[Awaitable[Finding]] = []
    for source in preflight.config.sources:
        where = preflight.config.where(source.path)
        if isinstance(source.block, ElasticsearchBlock):
            asked.append(_check(preflight, source.block, where=where))
        if isinstance(source.block, Elasticsearch1Source):  # it speaks no REST: a connection is all to ask for
            at = [(host, source.block.port) for host in source.block.hosts]
            asked.append(about_hosts(preflight, at, needed=1, where=where))
    return together(await asyncio.gather(*asked)) if asked else skipped("no repository is in Elasticsearch")


async def _check(preflight: Preflight, block: ElasticsearchBlock, *, where: str) -> Finding:
    password = preflight.secrets.reveal(block.password) if block.password is not None else None
    service = Elasticsearch(preflight.remote, block.nodes, user=block.user, password=password)
    timeout = preflight.limits.answer / 2  # two questions, one after the other
    answers = await asyncio.gather(*(_ask(service, node, "/", timeout) for node in block.nodes))
    asked = list(zip(block.nodes, answers, strict=True))
    found = {node: answer for node, answer in asked if not isinstance(answer, RemoteError)}
    refusals = [
        _refused(node, answer, where=where, timeout=timeout, others=bool(found))
        for node, answer in asked
        if isinstance(answer, RemoteError)
    ]
    if not found:
        return together(refusals)
    node, answer = next(iter(found.items()))
    health = await _ask(service, node, _HEALTH, timeout)
    summary = f"{len(found)} of {len(answers)} nodes answer"
    return together(
        [
            *refusals,
            *_about_name(block, tuple(found.values())),
            *_about_version(preflight, answer),
            _about_health(node, health, f"Elasticsearch {_version(answer)}, {summary}", timeout),
        ]
    )


async def _ask(
    service: Elasticsearch, node: ElasticsearchNode, path: str, timeout: float
) -> dict[str, Any] | RemoteError:
    """An object of JSON, or the error of a node that has none for us."""
    try:
        answer = await service.get(path, node=node, timeout=timeout)
    except RemoteError as error:
        if error.details.get("kind") not in ("http", "http-status"):
            raise
        return error
    if not isinstance(answer, dict) or not answer.get("cluster_name"):
        return RemoteError("what answers has no cluster name: it is no Elasticsearch", next_step="look what it is")
    return answer


def _refused(node: ElasticsearchNode, error: RemoteError, *, where: str, timeout: float, others: bool) -> Finding:
    """``others``: whether another node has answered. PredictionIO's client then goes on with those that do."""
    if error.details.get("status") in (401, 403):
        return failed(
            f"{_at(node)} refuses user and password ({error.details['status']})",
            f"check user and password of Elasticsearch in {where}",
        )
    detail = f"{_at(node)}: {http_refusal(error, timeout=timeout)}"
    return (warning if others else failed)(detail, f"{error.next_step}; its address is from {where}")


def _about_name(block: ElasticsearchBlock, answers: Sequence[dict[str, Any]]) -> list[Finding]:
    names = sorted({str(answer["cluster_name"]) for answer in answers})
    if len(names) > 1:
        return [failed(f"its nodes belong to several clusters: {', '.join(names)}", "name the nodes of one of them")]
    if block.cluster_name in (_DEFAULT_NAME, names[0]):
        return []
    return [
        warning(
            f"it is the cluster {names[0]!r}, not {block.cluster_name!r}: PredictionIO does not look at the name",
            "check its hosts, or correct cluster_name",
        )
    ]


def _about_version(preflight: Preflight, answer: dict[str, Any]) -> list[Finding]:
    version, pio = _version(answer), preflight.config.pio.version
    majors = COMPATIBILITY[pio].elasticsearch_majors
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) in majors:
        return []
    made_for = " and ".join(map(str, majors))
    return [
        warning(
            f"it is Elasticsearch {version}, and PredictionIO {pio} was made for {made_for}",
            f"give PredictionIO an Elasticsearch {made_for}, unless you have built it for this one",
        )
    ]


def _about_health(
    node: ElasticsearchNode, health: dict[str, Any] | RemoteError, summary: str, timeout: float
) -> Finding:
    if isinstance(health, RemoteError):
        if health.details.get("status") in (401, 403):
            return warning(
                f"{summary}, but its user may not see the cluster's health",
                "give the user the privilege to monitor the cluster, or look yourself: GET /_cluster/health",
            )
        return failed(f"{_at(node)} does not tell the cluster's health: {http_refusal(health, timeout=timeout)}", _LOOK)
    detail = f"{summary}, cluster {health['cluster_name']!r} is {health.get('status')}"
    if health.get("status") == "red":
        return failed(f"{detail}: an index lacks a primary shard, and can be neither read nor written", _LOOK)
    return ok(detail)


def _version(answer: dict[str, Any]) -> str:
    version = answer.get("version")
    return str(version.get("number", "")) if isinstance(version, dict) else ""


def _at(node: ElasticsearchNode) -> str:
    return f"{node.scheme}://{node.host}:{node.port}"
