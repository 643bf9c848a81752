"""The checks of a new model: its number of documents, and a query that must find one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import asdict

from pio_tf.errors import RemoteError, TrainingFailed
from pio_tf.training.custody.custody import CHECKS, DOCUMENTS, SAMPLE_QUERY
from pio_tf.training.custody.model_index import count_documents, read_models
from pio_tf.training.proof import CLOCK_STEP, Proof

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.blocks import ModelBlock
    from pio_tf.training.custody.model_index import ModelIndex
    from pio_tf.training.elasticsearch_client import ElasticsearchClient
    from pio_tf.training.runs.record import RunRecord


async def check_models(
    es: ElasticsearchClient, record: RunRecord, aliases: Sequence[str], limits: ModelBlock, before: Mapping[str, int]
) -> tuple[Proof, ...]:
    """Return a proof for each limit that pio-tf.hcl sets. If Elasticsearch does not answer, it is None.

    So it is if the model that is served is of another run: this one may be looked at days later.

    Args:
        record: the run that has ended.
        before: the documents behind each alias before the run, as far as they are known.
    """
    found = [await _check_alias(es, record, alias, limits, before.get(alias)) for alias in aliases]
    return tuple(proof for proofs in found for proof in proofs)


async def _check_alias(
    es: ElasticsearchClient, record: RunRecord, alias: str, limits: ModelBlock, before: int | None
) -> list[Proof]:
    proofs: list[Proof] = []
    try:
        for model in [one for one in await read_models(es, alias) if one.served]:
            if not _is_of(record, model):
                proofs.append(Proof(DOCUMENTS, None, f"{model.name}, which is served, is not of this run"))
                continue
            if limits.min_documents or limits.max_shrink:
                proofs.append(judge_documents(model, await count_documents(es, model), limits, before))
            if limits.sample_query:
                proofs.append(_judge_query(model, await count_documents(es, model, limits.sample_query)))
    except RemoteError as error:
        proofs.append(Proof(DOCUMENTS, None, f"alias {alias} could not be read: {error.what} ({error.cause})"))
    return proofs


def _is_of(record: RunRecord, model: ModelIndex) -> bool:
    """Return whether a model may be that of a run, by the driver's clock. A copy is not."""
    if model.is_copy or model.made is None or record.started is None or record.ended is None:
        return not model.is_copy
    return record.started - CLOCK_STEP <= model.made <= record.ended + CLOCK_STEP


def judge_documents(model: ModelIndex, documents: int, limits: ModelBlock, before: int | None) -> Proof:
    """Return whether a model has documents enough.

    Args:
        before: the documents of the model before it; None: unknown, or there was none.
    """
    has = f"{model.name} has {_count(documents)}"
    if limits.min_documents and documents < limits.min_documents:
        return Proof(DOCUMENTS, False, f"{has}, fewer than model.min_documents ({limits.min_documents})")
    if before is None:
        held = True if limits.min_documents else None
        return Proof(DOCUMENTS, held, f"{has}; how many the model before had is unknown")
    if documents < before * limits.smallest_share:
        less = f"{1 - documents / before:.0%} fewer than the {before} of the model before"
        return Proof(DOCUMENTS, False, f"{has}, {less}: model.max_shrink is {limits.max_shrink}")
    return Proof(DOCUMENTS, True, f"{has}; before: {before}")


def is_unfit(proofs: Sequence[Proof]) -> bool:
    """Return whether a model has failed a check."""
    return any(proof.held is False and proof.name in CHECKS for proof in proofs)


def refuse_unfit(proofs: Sequence[Proof]) -> TrainingFailed | None:
    """Return the error for a training whose model fails a check."""
    if not is_unfit(proofs):
        return None
    failed = [proof.detail for proof in proofs if proof.held is False]
    return TrainingFailed(
        "the new model fails the checks of pio-tf.hcl",
        cause="; ".join(failed),
        next_step="look for missing events in the training's output (`pio-tf logs`)",
        details={"proofs": [asdict(proof) for proof in proofs], "sign": "unfit-model"},
    )


def _judge_query(model: ModelIndex, found: int) -> Proof:
    if found:
        return Proof(SAMPLE_QUERY, True, f"model.sample_query finds {_count(found)} in {model.name}")
    return Proof(SAMPLE_QUERY, False, f"model.sample_query finds nothing in {model.name}")


def _count(documents: int) -> str:
    return f"{documents} document{'' if documents == 1 else 's'}"
