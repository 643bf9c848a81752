"""`Custodian`: looks after the model that is served, before and after a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import Done, Warned
from pio_tf.training.custody.custody import Custody
from pio_tf.training.custody.model_checks import check_models, is_unfit
from pio_tf.training.custody.model_index import count_documents, read_models
from pio_tf.training.custody.model_indices import ModelIndices
from pio_tf.training.custody.served_instance import ServedInstance
from pio_tf.training.proof import ENGINE_INSTANCE, Evidence, Traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.context import ClusterContext
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.custody.model_index import ModelIndex
    from pio_tf.training.elasticsearch_client import ElasticsearchClient
    from pio_tf.training.proof import Proof
    from pio_tf.training.runs.record import RunRecord


class Custodian:
    """Looks after the model of one engine, through the driver."""

    def __init__(self, context: ClusterContext, remote: ClusterConnection) -> None:
        self._limits = context.config.model
        self._report = context.report
        self._evidence = Evidence(context, remote)

    async def before(self, traces: Traces, run: str, *, skip_copy: bool) -> Custody | None:
        """Count the documents that are served, and copy the model if it is to be kept.

        Put a model back first that an interrupted client has not put back. None: pio-tf.hcl asks for nothing.

        Raises:
            NotReady: the model could not be copied.
        """
        keeps = self._limits.keep_models > 1 and not skip_copy
        if not self._limits.is_used or not traces.aliases or (es := self._evidence.elasticsearch()) is None:
            return None
        counts, kept = dict[str, int](), dict[str, str]()
        try:
            instance = await ServedInstance(es, traces, self._report).find()
            for alias in traces.aliases:
                models = await (self._repaired(es, traces, alias) if keeps else read_models(es, alias))
                served = [one for one in models if one.served]
                counts[alias] = sum([await count_documents(es, one) for one in served])
                if keeps and served and not served[0].note.rejected:
                    copy = await self._keep(es, models, run, counts[alias], instance)
                    kept[alias] = copy.name
        except RemoteError as error:
            if keeps:
                raise NotReady(
                    "the model that is served could not be kept before the training",
                    cause=f"{error.what}: {error.cause}",
                    next_step=f"{error.next_step}; `--skip-check model` trains without a copy",
                    details=error.details,
                ) from error
            self._report(Warned(f"could not count the documents of the model: {error.what} ({error.cause})"))
        return Custody(counts, kept)

    async def judge(self, record: RunRecord) -> tuple[Proof, ...]:
        """Return a proof for each check of the new model."""
        traces = Traces.of(record)
        if not self._limits.is_used or not traces.aliases or (es := self._evidence.elasticsearch()) is None:
            return ()
        return await check_models(es, record, traces.aliases, self._limits, Custody.of(record).documents)

    async def conclude(self, record: RunRecord, proofs: Sequence[Proof]) -> RunRecord:
        """Put the model before back if the new one is unfit; remove old copies after a success. Return the record.

        What can't be done is a warning: the run's verdict stands.
        """
        unfit, traces = is_unfit(proofs), Traces.of(record)
        prunes = record.state == "succeeded" and self._limits.keep_models > 1
        if not (unfit or prunes) or not traces.aliases or (es := self._evidence.elasticsearch()) is None:
            return record
        try:
            if unfit:
                return await self._put_back(es, record, traces, proofs)
            for alias in traces.aliases:
                await ModelIndices(es, self._report).prune(alias, copies=self._limits.keep_models - 1)
        except RemoteError as error:
            undone = "put the model before back" if unfit else "remove old models"
            self._report(Warned(f"could not {undone}: {error.what} ({error.cause})"))
        return record

    async def _repaired(self, es: ElasticsearchClient, traces: Traces, alias: str) -> list[ModelIndex]:
        """Put a model back that was not put back, and remove the spare ones. Return those that are left."""
        models = await read_models(es, alias)
        target = next((one for one in models if one.state == "kept"), None)
        rejected = next((one for one in models if one.served and one.note.rejected), None)
        indices = ModelIndices(es, self._report)
        if rejected and target:
            await indices.serve(target, models, because=rejected.note.rejected)
            await ServedInstance(es, traces, self._report).change(target.note.instance)
            self._report(Warned(f"{rejected.name} was still served ({rejected.note.rejected}); {target.name} is now"))
        elif rejected:
            self._report(
                Warned(f"{rejected.name} is served ({rejected.note.rejected}), and there is no copy before it")
            )
        await indices.prune(alias, copies=len(models))
        return await read_models(es, alias)

    async def _keep(
        self, es: ElasticsearchClient, models: Sequence[ModelIndex], run: str, documents: int, instance: str
    ) -> ModelIndex:
        """Return the copy of the model that is served: a new one, or that of a run that did not replace it."""
        model, *others = (one for one in models if one.served)
        if others:
            raise RemoteError(
                f"alias {model.alias} points to {len(others) + 1} indices",
                cause=", ".join(one.name for one in (model, *others)),
                next_step="remove the alias from all but the model: POST /_aliases",
            )
        for one in models:
            if one.state == "kept" and (one.note.source, one.note.documents) == (model.name, documents):
                self._report(Done(f"the model {model.name} is kept as {one.name} already"))
                return one
        instance = model.note.instance or instance
        return await ModelIndices(es, self._report).copy(model, run, documents=documents, instance=instance)

    async def _put_back(
        self, es: ElasticsearchClient, record: RunRecord, traces: Traces, proofs: Sequence[Proof]
    ) -> RunRecord:
        custody, done = Custody.of(record), dict[str, str]()
        own = next((proof.model for proof in proofs if proof.name == ENGINE_INSTANCE), "")
        instances, indices = ServedInstance(es, traces, self._report), ModelIndices(es, self._report)
        why = f"run {record.id}: " + "; ".join(one.detail for one in proofs if one.held is False)
        with contextlib.suppress(RemoteError):  # `pio deploy` must not take it, whether there is a copy or not
            await instances.reject(own)
        for alias in traces.aliases:
            models = await read_models(es, alias)
            target = next((one for one in models if one.name == custody.kept.get(alias)), None)
            if target is None:
                for one in (one for one in models if one.served):
                    await indices.note(one, replace(one.note, rejected=why, instance=own, complete=True))
                continue
            await indices.serve(target, models, because=why, instance=own)
            await instances.change(target.note.instance)
            done[alias] = target.name
            self._report(Done(f"the model before is served again: alias {alias} points to {target.name}"))
        return record.with_(custody=asdict(Custody(custody.documents, custody.kept, done)))


def next_step_after(record: RunRecord) -> str:
    """Return the next step after a run whose model was unfit."""
    custody = Custody.of(record)
    if custody.put_back:
        back = f"the model before is served again ({', '.join(custody.put_back.values())})"
        return f"{back}; look for missing events in the output (`pio-tf logs`) before you train again"
    if custody.kept:
        return "`pio-tf model rollback` puts the model before back"
    return "the new model is served, because no copy of the one before was kept: set model.keep_models = 2"
