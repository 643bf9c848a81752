"""A web server with archives: it can resume where a connection ended, and break on request."""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Archives:
    """The served files, and the requests for them."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path."""
    breaks: dict[str, int] = field(default_factory=dict)
    """By path, how many answers end in the middle."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range of every request."""


@contextlib.contextmanager
def serve_archives() -> Iterator[Archives]:
    """Run the server while the block runs."""
    archives = Archives()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            archives.asked.append((self.path, wanted))
            content = archives.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", wanted)) else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            rest = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if archives.breaks.get(self.path, 0):
                archives.breaks[self.path] -= 1
                rest = rest[: len(rest) // 2]
            self.wfile.write(rest)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    archives.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield archives
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
