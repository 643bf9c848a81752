"""A slow and bad line to a machine: passes TCP connections on, a little at a time, and cuts them when told to."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import time
from threading import Thread

_CHUNK, _PAUSE = 65536, 0.1
"""Bytes that are passed on at once, and the seconds until the next: some 600 KB a second."""


class BadLine(socketserver.ThreadingTCPServer):
    """Listens at a free port of an address, and leads to another port of it. ``with`` ends it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, 0), _Connection)
        self.to = address, port
        self.ends: list[socket.socket] = []
        self.cuts = 0
        """How often there was a connection to be cut."""
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.server_address[1])

    def cut(self) -> None:
        """Cut every connection, on both sides."""
        ends, self.ends = self.ends, []
        self.cuts += bool(ends)
        for end in ends:
            with contextlib.suppress(OSError):  # it has ended by itself
                end.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        """Stop listening, and cut what is left."""
        self.shutdown()
        self.cut()
        super().server_close()


class _Connection(socketserver.BaseRequestHandler):
    server: BadLine
    request: socket.socket

    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self.server.to) as there:
            self.server.ends += [self.request, there]
            back = Thread(target=_pass_on, args=(there, self.request), daemon=True)
            back.start()
            _pass_on(self.request, there)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
            time.sleep(_PAUSE * len(data) / _CHUNK)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
