"""`Models`: the models of an engine, and the way back to one of them, on a user's word."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pio_tf.errors import ConfigError, NotReady
from pio_tf.events import Done
from pio_tf.training.custody.model_index import changed_fields, count_documents, read_models, size_of
from pio_tf.training.custody.model_indices import ModelIndices
from pio_tf.training.custody.served_instance import ServedInstance
from pio_tf.training.engine_instances import COMPLETED
from pio_tf.training.proof import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.context import ClusterContext
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.custody.model_index import ModelIndex, ModelState
    from pio_tf.training.elasticsearch_client import ElasticsearchClient
    from pio_tf.training.engine_instances import EngineInstance
    from pio_tf.training.proof import Traces

_LIST = "pio-tf model list"


class KeptModel(Struct, frozen=True):
    """A model, as users see it: an index, or an engine instance whose model is not in Elasticsearch."""

    id: str
    """The index; of another engine than the Universal Recommender, the engine instance."""
    state: ModelState
    alias: str = ""
    documents: int | None = None
    bytes: int | None = None
    """In Elasticsearch, replicas included."""
    trained: str = ""
    """ISO 8601, UTC; empty: unknown."""
    engine_instance: str = ""
    copy_of: str = ""
    """The index that it was copied from; empty: it is no copy."""
    kept_before: str = ""
    """The run before which it was copied."""
    rejected: str = ""
    """Why it is not to be served."""
    changed: tuple[str, ...] = ()
    """What readers of the served model may ask for, and this one has not."""


class Rollback(Struct, frozen=True):
    """A change of the model that is served."""

    served: Mapping[str, str]
    """The model that is served now, by alias; of an engine without one, by the empty text."""
    before: tuple[str, ...]
    """Those that were served."""
    instances: Mapping[str, str] = field(default_factory=dict)
    """The engine instances that have another status now, by id."""


class Models:
    """The models of one engine, through the driver. Every method raises RemoteError if Elasticsearch does not answer.

    Another engine than the Universal Recommender has a file for each training, which PredictionIO never removes: its
    models are its engine instances.
    """

    def __init__(self, context: ClusterContext, remote: ClusterConnection) -> None:
        self._report = context.report
        self._evidence = Evidence(context, remote)

    async def list(self) -> tuple[KeptModel, ...]:
        """Return every model: the one that is served, then the others, the newest first.

        Raises:
            NotReady: the driver's engine.json can't be read, or nothing tells pio-tf of models.
        """
        return await self._list(*await self._engine())

    async def roll_back(self, wanted: str, *, by: str, force: bool) -> Rollback:
        """Serve another model again. Its engine instance becomes the newest that is COMPLETED.

        Args:
            wanted, force: as of :func:`choose_models`.
            by: the client, for the notes of the models that are not served any more.

        Raises:
            ConfigError, NotReady: what :func:`choose_models` and :meth:`list` raise.
        """
        es, traces = await self._engine()
        every = await self._list(es, traces)
        chosen = choose_models(every, wanted, force=force)
        instances, changed = ServedInstance(es, traces, self._report), dict[str, str]()
        instance = await instances.find()
        for one in chosen:
            if one.alias:
                models = await read_models(es, one.alias)
                target = next(model for model in models if model.name == one.id)
                goes_back = any(model.served and model.trained > target.trained for model in models)
                because = f"{by} went back to {target.name}" if goes_back else ""
                await ModelIndices(es, self._report).serve(target, models, because=because, instance=instance)
                self._report(Done(f"alias {one.alias} points to {one.id}"))
            changed |= await instances.change(one.engine_instance)
        aliases = {one.alias for one in chosen}
        before = tuple(one.id for one in every if one.state == "served" and one.alias in aliases)
        return Rollback({one.alias: one.id for one in chosen}, before, changed)

    async def _list(self, es: ElasticsearchClient, traces: Traces) -> tuple[KeptModel, ...]:
        instances = ServedInstance(es, traces, self._report)
        if not traces.aliases:
            trained, served = await instances.trained(), await instances.find()
            return tuple(_of_instance(one, served) for one in sorted(trained, key=lambda one: one.id != served))
        instance, found = await instances.find(), list[KeptModel]()
        for alias in traces.aliases:
            models = await read_models(es, alias)
            found += [await _of_index(es, one, models, instance) for one in models]
        return tuple(found)

    async def _engine(self) -> tuple[ElasticsearchClient, Traces]:
        engine, traces = await self._evidence.traces()
        if engine is None:
            raise NotReady("the driver has no engine.json that pio-tf can read", next_step="pio-tf check")
        es = self._evidence.elasticsearch()
        if es is None or not (traces.aliases or traces.metadata):
            raise NotReady(
                "pio-tf finds no models of this engine",
                cause="neither PredictionIO's metadata nor a model is in an Elasticsearch that pio-tf.hcl names",
                next_step="look into PredictionIO's metadata: the newest engine instance that is COMPLETED is served",
            )
        return es, traces


def find_model(models: Sequence[KeptModel], wanted: str) -> KeptModel:
    """Return the model that a user means: by its name or a part of it; empty: the first one that is served.

    Raises:
        ConfigError: no model, or several, are called so.
    """
    if not wanted:
        found = [one for one in models if one.state == "served"][:1]
    else:
        exact = [one for one in models if one.id == wanted]
        found = exact or [one for one in models if wanted.lower() in one.id.lower()]
    if len(found) == 1:
        return found[0]
    what = f"several models are called {wanted!r}" if found else f"there is no model {wanted!r}"
    if not wanted:
        what = "no model is served"
    raise ConfigError(what, cause=", ".join(one.id for one in found or models), next_step=_LIST)


def choose_models(models: Sequence[KeptModel], wanted: str, *, force: bool = False) -> tuple[KeptModel, ...]:
    """Return the models that a rollback serves: the one that a user means, or the newest kept one of each alias.

    Args:
        wanted: as of :func:`find_model`; empty: the newest.
        force: also a model whose mapping differs from that of the served one.

    Raises:
        ConfigError: no model, or several, are called so, or it is served already.
        NotReady: no model is kept, it is not complete, or its mapping has changed.
    """
    if wanted:
        chosen = [find_model(models, wanted)]
    else:
        chosen = [_newest(models, alias) for alias in dict.fromkeys(one.alias for one in models)]
    if not chosen:
        raise _nothing_kept("there is no model yet")
    for one in chosen:
        if one.state == "served":
            raise ConfigError(f"{one.id} is served already", next_step=_LIST)
        if one.state == "incomplete":
            raise NotReady(f"{one.id} is no complete copy: it was interrupted", next_step=f"choose another: {_LIST}")
        if one.changed and not force:
            raise NotReady(
                f"the mapping of {one.id} differs from that of the model that is served",
                cause="; ".join(one.changed),
                next_step="if your prediction servers do not need what differs: pio-tf model rollback --force",
                details={"changed": list(one.changed)},
            )
    return tuple(chosen)


def _newest(models: Sequence[KeptModel], alias: str) -> KeptModel:
    ours = [one for one in models if one.alias == alias]
    served = {one.id for one in ours if one.state == "served"}
    kept = next((one for one in ours if one.state == "kept" and one.copy_of not in served), None)
    if kept is None:
        of = f"the one that is served as {alias}" if alias else "the one that is served"
        raise _nothing_kept(f"no model before {of} is kept")
    return kept


def _nothing_kept(what: str) -> NotReady:
    return NotReady(
        what,
        cause="the Universal Recommender removes the old model; a training keeps it with model.keep_models = 2",
        next_step="set model.keep_models in pio-tf.hcl, then train",
    )


async def _of_index(
    es: ElasticsearchClient, model: ModelIndex, models: Sequence[ModelIndex], instance: str
) -> KeptModel:
    served = next((one for one in models if one.served), model)
    return KeptModel(
        id=model.name,
        state=model.state,
        alias=model.alias,
        documents=await count_documents(es, model),
        bytes=await size_of(es, model),
        trained=model.trained,
        engine_instance=model.note.instance or (instance if model.served else ""),
        copy_of=model.note.source,
        kept_before=model.note.run,
        rejected=model.note.rejected,
        changed=tuple(changed_fields(model, served)),
    )


def _of_instance(instance: EngineInstance, served: str) -> KeptModel:
    trained = datetime.fromtimestamp(instance.started, timezone.utc).isoformat(timespec="seconds")
    others: ModelState = "kept" if instance.status == COMPLETED else "rejected"
    state = "served" if instance.id == served else others
    return KeptModel(instance.id, state, trained=trained, engine_instance=instance.id)
