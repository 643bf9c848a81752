"""A stand-in for Elasticsearch 5.6: the REST API as far as PredictionIO, the Universal Recommender and pio-tf use it.

It says in ``/`` that it is a stand-in, and accepts any user and password.
"""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from pio_tf.sandbox.documents import Documents, Json, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAME = "pio-tf sandbox stand-in for Elasticsearch"
CLUSTER = "elasticsearch"
"""cluster.name: the default of Elasticsearch and of pio-tf.hcl."""
VERSION = "5.6.9"
"""The version for PredictionIO 0.14.0, which the sandbox imitates."""

Answer: TypeAlias = tuple[int, Any]

_WRITE = ["PUT", "POST"]
_ASK = ["GET", "POST"]
_ACKNOWLEDGED = {"acknowledged": True}


class LocalElasticsearch:
    """The WSGI application. It starts empty, and handles one request at a time."""

    def __init__(self) -> None:
        self.documents = Documents()
        self._lock = Lock()
        rules: tuple[tuple[str, list[str], Callable[..., Answer]], ...] = (
            ("/", ["GET"], self._root),
            ("/_cluster/health", ["GET"], self._health),
            ("/_cluster/health/<index>", ["GET"], self._health),
            ("/_aliases", ["POST"], self._change_aliases),
            ("/_alias", ["GET"], self._aliases),
            ("/_alias/<alias>", ["GET"], self._aliases),
            ("/<index>/_alias", ["GET"], self._aliases),
            ("/<index>/_alias/<alias>", ["GET"], self._aliases),
            ("/_search", _ASK, self._search),
            ("/<index>/_search", _ASK, self._search),
            ("/<index>/<kind>/_search", _ASK, self._search),
            ("/<index>/_count", _ASK, self._count),
            ("/<index>/<kind>/_count", _ASK, self._count),
            ("/_bulk", _WRITE, self._bulk),
            ("/<index>/<kind>/_bulk", _WRITE, self._bulk),
            ("/<index>/_refresh", _ASK, self._refresh),
            ("/<index>/_mapping/<kind>", ["GET", "PUT"], self._mapping),
            ("/<index>", ["GET", "PUT", "DELETE"], self._index),
            ("/<index>/<kind>", ["POST"], self._document),
            ("/<index>/<kind>/<identifier>", ["GET", "PUT", "POST", "DELETE"], self._document),
        )
        self._map = Map(
            [Rule(path, methods=methods, endpoint=handler) for path, methods, handler in rules], strict_slashes=False
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        try:
            handler, arguments = self._map.bind_to_environ(environ).match()
            with self._lock:
                status, body = handler(request, **arguments)
        except Refused as refused:
            status, body = refused.status, refused.body
        except MethodNotAllowed:
            status, body = 405, {"error": f"Incorrect HTTP method for uri [{request.path}]", "status": 405}
        except HTTPException:
            reason = f"{NAME} has no handler for uri [{request.path}] and method [{request.method}]"
            status, body = 400, {"error": reason, "status": 400}
        response = Response(json.dumps(body), status, content_type="application/json; charset=UTF-8")
        return response(environ, start_response)

    def _root(self, request: Request) -> Answer:  # noqa: ARG002 - every handler gets the request
        version = {"number": VERSION, "build_snapshot": False, "lucene_version": "6.6.1"}
        return 200, {"name": "sandbox", "cluster_name": CLUSTER, "version": version, "tagline": NAME}

    def _health(self, request: Request, index: str = "_all") -> Answer:  # noqa: ARG002
        shards = 5 * len(self.documents.find(index))
        counts = {"number_of_nodes": 1, "number_of_data_nodes": 1, "active_primary_shards": shards}
        return 200, {"cluster_name": CLUSTER, "status": "green", "timed_out": False, **counts, "active_shards": shards}

    def _change_aliases(self, request: Request) -> Answer:
        self.documents.change_aliases(_body(request).get("actions", []))
        return 200, _ACKNOWLEDGED

    def _aliases(self, request: Request, index: str = "_all", alias: str = "*") -> Answer:  # noqa: ARG002
        named = {one.name for one in self.documents.with_alias(alias)}
        found = [one for one in self.documents.find(index) if one.name in named or alias == "*"]
        if not found and alias != "*":
            return 404, {"error": f"alias [{alias}] missing", "status": 404}
        return 200, {one.name: {"aliases": one.described_aliases()} for one in found}

    def _search(self, request: Request, index: str = "_all", kind: str | None = None) -> Answer:
        return 200, self.documents.search(index, kind, {**_sizes(request), **_body(request)})

    def _count(self, request: Request, index: str, kind: str | None = None) -> Answer:
        return 200, self.documents.count(index, kind, _body(request))

    def _bulk(self, request: Request, index: str | None = None, kind: str | None = None) -> Answer:
        lines = iter([_parsed(line) for line in request.get_data().splitlines() if line.strip()])
        items = []
        for action in lines:
            ((verb, target),) = action.items()
            if verb not in ("index", "create"):
                raise Refused(400, "illegal_argument_exception", f"{NAME} knows no bulk action [{verb}]")
            name, document_type = target.get("_index", index), target.get("_type", kind)
            written = self.documents.put(name, document_type, target.get("_id"), next(lines))
            items.append({verb: {**written, "status": 201 if written["created"] else 200}})
        return 200, {"took": 1, "errors": False, "items": items}

    def _refresh(self, request: Request, index: str) -> Answer:  # noqa: ARG002
        self.documents.find(index)
        return 200, {"_shards": {"total": 5, "successful": 5, "failed": 0}}

    def _mapping(self, request: Request, index: str, kind: str) -> Answer:
        indices = self.documents.find(index)
        if request.method == "PUT":
            for one in indices:
                one.mappings[kind] = _body(request).get(kind, _body(request))
            return 200, _ACKNOWLEDGED
        found = {one.name: {"mappings": {kind: one.mappings[kind]}} for one in indices if kind in one.mappings}
        return (200, found) if found else (404, {"error": f"type[[{kind}]] missing", "status": 404})

    def _index(self, request: Request, index: str) -> Answer:
        if request.method == "PUT":
            self.documents.create(index, _body(request))
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": index}
        if request.method == "DELETE":
            self.documents.delete(index)
            return 200, _ACKNOWLEDGED
        return 200, {one.name: one.describe() for one in self.documents.find(index)}

    def _document(self, request: Request, index: str, kind: str, identifier: str | None = None) -> Answer:
        if request.method in _WRITE:
            written = self.documents.put(index, kind, identifier, _body(request))
            return (201 if written["created"] else 200), written
        assert identifier is not None  # noqa: S101 - without an id, the rule has only POST
        found = self.documents.get(index, kind, identifier, remove=request.method == "DELETE")
        return (200, found) if found else (404, {"_index": index, "_type": kind, "_id": identifier, "found": False})


def _body(request: Request) -> Json:
    data = request.get_data()
    return _parsed(data) if data.strip() else {}


def _parsed(data: bytes) -> Json:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Refused(400, "json_parse_exception", str(error)) from error
    if not isinstance(value, dict):
        raise Refused(400, "parsing_exception", "an object is expected")
    return value


def _sizes(request: Request) -> Json:
    return {name: int(request.args[name]) for name in ("size", "from") if name in request.args}
