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
from pio_tf.training.elasticsearch_room import CLUSTER_SETTINGS, DISKS, judge_copy
from pio_tf.training.preflight.context import combine, failed, ok, skipped, warning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.training.preflight.context import CheckContext, CheckResult


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
    """Judge whether a copy of an index and a new one of its size fit: :func:`judge_copy`.

    Args:
        where: the line of pio-tf.hcl with the block.
    """
    judged = judge_copy(index, sizes, settings, disks)
    if judged is None:
        return ok(f"{index} is served; Elasticsearch does not tell its room")
    fits, why = judged
    if fits:
        return ok(why)
    return failed(
        why,
        f"remove old indices, enlarge the disks, or set keep_models = 1 in {where}; `--skip-check model` trains "
        "without a copy",
    )


async def _ask(es: ElasticsearchClient, path: str, timeout: float) -> Mapping[str, Any]:
    """Return an answer; an empty one if the user may not read it."""
    try:
        return as_object(await es.get(path, timeout=timeout))
    except RemoteError as error:
        if error.details.get("kind") not in ("http", "http-status"):
            raise
        return {}
