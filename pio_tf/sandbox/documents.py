"""The data of the stand-in for Elasticsearch: indices, aliases, documents, and the most common queries.

It is in memory and ends with the sandbox. Mappings have no effect: every text is a keyword, and a text that is an ISO
date compares as a date. Answers have the form of Elasticsearch 5.6.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Json: TypeAlias = dict[str, Any]
Step: TypeAlias = "Callable[[], object]"

_DEFAULT_SIZE = 10
_SHARDS = {"total": 5, "successful": 5, "skipped": 0, "failed": 0}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: bool(value > bound),
    "gte": lambda value, bound: bool(value >= bound),
    "lt": lambda value, bound: bool(value < bound),
    "lte": lambda value, bound: bool(value <= bound),
}


class Refused(Exception):
    """A request that Elasticsearch would refuse: HTTP's ``status``, and the answer's ``body``."""

    def __init__(self, status: int, kind: str, reason: str, **details: object) -> None:
        super().__init__(reason)
        error = {"type": kind, "reason": reason, **details}
        self.status = status
        self.body: Json = {"error": {"root_cause": [error], **error}, "status": status}


@dataclass
class Document:
    """One version of a document."""

    type: str
    id: str
    source: Json
    version: int = 1


@dataclass
class Index:
    """One index, with its documents by type and id."""

    name: str
    created: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    """Milliseconds since 1970."""
    aliases: set[str] = field(default_factory=set)
    mappings: Json = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    """Those that were given: they have no effect."""
    documents: dict[tuple[str, str], Document] = field(default_factory=dict)

    def describe(self) -> Json:
        """Return the answer of ``GET /index``."""
        usual = {"number_of_shards": "5", "number_of_replicas": "1", **self.settings}
        settings = {**usual, "creation_date": str(self.created), "provided_name": self.name}
        return {"aliases": self.described_aliases(), "mappings": self.mappings, "settings": {"index": settings}}

    @property
    def size(self) -> int:
        """Its size in bytes, about: the length of its documents as JSON."""
        return sum(len(json.dumps(document.source)) for document in self.documents.values())

    def map(self, kind: str, mapping: Json) -> None:
        """Add to the mapping of a type: fields to its fields; anything else replaces what was there."""
        old = self.mappings.get(kind, {})
        properties = {**old.get("properties", {}), **mapping.get("properties", {})}
        self.mappings[kind] = {**old, **mapping, **({"properties": properties} if properties else {})}

    def set(self, settings: Json) -> None:
        """Change settings, written as ``{"index": {…}}``; None removes one."""
        changed = {**self.settings, **settings.get("index", {})}
        self.settings = {name: str(value) for name, value in changed.items() if value is not None}

    def described_aliases(self) -> Json:
        """Return the aliases as ``GET /_alias`` does."""
        return {alias: {} for alias in sorted(self.aliases)}


class Documents:
    """All indices of one Elasticsearch. It is not thread-safe."""

    def __init__(self) -> None:
        self._indices: dict[str, Index] = {}

    def create(self, name: str, body: Json) -> None:
        """Make an index.

        Raises:
            Refused: an index or alias with this name exists.
        """
        if name in self._indices or self._behind(name):
            raise Refused(400, "index_already_exists_exception", f"index [{name}] already exists", index=name)
        index = self._indices[name] = Index(name, aliases=set(body.get("aliases", {})))
        index.mappings.update(body.get("mappings", {}))
        index.set(body.get("settings", {}))

    def delete(self, expression: str) -> None:
        """Remove indices with their documents.

        Raises:
            Refused: one of them does not exist.
        """
        for index in self.find(expression):
            del self._indices[index.name]

    def copy(self, source: str, target: str) -> int:
        """Write the documents of indices to another one, as ``_reindex`` does. Return their number.

        Raises:
            Refused: there is no such source.
        """
        found = [document for index in self.find(source) for document in index.documents.values()]
        for document in found:
            self.put(target, document.type, document.id, document.source)
        return len(found)

    def find(self, expression: str, *, missing: bool = False) -> list[Index]:
        """Return the indices that a path names: names, aliases and patterns, separated by commas.

        Args:
            missing: whether names may have no index.

        Raises:
            Refused: there is no index with a name without ``*``.
        """
        found: dict[str, Index] = {}
        for part in expression.split(","):
            pattern = "*" if part in ("", "_all") else part
            indices = [index for index in self._indices.values() if _named(index, pattern)]
            if not indices and "*" not in pattern and not missing:
                raise Refused(404, "index_not_found_exception", "no such index", index=part)
            found.update({index.name: index for index in indices})
        return list(found.values())

    def with_alias(self, pattern: str) -> list[Index]:
        """Return the indices with an alias that matches; there may be none."""
        return [one for one in self._indices.values() if any(fnmatchcase(alias, pattern) for alias in one.aliases)]

    def put(self, name: str, kind: str, identifier: str | None, source: Json) -> Json:
        """Write a document, with a new id of Elasticsearch's form if it has none. A missing index is created."""
        index = self._one(name)
        identifier = identifier or base64.urlsafe_b64encode(secrets.token_bytes(15)).decode()
        before = index.documents.get((kind, identifier))
        document = Document(kind, identifier, source, version=before.version + 1 if before else 1)
        index.documents[kind, identifier] = document
        index.mappings.setdefault(kind, {})
        result = "updated" if before else "created"
        return {**_address(index, document), "result": result, "created": before is None, "_shards": dict(_SHARDS)}

    def get(self, name: str, kind: str, identifier: str, *, remove: bool = False) -> Json | None:
        """Return a document with its address, or None; remove it if asked.

        Raises:
            Refused: there is no such index.
        """
        for index in self.find(name):
            document = index.documents.get((kind, identifier))
            if document is not None and remove:
                del index.documents[kind, identifier]
                return {**_address(index, document), "found": True, "result": "deleted", "_shards": dict(_SHARDS)}
            if document is not None:
                return {**_address(index, document), "found": True, "_source": document.source}
        return None

    def change_aliases(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """Apply all actions of ``POST /_aliases``, or none.

        Raises:
            Refused: an action is unknown, or names what does not exist.
        """
        steps = [step for action in actions for step in self._alias_steps(action, actions)]
        for step in steps:
            step()

    def _alias_steps(self, action: Mapping[str, Any], actions: Sequence[Mapping[str, Any]]) -> list[Step]:
        ((verb, target),) = action.items()
        indices, alias = self.find(target["index"]), target.get("alias", "")
        if verb == "add":
            if alias in self._indices and not any(_removes(one, alias) for one in actions):
                reason = f"Invalid alias name [{alias}], an index exists with the same name as the alias"
                raise Refused(400, "invalid_alias_name_exception", reason)
            return [partial(index.aliases.add, alias) for index in indices]
        if verb == "remove":
            if any(alias not in index.aliases for index in indices):
                raise Refused(404, "aliases_not_found_exception", f"aliases [{alias}] missing")
            return [partial(index.aliases.discard, alias) for index in indices]
        if verb == "remove_index":
            return [partial(self._indices.pop, index.name) for index in indices]
        raise Refused(400, "illegal_argument_exception", f"Alias action [{verb}] not supported")

    def search(self, expression: str, kind: str | None, body: Json) -> Json:
        """Return the answer of ``_search``.

        Raises:
            Refused: there is no such index, or this stand-in does not support the query.
        """
        found = self._matching(expression, kind, body.get("query", {"match_all": {}}))
        order = [_sort_key(entry) for entry in _as_list(body.get("sort", []))]
        for name, descending in reversed(order):
            _sort(found, name, descending=descending)
        start = int(body.get("from", 0))
        shown = found[start : start + int(body.get("size", _DEFAULT_SIZE))]
        hits = []
        for index, document in shown:
            hit = _address(index, document)
            del hit["_version"]
            hit |= {"_score": None if order else 1.0, "_source": _shown(document.source, body.get("_source"))}
            if order:
                hit["sort"] = [_order(document, name) for name, _ in order]
            hits.append(hit)
        totals = {"total": len(found), "max_score": None if order or not found else 1.0, "hits": hits}
        return {"took": 1, "timed_out": False, "_shards": dict(_SHARDS), "hits": totals}

    def count(self, expression: str, kind: str | None, body: Json) -> Json:
        """Return the answer of ``_count``.

        Raises:
            Refused: as in :meth:`search`.
        """
        found = self._matching(expression, kind, body.get("query", {"match_all": {}}))
        return {"count": len(found), "_shards": dict(_SHARDS)}

    def _matching(self, expression: str, kind: str | None, query: Json) -> list[tuple[Index, Document]]:
        matches = _compile(query)
        return [
            (index, document)
            for index in self.find(expression)
            for document in index.documents.values()
            if kind in (None, document.type) and matches(document)
        ]

    def _behind(self, alias: str) -> list[Index]:
        return [index for index in self._indices.values() if alias in index.aliases]

    def _one(self, name: str) -> Index:
        """Return the index to write to."""
        behind = self._behind(name)
        if len(behind) > 1:
            raise Refused(400, "illegal_argument_exception", f"Alias [{name}] has more than one indices associated")
        if behind:
            return behind[0]
        return self._indices.setdefault(name, Index(name))


def _named(index: Index, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (index.name, *index.aliases))


def _removes(action: Mapping[str, Any], name: str) -> bool:
    return "remove_index" in action and action["remove_index"].get("index") == name


def _address(index: Index, document: Document) -> Json:
    return {"_index": index.name, "_type": document.type, "_id": document.id, "_version": document.version}


def _compile(query: Json) -> Callable[[Document], bool]:
    """Return a query as a function of a document."""
    if len(query) != 1:
        raise Refused(400, "parsing_exception", "[query] malformed, one query is expected")
    ((kind, body),) = query.items()
    if kind == "match_all":
        return lambda document: True  # noqa: ARG005 - of every document
    if kind == "bool":
        return _compile_bool(body)
    if kind == "exists":
        return lambda document: bool(_values(document, body["field"]))
    if kind in ("term", "terms"):
        ((name, wanted),) = ((name, value) for name, value in body.items() if name != "boost")
        wanted = wanted.get("value") if isinstance(wanted, dict) else wanted
        allowed = [_comparable(one) for one in _as_list(wanted)]
        return lambda document: any(_comparable(value) in allowed for value in _values(document, name))
    if kind == "range":
        ((name, bounds),) = body.items()
        limits = [(_COMPARISONS[key], _comparable(bound)) for key, bound in bounds.items() if key in _COMPARISONS]
        return lambda document: any(_within(_comparable(value), limits) for value in _values(document, name))
    raise Refused(400, "parsing_exception", f"this stand-in does not support the query [{kind}]")


def _compile_bool(body: Json) -> Callable[[Document], bool]:
    unknown = set(body) - {"must", "filter", "must_not", "should", "minimum_should_match"}
    if unknown:
        raise Refused(400, "parsing_exception", f"this stand-in does not support [bool] with {sorted(unknown)}")
    needed = [_compile(one) for part in ("must", "filter") for one in _as_list(body.get(part, []))]
    refused = [_compile(one) for one in _as_list(body.get("must_not", []))]
    wished = [_compile(one) for one in _as_list(body.get("should", []))]
    least = int(body.get("minimum_should_match", 1 if wished and not needed else 0))

    def matches(document: Document) -> bool:
        return (
            all(one(document) for one in needed)
            and not any(one(document) for one in refused)
            and sum(one(document) for one in wished) >= least
        )

    return matches


def _within(value: object, limits: Iterable[tuple[Callable[[Any, Any], bool], object]]) -> bool:
    return all(type(value) is type(bound) and compare(value, bound) for compare, bound in limits)


def _values(document: Document, name: str) -> list[Any]:
    """Return the values of a field; ``a.b`` is b inside a."""
    value: Any = {**document.source, "_id": document.id}
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return [one for one in _as_list(value) if one is not None]


def _shown(source: Json, asked: object) -> Json:
    """Return the fields that a search asks for: all of them, or those that it names."""
    return source if asked in (None, True) else {name: source[name] for name in _as_list(asked) if name in source}


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _comparable(value: object) -> float | str:
    """Return numbers and dates as numbers (dates as milliseconds since 1970), everything else as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return float(value)
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return str(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000


def _sort(found: list[tuple[Index, Document]], name: str, *, descending: bool) -> None:
    """Sort hits. Those without the field come last in either order."""
    found.sort(key=lambda hit: _order(hit[1], name), reverse=descending)
    found.sort(key=lambda hit: not _values(hit[1], name))


def _order(document: Document, name: str) -> float | str:
    values = [_comparable(value) for value in _values(document, name)]
    return values[0] if values else 0.0


def _sort_key(entry: str | Json) -> tuple[str, bool]:
    """Return the field, and whether the greatest comes first."""
    if isinstance(entry, str):
        return entry, False
    ((name, order),) = entry.items()
    return name, (order.get("order") if isinstance(order, dict) else order) == "desc"
