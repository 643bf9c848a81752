"""Redirects of pio-tf's own HTTP clients: none leads from https to http."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import HTTPError

from pio_tf.ci.forge import Forge
from pio_tf.config.components import Component
from pio_tf.errors import PioTfError
from pio_tf.http_pool import http_pool
from pio_tf.mirror import Fetcher
from tests.training.elasticsearch_server import certificate

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = "redirects from https to http://127.0.0.1"


@contextlib.contextmanager
def serving(targets: dict[str, str], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that redirects these paths, and answers ``hello`` at others. Yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = targets.get(self.path)
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", "0" if target else "5")
            self.end_headers()
            self.wfile.write(b"" if target else b"hello")

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # server_close then waits for them
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' * bool(tls)}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run an https server; the paths ``/down…`` and ``/aside`` redirect to http and https. Yield its address."""
    server, _client = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "search.pem"))
    with serving({}) as plain, serving({"/up": "", "/aside": "/here"}, server) as secure:
        paths = ("/down", "/down.tgz.sha512", "/down.tgz.mds", "/down.tgz.sha")
        with serving(dict.fromkeys(paths, f"{plain}/here") | {"/aside": f"{secure}/aside"}, server) as address:
            yield address


def test_a_redirect_from_https_to_http_is_not_followed(https: str) -> None:
    with pytest.raises(HTTPError, match=REFUSED):
        http_pool(https, timeout=5).request("GET", f"{https}/down")


def test_other_redirects_are_followed(https: str) -> None:
    assert http_pool(https, timeout=5).request("GET", f"{https}/aside").data == b"hello"
    with serving({"/up": f"{https}/here", "/aside": "/here"}) as plain:
        for path in ("/up", "/aside"):
            assert http_pool(plain, timeout=5).request("GET", plain + path).data == b"hello"


def test_a_published_checksum_does_not_come_over_http(https: str, tmp_path: Path) -> None:
    spark = Component("spark", "1", "/usr/local/spark", "down.tgz", f"{https}/down.tgz.sha512", (), "")
    with pytest.raises(PioTfError, match="no SHA-512 is known for spark") as caught:
        Fetcher(tmp_path / "archives", https, https).fetch([spark])
    assert caught.value.cause.count(REFUSED) == 3


def test_an_archive_does_not_come_over_http(https: str, tmp_path: Path) -> None:
    spark = Component("spark", "1", "/usr/local/spark", "down", "0" * 128, (), "")
    with pytest.raises(PioTfError, match="could not fetch spark") as caught:
        Fetcher(tmp_path / "archives", https, https, sleep=lambda _seconds: None).fetch([spark])
    assert REFUSED in caught.value.cause


def test_an_artefact_of_a_pipeline_does_not_come_over_http(https: str) -> None:
    with pytest.raises(PioTfError, match="no answer") as caught:
        Forge(https, {}).download("/down")
    assert REFUSED in caught.value.cause
    assert Forge(https, {}).download("/aside") == b"hello"
