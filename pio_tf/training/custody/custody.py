"""What the record of a run has about the models before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pio_tf.training.runs.record import RunRecord

DOCUMENTS, SAMPLE_QUERY = CHECKS = ("documents", "sample query")
"""The checks of a new model, as the proofs of a run name them."""


class Custody(Struct, frozen=True):
    """What a run's record has about the models before it, by alias."""

    documents: Mapping[str, int] = field(default_factory=dict)
    """Documents of the model that was served."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """The copy of that model."""
    put_back: Mapping[str, str] = field(default_factory=dict)
    """The copy that is served again, because the new model failed a check."""

    @classmethod
    def of(cls, record: RunRecord) -> Custody:
        """Return that of a run."""
        return cls(
            **{name: record.custody[name] for name in ("documents", "kept", "put_back") if name in record.custody}
        )


def not_put_back(records: Iterable[RunRecord]) -> str:
    """Return what is left to do after the last run that has ended, if its model was unfit; empty: nothing."""
    ended = [one for one in records if one.state not in ("running", "unknown")]
    if not ended:
        return ""
    custody = Custody.of(ended[-1])
    unfit = any(proof.get("held") is False and proof.get("name") in CHECKS for proof in ended[-1].proofs)
    if not unfit or not custody.kept.keys() - custody.put_back.keys():
        return ""
    return (
        f"the model of run {ended[-1].id} failed its checks and may still be served: `pio-tf model rollback` puts the "
        "one before back"
    )
