"""The models that are served and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Outputs, ResultData, Table, TextOrNone
from pio_tf.training.custody.model_index import ModelState

if TYPE_CHECKING:
    from pio_tf.training.custody.models import KeptModel, Rollback


class ModelData(ResultData):
    """A model: an index in Elasticsearch, or an engine instance if PredictionIO stores models elsewhere."""

    id: str = Field(description="the index; of another engine than the Universal Recommender, the engine instance")
    state: ModelState = Field(
        description="rejected: it failed a check, or you went back to another; incomplete: an interrupted copy"
    )
    alias: TextOrNone = Field(description="of the Universal Recommender (`indexName`); null: another engine")
    documents: int | None = Field(description="null: its model is not in Elasticsearch")
    bytes: int | None = Field(description="in Elasticsearch, replicas included; null: unknown")
    trained: TextOrNone = Field(description="ISO 8601: when its training began, or its index was made; null: unknown")
    engine_instance: TextOrNone = Field(description="PredictionIO's, by id; null: unknown")
    copy_of: TextOrNone = Field(description="the index that it was copied from; null: it is no copy")
    kept_before: TextOrNone = Field(description="the run before which it was copied; null: it is no copy")
    rejected: TextOrNone = Field(description="why it is not to be served; null: it may be")
    changed: list[str] = Field(description="differences of its mapping from that of the served model")

    def __str__(self) -> str:
        """Return it in one line."""
        facts = [
            self.state,
            "" if self.documents is None else f"{self.documents} documents",
            f"trained at {self.trained}" if self.trained else "",
        ]
        return f"{self.id}: {', '.join(filter(None, facts))}"


class ModelsResult(CommandResult):
    """The models: the one that is served, then the others, the newest first."""

    ROWS = "models"
    SPARE = ("ENGINE INSTANCE", "MB")
    COLUMNS: ClassVar[Columns] = {
        "MODEL": "id",
        "STATE": "state",
        "DOCUMENTS": "documents",
        "MB": lambda model: "" if model.bytes is None else f"{model.bytes / 1e6:,.1f}",
        "TRAINED": lambda model: (model.trained or "").replace("T", " ").replace("+00:00", " UTC"),
        "ENGINE INSTANCE": "engine_instance",
    }

    models: list[ModelData]

    @classmethod
    def of(cls, models: Sequence[KeptModel]) -> ModelsResult:
        """Return the result of ``model list``."""
        return cls.model_validate({"models": [_plain(one) for one in models]})

    def closing(self) -> str:
        return "" if self.models else "no models yet: pio-tf train"


class ModelDetailsResult(CommandResult):
    """One model."""

    model: ModelData

    @classmethod
    def of(cls, model: KeptModel) -> ModelDetailsResult:
        """Return the result of ``model show``."""
        return cls.model_validate({"model": _plain(model)})

    def table(self) -> Table:
        """Return what is known of it."""
        facts = self.model.model_dump(exclude={"changed"})
        rows = [(name.replace("_", " "), str(value)) for name, value in facts.items() if value is not None]
        return Table(("FACT", "VALUE"), rows, wraps=True)

    def closing(self) -> str:
        if not self.model.changed:
            return ""
        return f"its mapping differs from that of the model that is served: {'; '.join(self.model.changed)}"


class RollbackResult(CommandResult):
    """A change of the model that is served."""

    OUTPUTS: ClassVar[Outputs] = {
        "served": (lambda result: ",".join(result.served.values()), "the models that are served, separated by commas")
    }

    served: Mapping[str, str] = Field(description="the model by alias; by the empty text of an engine without one")
    before: list[str] = Field(description="those that were served")
    instances: Mapping[str, str] = Field(description="engine instances by id, with the status that they have now")

    @classmethod
    def of(cls, done: Rollback) -> RollbackResult:
        """Return the result of ``model rollback``."""
        return cls.model_validate({**asdict(done), "before": list(done.before)})

    def closing(self) -> str:
        lines = [f"{one} is served; before: {', '.join(self.before) or 'none'}" for one in self.served.values()]
        lines += [f"engine instance {one} is {status}" for one, status in self.instances.items()]
        return "\n".join(lines)


def _plain(model: KeptModel) -> dict[str, object]:
    return {**asdict(model), "changed": list(model.changed)}
