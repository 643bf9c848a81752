"""Stand-ins on loopback for PredictionIO's services: Elasticsearch, ZooKeeper and an HDFS name node.

Elasticsearch answers requests (:mod:`pio_tf.sandbox.elasticsearch`). ZooKeeper answers ``ruok``, and the name node
accepts connections: just enough to distinguish a running service from a missing one.
"""

from __future__ import annotations

import socket
import socketserver
import zlib
from contextlib import ExitStack
from threading import Thread
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

from pio_tf.errors import SandboxError
from pio_tf.sandbox.elasticsearch import NAME, LocalElasticsearch
from pio_tf.sandbox.layout import Services

if TYPE_CHECKING:
    from collections.abc import Sequence

_NETWORK = "127.77.255"
"""The network of the services, outside the usual networks of clusters."""
_ADDRESSES = 254
USUAL_PORTS = (9200, 2181, 9000)
"""The usual ports of Elasticsearch, ZooKeeper and a name node."""
_POLL_SECONDS = 0.05


class LocalServices:
    """The stand-ins, in threads of this process.

    Each sandbox has its own address, with the usual ports. After a restart it has the same address and ports, unless
    another program has taken them meanwhile.

    Args:
        owner: distinguishes this sandbox from others on this computer, and determines its address.
        ports: the usual ports of Elasticsearch, ZooKeeper and a name node.
        host: another address to listen on, for machines that cannot reach loopback.
    """

    def __init__(self, owner: str = "", *, ports: tuple[int, int, int] = USUAL_PORTS, host: str = "") -> None:
        self._hosts = [host] if host else _addresses(owner)
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
                thread = Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, daemon=True)
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


def _addresses(owner: str) -> list[str]:
    """Return all addresses for sandboxes' services, the owner's own first."""
    return [f"{_NETWORK}.{1 + (zlib.crc32(owner.encode()) + attempt) % _ADDRESSES}" for attempt in range(_ADDRESSES)]


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
