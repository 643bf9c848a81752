"""Engine instances: PredictionIO's documents about trainings, in the index of its metadata.

`pio deploy` takes the newest instance of an engine that is COMPLETED (``getLatestCompleted``, by ``startTime``). Any
other status keeps it from being served.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from pio_tf.errors import RemoteError

if TYPE_CHECKING:
    from pio_tf.training.elasticsearch_client import ElasticsearchClient

COMPLETED = "COMPLETED"
REJECTED = "REJECTED"
"""pio-tf's own status, which PredictionIO only compares with COMPLETED: an instance that is not to be served."""
NEWEST_INSTANCES: dict[str, Any] = {
    "size": 50,
    # Not all of a document: its env holds every variable of pio-env.sh, passwords too.
    "_source": ["status", "startTime", "engineFactory", "engineVariant", "engineVersion"],
    "query": {"match_all": {}},
    "sort": [{"startTime": {"order": "desc", "unmapped_type": "date"}}],
}
"""The search for engine instances that pio-tf looks at."""


class EngineInstance(Struct, frozen=True):
    """One training in PredictionIO's metadata."""

    id: str
    status: str
    factory: str
    variant: str
    version: str
    started: float
    """Seconds since 1970, by the driver's clock."""
    path: str = ""
    """``/index/type/id`` in Elasticsearch."""


def instances_paths(metadata: str) -> tuple[str, ...]:
    """Return the paths of searches for engine instances. Each index may be missing.

    PIO 0.14 has an index for each kind of its metadata, 0.12 and 0.13 have one for all. Both may exist.
    """
    return tuple(f"/{quote(index, safe='')}/_search" for index in (f"{metadata}_engine_instances", metadata))


async def read_instances(es: ElasticsearchClient, metadata: str) -> list[EngineInstance] | None:
    """Return the newest instances of all engines, the newest first; None: the metadata has no index there.

    Args:
        metadata: NAME of the METADATA repository.

    Raises:
        RemoteError: Elasticsearch does not answer.
    """
    paths = instances_paths(metadata)
    found = await asyncio.gather(*(_instances_in(es, path) for path in paths), return_exceptions=True)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    existing = [result for result in found if isinstance(result, list)]
    if not existing:
        return None
    return sorted((one for result in existing for one in result), key=lambda one: one.started, reverse=True)


async def set_status(es: ElasticsearchClient, instance: EngineInstance, status: str) -> None:
    """Give an instance another status, and change nothing else of it.

    Raises:
        RemoteError: Elasticsearch does not take it.
    """
    await es.send("POST", f"{instance.path}/_update?refresh=true", {"doc": {"status": status}})


async def _instances_in(es: ElasticsearchClient, path: str) -> list[EngineInstance] | None:
    """Return the instances that a search of :func:`instances_paths` finds; None if there is no such index."""
    try:
        answer = await es.search(path, NEWEST_INSTANCES)
    except RemoteError as error:
        if error.details.get("status") == 404:
            return None
        raise
    hits = answer.get("hits") if isinstance(answer, dict) else None
    found = hits.get("hits") if isinstance(hits, dict) else None
    return [one for hit in found if (one := _instance(hit))] if isinstance(found, list) else []


def _instance(hit: Any) -> EngineInstance | None:  # noqa: ANN401 - JSON may be anything
    """Read a hit; return None for other metadata, or a document that PIO has only begun to insert."""
    try:
        source = hit["_source"]
        return EngineInstance(
            id=str(hit["_id"]),
            status=str(source["status"]),
            factory=str(source["engineFactory"]),
            variant=str(source["engineVariant"]),
            version=str(source.get("engineVersion", "")),
            started=_seconds(source["startTime"]),
            path="/" + "/".join(quote(str(hit[part]), safe="") for part in ("_index", "_type", "_id")),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _seconds(text: Any) -> float:  # noqa: ANN401
    """Convert PIO's time (Joda's: 2019-03-01T12:00:00.123+09:00, or Z), in the driver's zone, to seconds since 1970."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
