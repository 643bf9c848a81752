"""A mirror of the software that machines install, with the faults that mirrors have."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_BLOCK = 1 << 20


class Mirror:
    """A server of the files of a directory over HTTP, with ranges, so that a download can resume.

    Each machine may have its own faults; the server knows machines by their addresses.

    Args:
        directory: what it serves; changes are seen at once.
        address: this computer's, where machines reach it.
    """

    def __init__(self, directory: Path, *, address: str) -> None:
        self.directory = directory
        self.requests: list[tuple[str, str, int]] = []
        """(address of the machine, path, first byte) of every request so far."""
        self.corrupt: set[tuple[str, str]] = set()
        """(machine, path) of what is sent with another last byte."""
        self.down: set[str] = set()
        """Machines that get no answer."""
        self.cut: dict[tuple[str, str], int] = {}
        """(machine, path) -> bytes after which the next answer breaks off; once."""
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                mirror._answer(self)

            def do_HEAD(self) -> None:
                mirror._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Write nothing."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Its base address, without a slash at its end."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).lstrip("/")
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        first = int(match[1]) if match else 0
        machine = request.client_address[0]
        self.requests.append((machine, path, first))
        file = self.directory / path
        if machine in self.down:
            request.close_connection = True
            return
        if ".." in path.split("/") or not file.is_file():
            request.send_error(404)
            return
        size = file.stat().st_size
        if first and first >= size:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{size}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if match else 200)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(size - first))
        if match:
            request.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        request.end_headers()
        if request.command == "GET":
            self._send(request, (machine, path), file, first=first, size=size)

    def _send(
        self, request: BaseHTTPRequestHandler, asked: tuple[str, str], file: Path, *, first: int, size: int
    ) -> None:
        last = self.cut.pop(asked, size)
        with file.open("rb") as blocks:
            blocks.seek(first)
            while (here := blocks.tell()) < last and (block := blocks.read(min(_BLOCK, last - here))):
                if asked in self.corrupt and blocks.tell() == size:
                    block = block[:-1] + bytes([block[-1] ^ 1])
                try:
                    request.wfile.write(block)
                except ConnectionError:
                    break
        if last < size:
            request.close_connection = True
