"""HTTP to an address that only the driver can reach: through a direct-tcpip channel of its SSH connection.

A few lines instead of a library: one request, no redirects, no keep-alive. HTTP/1.0, so that the answer is not chunked.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import asyncssh

from pio_tf.errors import RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote.ssh_errors import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_ANSWER = 32 * 1024 * 1024
"""Bytes. Spark's master answers some 400 bytes a worker and application."""
_READ_BYTES = 64 * 1024
_NEXT_STEP = "check that the process runs there and that the security group lets the driver connect to it"
_OTHER_NAME = "the certificate is for another name: name the host in pio-tf.hcl as its certificate does"
_UNKNOWN_CA = "this computer's certificate store must know who signed it; a self-signed one has to be added there"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Request:
    """What is asked, of whom. ``tls``: how certificates are verified, for https; None: plain http.

    Headers may carry credentials: they appear in no error.
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
        """Its address, without credentials."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{self.path}"

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        headers = {"Host": f"{self.host}:{self.port}", "Accept": "application/json", **dict(self.headers)}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.0\r\n{lines}\r\n".encode() + self.body


@dataclass(frozen=True)
class Answer:
    """Any answer in HTTP, whatever its status."""

    url: str
    status: int
    status_line: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON may be anything
        """What the body says.

        Raises:
            RemoteError: it is no JSON.
        """
        try:
            return parse_json(self.body)
        except ValueError as error:
            raise no_answer(self.url, f"the answer is not JSON ({error})") from error


def no_answer(url: str, cause: str, *, next_step: str = _NEXT_STEP, **details: object) -> RemoteError:
    """The error for an address that does not answer as it should."""
    return RemoteError(
        f"no answer from {url}, asked through the driver",
        cause=cause,
        next_step=next_step,
        details={"url": url, "kind": "http", **details},
    )


async def get_json(connection: asyncssh.SSHClientConnection, *, host: str, port: int, path: str, timeout: float) -> Any:  # noqa: ANN401 - JSON may be anything
    """The JSON at ``http://host:port/path``, as the far end of ``connection`` sees it.

    Raises:
        RemoteError: no connection, no answer within ``timeout`` seconds, a status other than 200, or no JSON.
    """
    answer = await ask(connection, Request(host, port, path), timeout=timeout)
    if answer.status != 200:
        raise no_answer(answer.url, f"it answered {answer.status_line!r}")
    return answer.json()


async def ask(connection: asyncssh.SSHClientConnection, request: Request, *, timeout: float) -> Answer:
    """Send the request from the far end of ``connection``; its answer, whatever its status.

    Raises:
        RemoteError: no connection, a certificate that cannot be trusted, or no answer in HTTP within ``timeout``
            seconds.
    """
    try:
        answer = await asyncio.wait_for(_exchange(connection, request), timeout=timeout)
    except asyncio.TimeoutError as error:
        raise no_answer(request.url, f"nothing within {timeout:g} s") from error
    except ssl.SSLCertVerificationError as error:
        other_name = "mismatch" in error.verify_message or "not valid for" in error.verify_message
        next_step = _OTHER_NAME if other_name else _UNKNOWN_CA
        raise no_answer(request.url, f"its certificate: {error.verify_message}", next_step=next_step) from error
    except ssl.SSLError as error:
        raise no_answer(request.url, f"no TLS: {error.reason or error}") from error
    except (OSError, asyncssh.Error) as error:
        raise no_answer(request.url, reason(error)) from error
    if len(answer) > LARGEST_ANSWER:
        raise no_answer(request.url, f"the answer is longer than {LARGEST_ANSWER} bytes")
    return _parsed(answer, request.url)


async def _exchange(connection: asyncssh.SSHClientConnection, request: Request) -> bytes:
    reader, writer = await connection.open_connection(request.host, request.port, encoding=None)
    try:
        plain = _Plain(reader, writer)
        stream = _Tls(plain, request.tls, request.host) if request.tls else plain
        await stream.write(request.encoded())
        answer = bytearray()
        while len(answer) <= LARGEST_ANSWER:
            data = await stream.read()
            if not data:
                break
            answer += data
        return bytes(answer)
    finally:
        writer.close()


class _Plain:
    """The channel as it is."""

    def __init__(self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        self._reader, self._writer = reader, writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        return await self._reader.read(_READ_BYTES)


class _Tls:
    """TLS within a channel. asyncio's own needs a socket: a port open to everybody on this computer, which would lose
    the reason why the far end could not connect."""

    def __init__(self, plain: _Plain, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def write(self, data: bytes) -> None:
        await self._step(lambda: self._tls.write(data))

    async def read(self) -> bytes:
        try:
            return await self._step(lambda: self._tls.read(_READ_BYTES))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # many servers end without TLS's own farewell
            return b""

    async def _step(self, action: Callable[[], _T]) -> _T:
        """``action`` once the far end has said what it needs; the first one also shakes hands."""
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:  # noqa: PERF203 - that is how it asks for more
                await self._flush()
                data = await self._plain.read()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._plain.write(self._outgoing.read())


def _parsed(answer: bytes, url: str) -> Answer:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode(errors="replace").split("\r\n")
    words = status_line.split(" ")
    if not answer:
        raise no_answer(url, "the connection was closed without an answer")
    if not words[0].startswith("HTTP/") or not "".join(words[1:2]).isdecimal():
        raise no_answer(url, f"it answered {status_line[:100]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(url, int(words[1]), status_line, headers, body)
