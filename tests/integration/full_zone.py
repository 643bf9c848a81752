"""An AWS whose zone has no room for some machines: a proxy in front of the sandbox's, which refuses to start them."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_REFUSAL = (
    "<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code><Message>We currently do not have sufficient "
    "capacity in the Availability Zone you requested.</Message></Error></Errors><RequestID>r</RequestID></Response>"
)
_OWN = {"connection", "content-length", "transfer-encoding", "server", "date"}
"""Headers of each connection's own. The Host header passes unchanged, as proxies have it: the signature covers it."""


class FullZone:
    """Passes everything on but StartInstances of the instances in ``without_room``.

    An instance leaves those when it gets another type.
    """

    def __init__(self, url: str) -> None:
        self.without_room: set[str] = set()
        zone = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                text = body.decode("utf-8", "replace")
                if "Action=StartInstances" in text and any(one in text for one in zone.without_room):
                    self._answer(500, _REFUSAL.encode(), {})
                    return
                if "Action=ModifyInstanceAttribute" in text and "InstanceType.Value" in text:
                    zone.without_room -= {one for one in zone.without_room if one in text}
                headers = {key: value for key, value in self.headers.items() if key.lower() not in _OWN}
                request = urllib.request.Request(  # noqa: S310 - the sandbox's, on loopback
                    f"{url}{self.path}", data=body or None, headers=headers, method=self.command
                )
                try:
                    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                        self._answer(response.status, response.read(), dict(response.headers))
                except urllib.error.HTTPError as error:
                    self._answer(error.code, error.read(), dict(error.headers))

            do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the base class's spelling

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    if key.lower() not in _OWN:
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FullZone:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._server.shutdown()
        self._server.server_close()
