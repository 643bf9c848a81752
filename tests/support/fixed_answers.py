"""A server that gives each connection the same answer: an SSH server's greeting, or Spark's page."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Server:
    """Answers each connection to an address with the same bytes, while it is on."""

    def __init__(self, address: str, answer: bytes) -> None:
        self.answer = answer
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # a client may go once it has read enough
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):  # a request that is not read would reset the connection
                    pass

    def off(self) -> None:
        with contextlib.suppress(OSError):  # it is off already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def spark(page: Mapping[str, object]) -> bytes:
    return b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(page, indent=2).encode()
