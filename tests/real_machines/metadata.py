"""EC2's metadata service, as far as machines ask it: version 2 only, at its address on every network."""

from __future__ import annotations

import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ADDRESS = "169.254.169.254"
_TOKEN = "X-aws-ec2-metadata-token"


class Metadata:
    """Tells every machine about itself."""

    def __init__(self) -> None:
        self.of: dict[str, Mapping[str, str]] = {}
        """Address of a machine -> values by their paths below /latest/meta-data/."""
        self.tags: Callable[[str], Mapping[str, str]] = lambda _: {}
        """Returns the tags of an instance, as they are now."""
        token = secrets.token_urlsafe()
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                asked_well = self.path == "/latest/api/token" and f"{_TOKEN}-ttl-seconds" in self.headers
                self._say(200 if asked_well else 400, token if asked_well else "")

            def do_GET(self) -> None:
                values = dict(metadata.of.get(self.client_address[0], {}))
                tags = metadata.tags(values.get("instance-id", ""))
                values |= {f"tags/instance/{name}": value for name, value in tags.items()}
                found = _look_up(values, self.path.removeprefix("/latest/meta-data/"))
                if self.headers.get(_TOKEN) != token:
                    self._say(401, "")
                else:
                    self._say(404 if found is None else 200, found or "")

            def _say(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Write nothing."""

        self._server = ThreadingHTTPServer((ADDRESS, 80), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _look_up(values: Mapping[str, str], path: str) -> str | None:
    """Return a value; of a directory, which ends with a slash, the names in it."""
    if path in values:
        return values[path]
    if path and not path.endswith("/"):
        return None
    below = [name.removeprefix(path).partition("/") for name in values if name.startswith(path)]
    return "\n".join(sorted({first + slash for first, slash, _ in below})) or None
