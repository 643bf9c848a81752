"""The indices in Elasticsearch that hold models of the Universal Recommender, and pio-tf's note in each copy.

The Universal Recommender writes each model to a new index, ``<alias>_<milliseconds>``. In one request, it moves its
alias there and removes the index that had the alias; then it removes every other index that had it
(``EsClient.hotSwap``). So a copy without the alias, under a name of its own, outlives every training.

pio-tf's note is in ``_meta`` of the index's mapping: it is made and removed together with the index, and every client
finds it.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import asdict

from pio_tf.errors import RemoteError
from pio_tf.json_text import as_object
from pio_tf.training.elasticsearch_room import stored_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.training.elasticsearch_client import ElasticsearchClient

ModelState: TypeAlias = Literal["served", "kept", "rejected", "incomplete"]
"""``rejected``: it failed a check, or a user went back to an older one. ``incomplete``: a copy that was interrupted."""
COPY_PREFIX = "pio-tf-model-"
RUN_IN_NAME = r"\d{8}t\d{6}z-[0-9a-f]{4}"
"""Regular expression of a run's id in the name of a copy."""
_COPY = re.compile(rf"{COPY_PREFIX}(.+)-({RUN_IN_NAME})")
META = "pio-tf"
"""The key of pio-tf's note in ``_meta``."""
MILLISECONDS = 14
"""Digits of a time in the name of an index: 13 until the year 2286."""
NO_TYPE = "_default_"
"""A template of types in indices of Elasticsearch 5, and none itself."""


class ModelNote(Struct, frozen=True):
    """What pio-tf has written about a model into its index."""

    source: str = ""
    """The index that it was copied from."""
    run: str = ""
    """The run before which it was copied."""
    trained: str = ""
    """When it was trained: ISO 8601, UTC; empty: unknown."""
    instance: str = ""
    """Id of its engine instance; empty: unknown."""
    documents: int = 0
    alias: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the alias: a filter, a routing."""
    complete: bool = False
    rejected: str = ""
    """Why it is not to be served, in one sentence."""

    @classmethod
    def read(cls, meta: Any) -> ModelNote:  # noqa: ANN401 - JSON
        """Read ``_meta`` of a mapping. Ignore what a newer pio-tf has added."""
        found = meta.get(META) if isinstance(meta, dict) else None
        if not isinstance(found, dict):
            return cls()
        known = {name: type(default) for name, default in asdict(cls()).items()}
        values: dict[str, Any] = {name: one for name, one in found.items() if isinstance(one, known.get(name, ()))}
        return cls(**values)


class ModelIndex(Struct, frozen=True):
    """An index that holds a model, as Elasticsearch describes it."""

    name: str
    alias: str
    aliases: Mapping[str, Any]
    """All aliases of the index, with their settings."""
    settings: Mapping[str, Any]
    mappings: Mapping[str, Any]
    """By type."""

    @property
    def type(self) -> str:
        """The type of its documents: the Universal Recommender has one an index; empty: none."""
        return next((name for name in self.mappings if name != NO_TYPE), "")

    @property
    def note(self) -> ModelNote:
        """pio-tf's note in it; an empty one if there is none."""
        return ModelNote.read(as_object(self.mappings.get(self.type)).get("_meta"))

    @property
    def is_copy(self) -> bool:
        """Whether pio-tf has made it."""
        return is_copy_of(self.name, self.alias)

    @property
    def served(self) -> bool:
        """Whether its alias points to it."""
        return self.alias in self.aliases

    @property
    def state(self) -> ModelState:
        """Its place among the models of its alias."""
        if self.served:
            return "served"
        if self.is_copy and not self.note.complete:
            return "incomplete"
        return "rejected" if self.note.rejected else "kept"

    @property
    def made(self) -> float | None:
        """When the Universal Recommender made it, in seconds since 1970 by the driver's clock; None: it did not."""
        milliseconds = self.name.removeprefix(f"{self.alias}_")
        return int(milliseconds) / 1000 if milliseconds.isdigit() and len(milliseconds) <= MILLISECONDS else None

    @property
    def trained(self) -> str:
        """When it was trained: ISO 8601, UTC; empty: unknown."""
        if self.note.trained or self.made is None:
            return self.note.trained
        return datetime.fromtimestamp(self.made, timezone.utc).isoformat(timespec="seconds")

    @property
    def path(self) -> str:
        """The index's path."""
        return f"/{quote(self.name, safe='')}"

    def noted(self, note: ModelNote) -> tuple[str, dict[str, Any]]:
        """Return path and body of the request that writes a note into the index, and leaves the rest of ``_meta``."""
        meta = as_object(as_object(self.mappings.get(self.type)).get("_meta"))
        return f"{self.path}/_mapping/{quote(self.type, safe='')}", {"_meta": {**meta, META: asdict(note)}}


def copy_name(alias: str, run: str) -> str:
    """Return the name of the copy that is made before a run."""
    return f"{COPY_PREFIX}{alias}-{run.lower()}"


def is_copy_of(name: str, alias: str) -> bool:
    """Return whether an index is a copy of a model behind this alias, and not of one like it: ``ur``, ``ur-2``."""
    found = _COPY.fullmatch(name)
    return found is not None and found[1] == alias


async def read_models(es: ElasticsearchClient, alias: str) -> list[ModelIndex]:
    """Return the models of an alias: the one that is served, then the others, the newest first.

    An index that a training has left unfinished is none of them.

    Raises:
        RemoteError: Elasticsearch does not answer.
    """
    behind = await _behind(es, alias)
    word = quote(alias, safe="")
    patterns = [*(quote(name, safe="") for name in behind), f"{word}_*", f"{COPY_PREFIX}{word}-*"]
    answer = await es.get(f"/{','.join(patterns)}?ignore_unavailable=true")
    models = [_model(name, alias, found) for name, found in as_object(answer).items() if isinstance(found, dict)]
    ours = [one for one in models if one.served or one.is_copy or (_is_universal(one) and one.note != ModelNote())]
    newest_first = sorted(ours, key=lambda one: (one.trained, one.note.run, one.name), reverse=True)
    return sorted(newest_first, key=lambda one: not one.served)


async def count_documents(es: ElasticsearchClient, model: ModelIndex, query: Mapping[str, Any] | None = None) -> int:
    """Return how many documents an index has, or how many of them a query finds.

    Raises:
        RemoteError: Elasticsearch does not answer, or refuses the query.
    """
    answer = await es.search(f"{model.path}/_count", {"query": dict(query)} if query else {})
    return int(as_object(answer).get("count", 0))


async def size_of(es: ElasticsearchClient, model: ModelIndex) -> int | None:
    """Return the bytes that an index takes, replicas included; None: unknown."""
    try:
        answer = await es.get(f"{model.path}/_stats/store")
    except RemoteError:
        return None
    return stored_bytes(as_object(answer))


def changed_fields(kept: ModelIndex, served: ModelIndex) -> list[str]:
    """Return what readers of the served model may ask for, and the kept one has not, or otherwise."""
    if kept.type != served.type:
        return [f"its type is {kept.type}, not {served.type}"]
    old, new = (as_object(as_object(one.mappings.get(one.type)).get("properties")) for one in (kept, served))
    missing = [f"{name} is missing" for name in new if name not in old]
    kinds = {name: (_kind(old[name]), _kind(new[name])) for name in new if name in old}
    return missing + [f"{name} is {was}, not {now}" for name, (was, now) in kinds.items() if was != now]


def _kind(mapping: Any) -> str:  # noqa: ANN401 - JSON
    return str(as_object(mapping).get("type", "object"))


def _is_universal(model: ModelIndex) -> bool:
    return re.fullmatch(rf"{re.escape(model.alias)}_\d+", model.name) is not None


async def _behind(es: ElasticsearchClient, alias: str) -> list[str]:
    try:
        return list(as_object(await es.get(f"/_alias/{quote(alias, safe='')}")))
    except RemoteError as error:
        if error.details.get("status") == 404:
            return []
        raise


def _model(name: str, alias: str, found: Mapping[str, Any]) -> ModelIndex:
    aliases, settings, mappings = (as_object(found.get(part)) for part in ("aliases", "settings", "mappings"))
    return ModelIndex(name, alias, aliases, as_object(settings.get("index")), mappings)
