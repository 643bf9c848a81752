"""Proofs that a training has left a model, beyond PIO's own word: what stands in Elasticsearch afterwards.

A training is a success when its exit status is 0, PIO has said its success line, and nothing that could be asked in
Elasticsearch contradicts them. What cannot be asked, or does not apply, is no contradiction:

- ``engine instance``: PIO keeps a document for each training in the index of its metadata: INIT at its start, COMPLETED
  when the model is stored. An Elasticsearch that takes no writes (a full disk makes its indices read-only) is only an
  error in PIO's log, and the prediction server finds no model. It does not apply where the metadata is in a database,
  or in another index; nor where another engine has trained meanwhile and this one is not to be found, because its
  factory was named on the command line.
- ``alias``: the Universal Recommender writes each model into a new index and then moves its alias (``indexName``)
  there. It does not apply to another engine, or where there was no alias before and is none now.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pio_tf.errors import RemoteError, TrainingFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.training.elasticsearch_client import ElasticsearchClient

EXIT_STATUS, SUCCESS_LINE, ENGINE_INSTANCE, ALIAS = "exit status", "success line", "engine instance", "alias"
CLOCK_STEP = 60.0
"""Seconds by which the driver's clock may have been set back between the start of a run and PIO's own look at it: soon
after its boot, a machine's clock is corrected."""
_NOT_ASKED = "Elasticsearch was not asked"
_NEWEST = 50
"""Engine instances that are looked at."""


@dataclass(frozen=True)
class Proof:
    """``held`` is None where it could not be asked, or does not apply; ``detail`` says so in one sentence."""

    name: str
    held: bool | None
    detail: str
    model: str = ""
    """What the run has made, where this proof tells: the id of the engine instance, the index behind the alias."""


@dataclass(frozen=True)
class Traces:
    """What a training of this engine leaves in Elasticsearch."""

    engine_factory: str
    engine_variant: str
    """``id`` in engine.json."""
    metadata: str = ""
    """NAME of the METADATA repository; empty where its source is no Elasticsearch."""
    engine_version: str = ""
    """SHA-1 of the engine directory's canonical path, in hex; empty: whatever it is."""
    aliases: tuple[str, ...] = ()
    """Every ``indexName`` of the Universal Recommender; empty for an engine that is none."""


@dataclass(frozen=True)
class Before:
    """How it was before a run, in what JSON can keep. None: it could not be asked."""

    instance: str | None = None
    """Id of the newest engine instance; empty: there was none."""
    indices: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    """The indices behind each alias; empty: there was no such alias."""


@dataclass(frozen=True)
class _Instance:
    id: str
    status: str
    factory: str
    variant: str
    version: str
    started: float
    """Seconds since 1970, by the driver's clock."""

    def is_of(self, traces: Traces) -> bool:
        same_version = traces.engine_version in ("", self.version)
        return same_version and (self.factory, self.variant) == (traces.engine_factory, traces.engine_variant)


async def look_before(es: ElasticsearchClient | None, traces: Traces) -> Before:
    """What a run will change.

    A service that does not answer is no error: what it would have told is not known then. ``es`` None: there is none.
    """
    instances, indices = await asyncio.gather(_instances(es, traces.metadata), _indices(es, traces.aliases))
    known = {alias: None if isinstance(found, Proof) else found for alias, found in indices.items()}
    if isinstance(instances, Proof):
        return Before(None, known)
    ours = [instance for instance in instances if instance.is_of(traces)]
    return Before(ours[0].id if ours else "", known)


async def prove(
    es: ElasticsearchClient | None,
    traces: Traces,
    before: Before,
    *,
    started: float,
    exit_status: int | None,
    success_line_seen: bool,
) -> tuple[Proof, ...]:
    """All four proofs, in their order. A service that does not answer is no error: its proof is None.

    Args:
        es: None: there is none, or nothing to ask it (the training has failed).
        started: seconds since 1970 at the run's start, by the driver's clock (`date +%s` there): PIO stamps its engine
            instances by the same one.
        exit_status: None: not known.
    """
    instances, indices = await asyncio.gather(_instances(es, traces.metadata), _indices(es, traces.aliases))
    return (
        _exited(exit_status),
        Proof(
            SUCCESS_LINE,
            success_line_seen,
            "PIO said that training completed" if success_line_seen else "PIO never said that training completed",
        ),
        instances
        if isinstance(instances, Proof)
        else _completed(instances, traces, before=before.instance, started=started),
        _swapped(before.indices, indices),
    )


def contradiction(proofs: Sequence[Proof]) -> TrainingFailed | None:
    """The error for a training that ended well by its own word, but not by Elasticsearch's."""
    false = [proof for proof in proofs if proof.held is False and proof.name in (ENGINE_INSTANCE, ALIAS)]
    if not false:
        return None
    return TrainingFailed(
        "pio train said that training completed, but Elasticsearch does not bear it out",
        cause="; ".join(proof.detail for proof in false),
        next_step="look for ERROR in the training's output, and whether Elasticsearch takes writes: a node short of "
        "disk makes its indices read-only (`index.blocks.read_only_allow_delete`)",
        details={"proofs": [asdict(proof) for proof in proofs]},
    )


def _exited(exit_status: int | None) -> Proof:
    if exit_status is None:
        return Proof(EXIT_STATUS, None, "nobody knows with which status pio train ended")
    return Proof(EXIT_STATUS, exit_status == 0, f"pio train exited with {exit_status}")


def _completed(instances: Sequence[_Instance], traces: Traces, *, before: str | None, started: float) -> Proof:
    recent = [one for one in instances if one.started >= started - CLOCK_STEP and one.id != before]
    ours = [one for one in recent if one.is_of(traces)]
    for one in ours:
        if one.status == "COMPLETED":
            detail = f"engine instance {one.id}, started at {_shown(one.started)}, is COMPLETED"
            return Proof(ENGINE_INSTANCE, True, detail, model=one.id)
    engine = f"{traces.engine_factory} (variant {traces.engine_variant})"
    if ours:
        return Proof(
            ENGINE_INSTANCE, False, f"engine instance {ours[0].id} of this run is {ours[0].status}, not COMPLETED"
        )
    if recent:
        return Proof(ENGINE_INSTANCE, None, f"PIO's metadata has a new engine instance, but none of {engine}")
    return Proof(ENGINE_INSTANCE, False, f"PIO's metadata has no engine instance of {engine} since {_shown(started)}")


def _swapped(before: Mapping[str, Sequence[str] | None], after: Mapping[str, Sequence[str] | Proof]) -> Proof:
    """One proof for all aliases: a False is told before a None."""
    if not after:
        return Proof(ALIAS, None, "this engine has no alias in Elasticsearch: it is no Universal Recommender")
    proofs = [_swapped_one(alias, before.get(alias), found) for alias, found in after.items()]
    return min(proofs, key=lambda proof: (False, None, True).index(proof.held))


def _swapped_one(alias: str, before: Sequence[str] | None, after: Sequence[str] | Proof) -> Proof:
    if isinstance(after, Proof):
        return after
    points_to = f"alias {alias} points to {', '.join(after)}"
    if before is None:
        return Proof(
            ALIAS, None, f"alias {alias} could not be looked at before the run" + (f"; {points_to}" if after else "")
        )
    if not after:
        held = False if before else None
        return Proof(ALIAS, held, f"there is no alias {alias}" + (" any more" if before else ""))
    new = next((index for index in after if index not in before), "")
    if not new:
        return Proof(ALIAS, False, f"{points_to}, as before the run: the new model is not served")
    was = f"; before: {', '.join(before)}" if before else ""
    return Proof(ALIAS, True, f"{points_to}, which is new{was}", model=new)


async def _instances(es: ElasticsearchClient | None, metadata: str) -> list[_Instance] | Proof:
    """The newest engine instances, the newest first; why there are none to look at."""
    if not metadata:
        return Proof(ENGINE_INSTANCE, None, "PIO's metadata is not in Elasticsearch")
    if es is None:
        return Proof(ENGINE_INSTANCE, None, _NOT_ASKED)
    # PIO 0.14 has an index for each kind of its metadata, where 0.12 and 0.13 have one for all. Both may be there.
    indices = (f"{metadata}_engine_instances", metadata)
    found = await asyncio.gather(*(_instances_in(es, index) for index in indices), return_exceptions=True)
    for result in found:
        if isinstance(result, RemoteError):
            return Proof(
                ENGINE_INSTANCE, None, f"PIO's metadata could not be looked at: {result.what} ({result.cause})"
            )
        if isinstance(result, BaseException):
            raise result
    there = [result for result in found if isinstance(result, list)]
    if not there:
        return Proof(ENGINE_INSTANCE, None, f"Elasticsearch has no index {metadata}: PIO's metadata is elsewhere")
    return sorted((one for result in there for one in result), key=lambda one: one.started, reverse=True)


async def _instances_in(es: ElasticsearchClient, index: str) -> list[_Instance] | None:
    """Those in one index, None where there is no such index."""
    question = {
        "size": _NEWEST,
        # Not all of a document: its env holds every variable of pio-env.sh, passwords too.
        "_source": ["status", "startTime", "engineFactory", "engineVariant", "engineVersion"],
        "query": {"match_all": {}},
        "sort": [{"startTime": {"order": "desc", "unmapped_type": "date"}}],
    }
    try:
        answer = await es.search(f"/{quote(index, safe='')}/_search", question)
    except RemoteError as error:
        if error.details.get("status") == 404:
            return None
        raise
    return [one for hit in _hits(answer) if (one := _instance(hit))]


async def _indices(es: ElasticsearchClient | None, aliases: Sequence[str]) -> dict[str, tuple[str, ...] | Proof]:
    if es is None:
        return {alias: Proof(ALIAS, None, _NOT_ASKED) for alias in aliases}
    found = await asyncio.gather(*(_behind(es, alias) for alias in aliases))
    return dict(zip(aliases, found, strict=True))


async def _behind(es: ElasticsearchClient, alias: str) -> tuple[str, ...] | Proof:
    """The indices behind an alias; why they are not known."""
    try:
        answer = await es.get(f"/_alias/{quote(alias, safe='')}")
    except RemoteError as error:
        if error.details.get("status") == 404:
            return ()
        return Proof(ALIAS, None, f"alias {alias} could not be looked at: {error.what} ({error.cause})")
    return tuple(sorted(answer)) if isinstance(answer, dict) else ()


def _hits(answer: Any) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    hits = answer.get("hits") if isinstance(answer, dict) else None
    found = hits.get("hits") if isinstance(hits, dict) else None
    return found if isinstance(found, list) else []


def _instance(hit: Any) -> _Instance | None:  # noqa: ANN401
    """A hit, None for what is no engine instance: another kind of metadata, one that PIO has only begun to insert."""
    try:
        source = hit["_source"]
        return _Instance(
            id=str(hit["_id"]),
            status=str(source["status"]),
            factory=str(source["engineFactory"]),
            variant=str(source["engineVariant"]),
            version=str(source.get("engineVersion", "")),
            started=_seconds(source["startTime"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _seconds(text: Any) -> float:  # noqa: ANN401
    """PIO's time (Joda's: 2019-03-01T12:00:00.123+09:00, or Z), in the zone of the driver, in seconds since 1970."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
