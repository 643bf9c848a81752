"""Stand-ins on loopback for PredictionIO's services: Elasticsearch, ZooKeeper and an HDFS name node.

Elasticsearch 5.6 has the REST API as far as PredictionIO, the Universal Recommender and pio-tf use it. It says in ``/``
that it is a stand-in, and accepts any user and password. ZooKeeper answers ``ruok``, and the name node accepts
connections: just enough to distinguish a running service from a missing one.
"""

from __future__ import annotations

import json
import socket
import socketserver
from contextlib import ExitStack
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeAlias

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from pio_tf.errors import SandboxError
from pio_tf.sandbox.address_range import FIRST
from pio_tf.sandbox.documents import Documents, Json, Refused
from pio_tf.sandbox.layout import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from ipaddress import IPv4Network

NAME = "pio-tf sandbox stand-in for Elasticsearch"
CLUSTER = "elasticsearch"
"""cluster.name: the default of Elasticsearch and of pio-tf.hcl."""
VERSION = "5.6.9"
"""The version for PredictionIO 0.14.0, which the sandbox imitates."""

Answer: TypeAlias = tuple[int, Any]

_WRITE = ["PUT", "POST"]
_ASK = ["GET", "POST"]
_ACKNOWLEDGED = {"acknowledged": True}
USUAL_PORTS = (9200, 2181, 9000)
"""The usual ports of Elasticsearch, ZooKeeper and a name node."""
_STOP_POLL_SECONDS = 0.1
"""How often a server's thread looks if it is to stop. Connections wake it at once."""


class LocalElasticsearch:
    """The WSGI application. It starts empty, and handles one request at a time."""

    def __init__(self) -> None:
        self.documents = Documents()
        self._lock = Lock()
        self._copied: dict[str, int] = {}
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
            ("/<index>/_settings", ["PUT"], self._change_settings),
            ("/<index>/_stats/store", ["GET"], self._sizes),
            ("/_reindex", ["POST"], self._reindex),
            ("/_tasks", ["GET"], self._tasks),
            ("/_tasks/<task>", ["GET"], self._task),
            ("/<index>/_mapping/<kind>", ["GET", "PUT"], self._mapping),
            ("/<index>", ["GET", "PUT", "DELETE"], self._index),
            ("/<index>/<kind>", ["POST"], self._document),
            ("/<index>/<kind>/<identifier>/_update", ["POST"], self._update),
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
                one.map(kind, _body(request).get(kind, _body(request)))
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
        missing = request.args.get("ignore_unavailable") == "true"
        return 200, {one.name: one.describe() for one in self.documents.find(index, missing=missing)}

    def _change_settings(self, request: Request, index: str) -> Answer:
        for one in self.documents.find(index):
            one.set(_body(request))
        return 200, _ACKNOWLEDGED

    def _sizes(self, request: Request, index: str) -> Answer:  # noqa: ARG002
        size = sum(one.size for one in self.documents.find(index))
        return 200, {"_all": {name: {"store": {"size_in_bytes": size}} for name in ("primaries", "total")}}

    def _reindex(self, request: Request) -> Answer:
        body = _body(request)
        copied = self.documents.copy(body["source"]["index"], body["dest"]["index"])
        if request.args.get("wait_for_completion") != "false":
            return 200, _reindexed(copied)
        task = f"sandbox:{len(self._copied) + 1}"
        self._copied[task] = copied
        return 200, {"task": task}

    def _tasks(self, request: Request) -> Answer:  # noqa: ARG002
        return 200, {"nodes": {}}  # a request ends before the next one begins

    def _task(self, request: Request, task: str) -> Answer:  # noqa: ARG002
        if task not in self._copied:
            raise Refused(
                404, "resource_not_found_exception", f"task [{task}] isn't running and hasn't stored its results"
            )
        return 200, {"completed": True, "response": _reindexed(self._copied[task])}

    def _update(self, request: Request, index: str, kind: str, identifier: str) -> Answer:
        found = self.documents.get(index, kind, identifier)
        if found is None:
            raise Refused(404, "document_missing_exception", f"[{kind}][{identifier}]: document missing")
        changed = {**found["_source"], **_body(request).get("doc", {})}
        return 200, self.documents.put(index, kind, identifier, changed)

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


def _reindexed(copied: int) -> Json:
    return {"total": copied, "created": copied, "updated": 0, "failures": []}


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


class LocalServices:
    """The stand-ins, in threads of this process.

    They have an address of their own, with the usual ports.

    Args:
        addresses: the sandbox's; that of the services is the first free one at the end of it, outside the usual
            networks of clusters.
        ports: the usual ports of Elasticsearch, ZooKeeper and a name node.
        host: another address to listen on, for machines that cannot reach loopback.
    """

    def __init__(
        self, addresses: IPv4Network = FIRST, *, ports: tuple[int, int, int] = USUAL_PORTS, host: str = ""
    ) -> None:
        *_, last = addresses.subnets(new_prefix=24)
        self._hosts = [host] if host else [str(address) for address in last.hosts()]
        self._ports = ports
        self.elasticsearch = LocalElasticsearch()
        self._stack = ExitStack()
        self._where: Services | None = None

    @property
    def where(self) -> Services:
        """The address and the ports.

        Raises:
            SandboxError: they are not running.
        """
        if self._where is None:
            raise SandboxError("the sandbox's services are not running", next_step="call start() first")
        return self._where

    def start(self) -> None:
        """Start to listen.

        Raises:
            SandboxError: no address is free.
        """
        with ExitStack() as stack:
            listeners = [stack.enter_context(listener) for listener in _listen(self._hosts, self._ports)]
            host, elasticsearch = listeners[0].getsockname()
            rest = make_server(
                host,
                elasticsearch,
                self.elasticsearch,
                threaded=True,
                request_handler=_StandInHandler,
                fd=listeners[0].fileno(),
            )
            for server in (rest, _ListenerServer(listeners[1], _ZooKeeper), _ListenerServer(listeners[2], _NameNode)):
                stack.callback(server.server_close)
                thread = Thread(target=server.serve_forever, kwargs={"poll_interval": _STOP_POLL_SECONDS}, daemon=True)
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
            ports = [listener.getsockname()[1] for listener in listeners]
            self._where = Services(host=host, elasticsearch=ports[0], zookeeper=ports[1], namenode=ports[2])
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop listening. Elasticsearch's documents stay in this object."""
        self._where = None
        self._stack.close()

    def __enter__(self) -> LocalServices:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _listen(hosts: Sequence[str], usual: tuple[int, int, int]) -> list[socket.socket]:
    """Return a listener for each port, all on one address.

    If the usual ports are taken on every address, for example by a server that listens on all of them, use free ports.
    """
    for ports in (usual, (0, 0, 0)):
        for host in hosts:
            with ExitStack() as stack:
                listeners = []
                try:
                    for port in ports:
                        listeners.append(stack.enter_context(socket.socket()))
                        listeners[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a recent listener
                        listeners[-1].bind((host, port))
                        listeners[-1].listen()
                except OSError:
                    continue
                stack.pop_all()
                return listeners
    raise SandboxError(
        f"the sandbox's services cannot listen on {hosts[0]} or the other addresses for them",
        cause="each address is taken, or this computer forbids it",
        next_step="see what listens there with `ss -ltn`, and stop it",
    )


class _StandInHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

    def version_string(self) -> str:
        """Return the Server header."""
        return NAME


class _ListenerServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A server for an existing listener."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()


class _ZooKeeper(socketserver.StreamRequestHandler):
    """Answers ZooKeeper's four-letter words for its health, and nothing else."""

    def handle(self) -> None:
        word = self.rfile.read(4)
        if word == b"ruok":
            self.wfile.write(b"imok")
        elif word in (b"srvr", b"stat"):
            self.wfile.write(b"Zookeeper version: 3.4.6 (pio-tf sandbox stand-in for ZooKeeper)\nMode: standalone\n")


class _NameNode(socketserver.StreamRequestHandler):
    """Accepts a connection and holds it until the client closes it. An HTTP client gets a page about the stand-in."""

    def handle(self) -> None:
        if self.rfile.read(4) in (b"GET ", b"HEAD"):
            text = b"pio-tf sandbox stand-in for an HDFS name node: it accepts connections, and has no protocol\n"
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" + text)
            return
        while self.rfile.read(1):
            pass
