"""The services that PredictionIO connects to, as stand-ins on loopback: Elasticsearch, ZooKeeper, an HDFS name node.

Elasticsearch takes requests (:mod:`pio_tf.sandbox.elasticsearch`). ZooKeeper answers ``ruok``, and the name node takes
connections: enough to tell a service that is there from one that is not, and no more.
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
    from types import TracebackType

_NETWORK = "127.77.255"
"""Of the sandboxes' services: outside of the networks that clusters usually get."""
_ADDRESSES = 254
USUAL_PORTS = (9200, 2181, 9000)
"""Where Elasticsearch, ZooKeeper and a name node listen everywhere else, and on AWS."""
_POLL_SECONDS = 0.05


class LocalServices:
    """The stand-ins, in threads of this process.

    Each sandbox has an address of its own, on which it has the usual ports. Started again, it has the same ones, unless
    somebody has taken them meanwhile.

    Args:
        owner: tells this sandbox from others on this computer; its address follows from it.
        ports: the usual ports of Elasticsearch, ZooKeeper and a name node.
        host: another address to listen on, for machines that loopback does not reach.
    """

    def __init__(self, owner: str = "", *, ports: tuple[int, int, int] = USUAL_PORTS, host: str = "") -> None:
        self._hosts = [host] if host else _addresses(owner)
        self._ports = ports
        self.elasticsearch = LocalElasticsearch()
        self._stack = ExitStack()
        self._where: Services | None = None

    @property
    def where(self) -> Services:
        """Address and ports.

        Raises:
            SandboxError: they are not running.
        """
        if self._where is None:
            raise SandboxError("the sandbox's services are not running", next_step="call start() first")
        return self._where

    def start(self) -> None:
        """Listen.

        Raises:
            SandboxError: no address is left.
        """
        with ExitStack() as stack:
            listeners = [stack.enter_context(listener) for listener in _listen(self._hosts, self._ports)]
            host, elasticsearch = listeners[0].getsockname()
            rest = make_server(
                host,
                elasticsearch,
                self.elasticsearch,
                threaded=True,
                request_handler=_QuietHandler,
                fd=listeners[0].fileno(),
            )
            zookeeper = _Server(listeners[1], _ZooKeeper)
            namenode = _Server(listeners[2], _NameNode)
            for server in (rest, zookeeper, namenode):
                stack.callback(server.server_close)
                thread = Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, daemon=True)
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
            ports = [listener.getsockname()[1] for listener in listeners]
            self._where = Services(host=host, elasticsearch=ports[0], zookeeper=ports[1], namenode=ports[2])
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop listening; what Elasticsearch held stays until this object goes."""
        self._where = None
        self._stack.close()

    def __enter__(self) -> LocalServices:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _addresses(owner: str) -> list[str]:
    """All that sandboxes' services may have, the owner's own first."""
    return [f"{_NETWORK}.{1 + (zlib.crc32(owner.encode()) + attempt) % _ADDRESSES}" for attempt in range(_ADDRESSES)]


def _listen(hosts: Sequence[str], usual: tuple[int, int, int]) -> list[socket.socket]:
    """A listener for each port, all on one address; on free ports where the usual ones are taken everywhere, as by a
    server that listens on every address of this computer."""
    for ports in (usual, (0, 0, 0)):
        for host in hosts:
            with ExitStack() as stack:
                listeners = []
                try:
                    for port in ports:
                        listeners.append(stack.enter_context(socket.socket()))
                        listeners[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # soon after another one
                        listeners[-1].bind((host, port))
                        listeners[-1].listen()
                except OSError:
                    continue
                stack.pop_all()
                return listeners
    raise SandboxError(
        f"the sandbox's services cannot listen on any address from {hosts[0]} on",
        cause="each of them is taken, or this computer forbids it",
        next_step="see what listens there with `ss -ltn`, and stop it",
    )


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing."""

    def version_string(self) -> str:
        """The Server header."""
        return NAME


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves connections of a listener that is there already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()


class _ZooKeeper(socketserver.StreamRequestHandler):
    """Answers the words of four letters that tell whether it is well, and nothing else."""

    def handle(self) -> None:
        word = self.rfile.read(4)
        if word == b"ruok":
            self.wfile.write(b"imok")
        elif word in (b"srvr", b"stat"):
            self.wfile.write(b"Zookeeper version: 3.4.6 (pio-tf sandbox stand-in for ZooKeeper)\nMode: standalone\n")


class _NameNode(socketserver.StreamRequestHandler):
    """Takes a connection and holds it until the client goes. Who speaks HTTP to it is told what it is."""

    def handle(self) -> None:
        if self.rfile.read(4) in (b"GET ", b"HEAD"):
            text = b"pio-tf sandbox stand-in for an HDFS name node: it takes connections, and speaks no protocol\n"
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" + text)
            return
        while self.rfile.read(1):
            pass
