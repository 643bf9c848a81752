"""HTTP to addresses that only the driver can reach, through a direct-tcpip channel of its SSH connection."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import h11
from msgspec import Struct

from pio_tf.errors import RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote.ssh_errors import reason
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_RESPONSE = 32 * 1024 * 1024
"""Bytes. Spark's master answers some 400 bytes for each worker and application."""
_READ_BYTES = 64 * 1024
_NEXT_STEP = "check that the process runs there and that the security group lets the driver connect to it"
_OTHER_NAME = "the certificate is for another name: name the host in pio-tf.hcl as its certificate does"
_UNKNOWN_CA = "this computer's certificate store must contain its authority; add a self-signed certificate itself"

_T = TypeVar("_T")


class HttpRequest(Struct, frozen=True):
    """A request. ``tls``: verifies the server's certificate, for https; None: plain http.

    Errors do not show the headers, which may contain credentials.
    """

    host: str
    port: int
    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """The address, without credentials."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{self.path}"


class HttpResponse(Struct, frozen=True):
    """A response with any status."""

    url: str
    status: int
    status_line: str
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON may be anything
        """Return the body's value.

        Raises:
            RemoteError: the status is not 200, or the body is not JSON.
        """
        if self.status != 200:
            raise _no_answer(self.url, f"it answered {self.status_line!r}")
        try:
            return parse_json(self.body)
        except ValueError as error:
            raise _no_answer(self.url, f"the answer is not JSON ({error})") from error


async def send_request(
    connection: asyncssh.SSHClientConnection, request: HttpRequest, *, timeout: float
) -> HttpResponse:
    """Send a request from the far end of ``connection``. Return the response, whatever its status.

    Raises:
        RemoteError: no connection, a certificate that cannot be trusted, or no HTTP response within ``timeout``
            seconds.
    """
    try:
        return await wait_for(_exchange(connection, request), timeout=timeout)
    except asyncio.TimeoutError as error:
        raise _no_answer(request.url, f"nothing within {timeout:g} s") from error
    except h11.RemoteProtocolError as error:
        raise _no_answer(request.url, f"its answer is not HTTP, or not complete: {error}") from error
    except ssl.SSLCertVerificationError as error:
        other_name = "mismatch" in error.verify_message or "not valid for" in error.verify_message
        next_step = _OTHER_NAME if other_name else _UNKNOWN_CA
        raise _no_answer(request.url, f"its certificate: {error.verify_message}", next_step=next_step) from error
    except ssl.SSLError as error:
        raise _no_answer(request.url, f"no TLS: {error.reason or error}") from error
    except (OSError, asyncssh.Error) as error:
        raise _no_answer(request.url, reason(error)) from error


async def _exchange(connection: asyncssh.SSHClientConnection, request: HttpRequest) -> HttpResponse:
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", f"{request.host}:{request.port}"), ("Accept", "application/json"), ("Connection", "close")]
    if request.body:
        headers.append(("Content-Length", str(len(request.body))))
    head = h11.Request(method=request.method, target=request.path, headers=[*headers, *request.headers])
    sent = b"".join(http.send(event) or b"" for event in (head, h11.Data(request.body), h11.EndOfMessage()))
    reader, writer = await connection.open_connection(request.host, request.port, encoding=None)
    status, status_line, body, received = 0, "", bytearray(), 0
    try:
        channel = _Channel(reader, writer, request)
        await channel.write(sent)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await channel.read()
                received += len(data)
                if not received:
                    raise _no_answer(request.url, "the connection was closed without an answer")
                if received > LARGEST_RESPONSE:
                    raise _no_answer(request.url, f"the answer is longer than {LARGEST_RESPONSE} bytes")
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
                version, phrase = event.http_version.decode(), event.reason.decode(errors="replace")
                status_line = f"HTTP/{version} {status} {phrase}".rstrip()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return HttpResponse(request.url, status, status_line, bytes(body))
    finally:
        writer.close()


class _Channel:
    """A channel of the connection, with TLS within it for https.

    asyncio's own TLS requires a socket. That would be a port open to every user of this computer, and would lose the
    reason why the far end could not connect.
    """

    def __init__(
        self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes], request: HttpRequest
    ) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = None
        if request.tls is not None:
            self._tls = request.tls.wrap_bio(self._incoming, self._outgoing, server_hostname=request.host)

    async def write(self, data: bytes) -> None:
        """Send the data."""
        if (tls := self._tls) is None:
            self._writer.write(data)
        else:
            await self._step(lambda: tls.write(data))

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end."""
        if (tls := self._tls) is None:
            return await self._reader.read(_READ_BYTES)
        try:
            return await self._step(lambda: tls.read(_READ_BYTES))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # many servers end without TLS's close_notify
            return b""

    async def _step(self, action: Callable[[], _T]) -> _T:
        """Do ``action`` once the far end has sent what it needs. The first one also does the handshake."""
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:  # noqa: PERF203 - this is how it asks for more data
                self._flush()
                data = await self._reader.read(_READ_BYTES)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())


def _no_answer(url: str, cause: str, *, next_step: str = _NEXT_STEP) -> RemoteError:
    return RemoteError(
        f"no answer from {url}, asked through the driver",
        cause=cause,
        next_step=next_step,
        details={"url": url, "kind": "http"},
    )
