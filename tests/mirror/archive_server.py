"""A web server with archives: it can resume where a connection ended, and break, stall or trickle on request."""

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
    drops: dict[str, int] = field(default_factory=dict)
    """By path, bytes after which every answer breaks off."""
    stalls: dict[str, int] = field(default_factory=dict)
    """By path, how many answers stop in the middle, with the connection open."""
    trickles: dict[str, int] = field(default_factory=dict)
    """By path, bytes that come every 0.1 s."""
    closing: threading.Event = field(default_factory=threading.Event)
    """Ends the answers that have stopped."""
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
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "HEAD":
                return
            if archives.breaks.get(self.path, 0):
                archives.breaks[self.path] -= 1
                rest = rest[: len(rest) // 2]
            rest = rest[: archives.drops.get(self.path)]
            if archives.stalls.get(self.path, 0):
                archives.stalls[self.path] -= 1
                self.wfile.write(rest[: len(rest) // 2])
                archives.closing.wait(60)
                return
            step = archives.trickles.get(self.path) or len(rest) or 1
            for at in range(0, len(rest), step):
                self.wfile.write(rest[at : at + step])
                if at + step < len(rest):
                    archives.closing.wait(0.1)

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
        archives.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
