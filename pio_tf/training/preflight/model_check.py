"""``model``: the query that a new model must answer, and Elasticsearch's room for a copy of the model that is served.

Until the Universal Recommender removes the old index, Elasticsearch holds three: the one that is served, its copy, and
the new model, which may be as large.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pio_tf.config.storage import ElasticsearchBlock
from pio_tf.errors import ConfigError, RemoteError
from pio_tf.json_text import as_object
from pio_tf.pio.engine import read_engine
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.preflight.context import combine, failed, ok, skipped, warning
from pio_tf.training.preflight.elasticsearch_writes import (
    CLUSTER_SETTINGS,
    DISKS,
    WATERMARK,
    data_disk,
    free_at,
    settings_in_force,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.training.preflight.context import CheckContext, CheckResult

_MIB = 1024**2
_TIMES = 2
"""The copy, and the new model."""


async def check_model(context: CheckContext) -> CheckResult:
    """Try the sample query on the model that is served, and compare its size with the room in Elasticsearch."""
    model = context.config.model
    if not model.is_used:
        return skipped(f"{context.config.path.name} has no model block")
    block = next((one.block for one in context.config.sources if one.name == "ELASTICSEARCH"), None)
    try:
        aliases = read_engine((await context.driver_facts()).variant_text).indices
    except ConfigError:  # `engine` reports it
        return skipped("engine.json can't be read")
    if not aliases or not isinstance(block, ElasticsearchBlock):
        return skipped("this engine is not the Universal Recommender: it has no index in Elasticsearch")
    password = context.secrets.reveal(block.password) if block.password is not None else None
    es = ElasticsearchClient(context.remote, block.nodes, user=block.user, password=password)
    return combine(await asyncio.gather(*(_check_alias(context, es, alias) for alias in aliases)))


async def _check_alias(context: CheckContext, es: ElasticsearchClient, alias: str) -> CheckResult:
    model, where, path = context.config.model, context.config.where("model"), f"/{quote(alias, safe='')}"
    timeout = context.limits.answer / 2
    try:
        indices = as_object(await es.get(f"/_alias{path}", timeout=timeout))
    except RemoteError as error:
        if error.details.get("status") == 404:
            return ok(f"there is no model {alias} yet")
        return warning(f"alias {alias} could not be read: {error.cause or error.what}", error.next_step)
    if model.sample_query:
        try:
            found = await es.search(f"{path}/_count", {"query": model.sample_query}, timeout=timeout)
        except RemoteError as error:
            return failed(f"Elasticsearch refuses model.sample_query: {error.cause}", f"correct it in {where}")
        if not as_object(found).get("count"):
            now = f"model.sample_query finds nothing in the model {alias} that is served"
            return warning(now, f"a new model without such a document fails: is the query in {where} right?")
    if model.keep_models == 1:
        return ok(f"{', '.join(indices)} is served")
    if len(indices) > 1:
        return failed(
            f"alias {alias} points to {len(indices)} indices, and only one can be the model: {', '.join(indices)}",
            "remove the alias from the others: POST /_aliases",
        )
    sizes, settings, disks = await asyncio.gather(
        *(_ask(es, question, timeout) for question in (f"{path}/_stats/store", CLUSTER_SETTINGS, DISKS))
    )
    return judge_room(next(iter(indices)), sizes=sizes, settings=settings, disks=disks, where=where)


def judge_room(
    index: str, *, sizes: Mapping[str, Any], settings: Mapping[str, Any], disks: Mapping[str, Any], where: str
) -> CheckResult:
    """Judge whether a copy of an index and a new one of its size fit below the high watermark of the disks.

    Above it, Elasticsearch moves shards away. An empty answer of Elasticsearch's decides nothing.

    Args:
        sizes: the answer to ``/<index>/_stats/store``: replicas are in its total.
        settings, disks: the answers to :data:`CLUSTER_SETTINGS` and :data:`DISKS`.
        where: the line of pio-tf.hcl with the block.
    """
    size: Any = sizes.get("_all")
    for name in ("total", "store", "size_in_bytes"):
        size = as_object(size).get(name)
    rooms = list(_rooms(settings, disks))
    if not isinstance(size, int) or not rooms:
        return ok(f"{index} is served; Elasticsearch does not tell its room")
    needed, room = size * _TIMES, sum(rooms)
    copy = f"a copy of {index} and a new model of its size need {needed / _MIB:.1f} MiB of Elasticsearch's disks"
    if room < needed:
        return failed(
            f"{copy}, and {room / _MIB:.1f} MiB are free below the high watermark",
            f"remove old indices, enlarge the disks, or set keep_models = 1 in {where}; `--skip-check model` trains "
            "without a copy",
        )
    return ok(f"{copy}; {room / 1024 / _MIB:.1f} GiB are free")


def _rooms(settings: Mapping[str, Any], disks: Mapping[str, Any]) -> Iterator[float]:
    """Yield the bytes that each node with data can take."""
    in_force = settings_in_force(settings)
    unlimited = in_force.get("cluster.routing.allocation.disk.threshold_enabled") == "false"
    high = "" if unlimited else in_force.get(f"{WATERMARK}high", "")
    for node in as_object(disks.get("nodes")).values():
        if (disk := data_disk(as_object(node))) is not None:
            total, free = disk
            yield max(0.0, free - free_at(high, total=total))


async def _ask(es: ElasticsearchClient, path: str, timeout: float) -> Mapping[str, Any]:
    """Return an answer; an empty one if the user may not read it."""
    try:
        return as_object(await es.get(path, timeout=timeout))
    except RemoteError as error:
        if error.details.get("kind") not in ("http", "http-status"):
            raise
        return {}
