"""Proofs that a training has left a model, beyond PIO's own word: what is in Elasticsearch afterwards.

A training succeeds if its exit status is 0, PIO has printed its success line, and no answer of Elasticsearch
contradicts them. A service that does not answer, or a proof that does not apply, is no contradiction:

- ``engine instance``: PIO keeps a document for each training in the index of its metadata: INIT at its start, COMPLETED
  when the model is stored. If Elasticsearch refuses writes (a full disk makes its indices read-only), PIO only logs an
  error, and the prediction server finds no model. It does not apply if the metadata is in a database or in another
  index. Nor does it if only another engine has trained meanwhile: then the command line named this one's factory.
- ``alias``: the Universal Recommender writes each model into a new index and then moves its alias (``indexName``)
  there. It does not apply to another engine, or if there was no alias before and is none now.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import asdict

from pio_tf.config.storage import ElasticsearchBlock
from pio_tf.errors import PioTfError, RemoteError, TrainingFailed
from pio_tf.events import Warned
from pio_tf.pio.engine import read_engine
from pio_tf.remote.bash import shell_path
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.engine_instances import read_instances
from pio_tf.training.preflight.probe import variant_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.context import ClusterContext
    from pio_tf.pio.engine import Engine
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.engine_instances import EngineInstance
    from pio_tf.training.runs.record import RunRecord

EXIT_STATUS, SUCCESS_LINE, ENGINE_INSTANCE, ALIAS = "exit status", "success line", "engine instance", "alias"
CLOCK_STEP = 60.0
"""Maximum seconds by which the driver's clock may go back during a run: a machine corrects it soon after its boot."""
_NOT_ASKED = "Elasticsearch was not asked"


class Proof(Struct, frozen=True):
    """One proof. ``held`` is None if it does not apply, or is unknown; ``detail`` says why in one sentence."""

    name: str
    held: bool | None
    detail: str
    model: str = ""
    """The model, if this proof names it: the id of the engine instance, or the index behind the alias."""


class Traces(Struct, frozen=True):
    """The traces that a training of this engine leaves in Elasticsearch."""

    engine_factory: str
    engine_variant: str
    """``id`` in engine.json."""
    metadata: str = ""
    """NAME of the METADATA repository; empty if its source is not Elasticsearch."""
    engine_version: str = ""
    """SHA-1 of the engine directory's canonical path, in hex; empty: any."""
    aliases: tuple[str, ...] = ()
    """Every ``indexName`` of the Universal Recommender; empty for another engine."""

    @classmethod
    def of(cls, record: RunRecord) -> Traces:
        """Return those that a run's record holds."""
        return cls(**{**record.traces, "aliases": tuple(record.traces.get("aliases", ()))})

    def include(self, instance: EngineInstance) -> bool:
        """Return whether an engine instance is of this engine."""
        same_version = self.engine_version in ("", instance.version)
        return same_version and (instance.factory, instance.variant) == (self.engine_factory, self.engine_variant)


class Before(Struct, frozen=True):
    """Elasticsearch before a run, as JSON can hold it. None: unknown."""

    instance: str | None = None
    """Id of the newest engine instance; empty: there was none."""
    indices: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    """The indices behind each alias; empty: there was no such alias."""


async def look_before(es: ElasticsearchClient | None, traces: Traces) -> Before:
    """Return what a run will change. If a service does not answer, its part is unknown. ``es`` None: there is none."""
    instances, indices = await asyncio.gather(_instances(es, traces), _indices(es, traces.aliases))
    known = {alias: None if isinstance(found, Proof) else found for alias, found in indices.items()}
    if isinstance(instances, Proof):
        return Before(None, known)
    return Before(next((instance.id for instance in instances if traces.include(instance)), ""), known)


async def prove(
    es: ElasticsearchClient | None,
    traces: Traces,
    before: Before,
    *,
    started: float,
    exit_status: int | None,
    success_line_seen: bool,
) -> tuple[Proof, ...]:
    """Return all four proofs, in their order. If a service does not answer, its proof is None.

    Args:
        es: None: there is none, or no reason to ask it (the training has failed).
        started: the run's start in seconds since 1970, by the driver's clock (`date +%s` there): PIO stamps its engine
            instances by the same one.
        exit_status: None: unknown.
    """
    instances, indices = await asyncio.gather(_instances(es, traces), _indices(es, traces.aliases))
    exited = (
        Proof(EXIT_STATUS, None, "the exit status of pio train is unknown")
        if exit_status is None
        else Proof(EXIT_STATUS, exit_status == 0, f"pio train exited with {exit_status}")
    )
    said = f"PIO {'said' if success_line_seen else 'never said'} that training completed"
    return (
        exited,
        Proof(SUCCESS_LINE, success_line_seen, said),
        instances
        if isinstance(instances, Proof)
        else _completed(instances, traces, before=before.instance, started=started),
        _swapped(before.indices, indices),
    )


def contradiction(proofs: Sequence[Proof]) -> TrainingFailed | None:
    """Return the error for a training that succeeded by PIO's word, but not by Elasticsearch's."""
    false = [proof for proof in proofs if proof.held is False and proof.name in (ENGINE_INSTANCE, ALIAS)]
    if not false:
        return None
    return TrainingFailed(
        "pio train said that training completed, but Elasticsearch contradicts it",
        cause="; ".join(proof.detail for proof in false),
        next_step="look for ERROR in the training's output, and check that Elasticsearch accepts writes: a node short "
        "of disk makes its indices read-only (`index.blocks.read_only_allow_delete`)",
        details={"proofs": [asdict(proof) for proof in proofs]},
    )


def _completed(instances: Sequence[EngineInstance], traces: Traces, *, before: str | None, started: float) -> Proof:
    recent = [one for one in instances if one.started >= started - CLOCK_STEP and one.id != before]
    ours = [one for one in recent if traces.include(one)]
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
    """Return one proof for all aliases: False comes before None."""
    if not after:
        return Proof(ALIAS, None, "this engine is not the Universal Recommender: it has no alias in Elasticsearch")
    proofs = [_swapped_one(alias, before.get(alias), found) for alias, found in after.items()]
    return min(proofs, key=lambda proof: (False, None, True).index(proof.held))


def _swapped_one(alias: str, before: Sequence[str] | None, after: Sequence[str] | Proof) -> Proof:
    if isinstance(after, Proof):
        return after
    points_to = f"alias {alias} points to {', '.join(after)}"
    if before is None:
        now = f"; {points_to}" if after else ""
        return Proof(ALIAS, None, f"alias {alias} could not be read before the run{now}")
    if not after:
        held = False if before else None
        return Proof(ALIAS, held, f"there is no alias {alias}" + (" any more" if before else ""))
    new = next((index for index in after if index not in before), "")
    if not new:
        return Proof(ALIAS, False, f"{points_to}, as before the run: the new model is not served")
    was = f"; before: {', '.join(before)}" if before else ""
    return Proof(ALIAS, True, f"{points_to}, which is new{was}", model=new)


async def _instances(es: ElasticsearchClient | None, traces: Traces) -> list[EngineInstance] | Proof:
    """Return the newest engine instances, the newest first; or why they are unknown."""
    if not traces.metadata:
        return Proof(ENGINE_INSTANCE, None, "PIO's metadata is not in Elasticsearch")
    if es is None:
        return Proof(ENGINE_INSTANCE, None, _NOT_ASKED)
    try:
        found = await read_instances(es, traces.metadata)
    except RemoteError as error:
        return Proof(ENGINE_INSTANCE, None, f"PIO's metadata could not be read: {error.what} ({error.cause})")
    if found is None:
        return Proof(
            ENGINE_INSTANCE, None, f"PIO's metadata is elsewhere: Elasticsearch has no index {traces.metadata}"
        )
    return found


async def _indices(es: ElasticsearchClient | None, aliases: Sequence[str]) -> dict[str, tuple[str, ...] | Proof]:
    if es is None:
        return {alias: Proof(ALIAS, None, _NOT_ASKED) for alias in aliases}
    found = await asyncio.gather(*(_behind(es, alias) for alias in aliases))
    return dict(zip(aliases, found, strict=True))


async def _behind(es: ElasticsearchClient, alias: str) -> tuple[str, ...] | Proof:
    """Return the indices behind an alias; or why they are unknown."""
    try:
        answer = await es.get(f"/_alias/{quote(alias, safe='')}")
    except RemoteError as error:
        if error.details.get("status") == 404:
            return ()
        return Proof(ALIAS, None, f"alias {alias} could not be read: {error.what} ({error.cause})")
    return tuple(sorted(answer)) if isinstance(answer, dict) else ()


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


class Evidence:
    """The engine and the Elasticsearch of one cluster, asked through the driver."""

    def __init__(self, context: ClusterContext, remote: ClusterConnection) -> None:
        self._context = context
        self._config = context.config
        self._remote = remote

    async def before(self, traces: Traces) -> Before:
        """Return what Elasticsearch has of a run's traces now, before it."""
        return await look_before(self.elasticsearch(), traces)

    async def traces(self) -> tuple[Engine | None, Traces]:
        """Return the engine, and the traces that its run will leave.

        The engine is None if engine.json can't be read: then the user has skipped the check of it.
        """
        engine, version = await self._engine()
        return engine, self._traces(engine, version)

    async def after(self, record: RunRecord, success_line_seen: bool) -> tuple[Proof, ...]:
        """Return the proofs of a run that has ended. Ask Elasticsearch only if the run says that it succeeded."""
        claims_success = record.exit_status == 0 and success_line_seen
        return await prove(
            self.elasticsearch() if claims_success else None,
            Traces.of(record),
            Before(**record.before),
            started=record.started or 0.0,
            exit_status=record.exit_status,
            success_line_seen=success_line_seen,
        )

    def _traces(self, engine: Engine | None, version: str) -> Traces:
        metadata = self._config.repository.metadata
        kept_in = {source.name: source.block for source in self._config.sources}.get(metadata.source)
        return Traces(
            engine_factory=engine.engine_factory if engine else "",
            engine_variant=engine.id if engine else "",
            metadata=metadata.name if isinstance(kept_in, ElasticsearchBlock) and engine else "",
            engine_version=version,
            aliases=engine.indices if engine else (),
        )

    async def _engine(self) -> tuple[Engine | None, str]:
        """Return engine.json and the engine's version."""
        directory, variant = shell_path(self._config.pio.engine_dir), shell_path(variant_path(self._config))
        program = f"printf %s \"$(readlink -f {directory})\" | sha1sum | cut -d' ' -f1 && cat -- {variant}"
        done = await self._remote.run(self._remote.driver.name, program)
        version, _, text = done.stdout.partition("\n")
        try:
            return (read_engine(text), version) if done.exit_status == 0 else (None, "")
        except PioTfError:
            return None, ""

    def elasticsearch(self) -> ElasticsearchClient | None:
        """Return the source ELASTICSEARCH: the Universal Recommender's, and the guide's for metadata."""
        block = next((source.block for source in self._config.sources if source.name == "ELASTICSEARCH"), None)
        if not isinstance(block, ElasticsearchBlock):  # none, or Elasticsearch 1.x without REST
            return None
        try:
            password = self._context.secrets.reveal(block.password) if block.password else None
        except PioTfError as error:
            self._context.report(
                Warned(
                    f"did not ask Elasticsearch about the model, because its password could not be read: {error.what}"
                )
            )
            return None
        return ElasticsearchClient(self._remote, block.nodes, user=block.user, password=password)
