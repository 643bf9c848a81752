"""HTTP to an address that only the driver can reach: through a direct-tcpip channel of its SSH connection.

A few lines instead of a library: one GET, no redirects, no keep-alive. HTTP/1.0, so that the answer is not chunked.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.errors import RemoteError
from pio_tf.remote.explain import reason

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_ANSWER = 32 * 1024 * 1024
"""Bytes. Spark's master answers some 400 bytes a worker and application."""


async def get_json(connection: asyncssh.SSHClientConnection, *, host: str, port: int, path: str, timeout: float) -> Any:  # noqa: ANN401 - JSON may be anything
    """The JSON at ``http://host:port/path``, as the far end of ``connection`` sees it.

    Raises:
        RemoteError: no connection, no answer within ``timeout`` seconds, a status other than 200, or no JSON.
    """
    url = f"http://{host}:{port}{path}"

    def failed(cause: str) -> RemoteError:
        return RemoteError(
            f"no answer from {url}, asked through the driver",
            cause=cause,
            next_step="check that the process runs there and that the security group lets the driver connect to it",
            details={"url": url, "kind": "http"},
        )

    try:
        answer = await asyncio.wait_for(_exchange(connection, host=host, port=port, path=path), timeout=timeout)
    except asyncio.TimeoutError as error:
        raise failed(f"nothing within {timeout:g} s") from error
    except (OSError, asyncssh.Error) as error:
        raise failed(reason(error)) from error
    return _body(answer, failed)


async def _exchange(connection: asyncssh.SSHClientConnection, *, host: str, port: int, path: str) -> bytes:
    reader, writer = await connection.open_connection(host, port, encoding=None)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: application/json\r\n\r\n".encode())
        answer = bytearray()
        while len(answer) <= LARGEST_ANSWER:
            data = await reader.read(64 * 1024)
            if not data:
                break
            answer += data
        return bytes(answer)
    finally:
        writer.close()


def _body(answer: bytes, failed: Callable[[str], RemoteError]) -> Any:  # noqa: ANN401 - JSON may be anything
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line = head.partition(b"\r\n")[0].decode(errors="replace")
    if len(answer) > LARGEST_ANSWER:
        raise failed(f"the answer is longer than {LARGEST_ANSWER} bytes")
    if status_line.split(" ")[1:2] != ["200"]:
        raise failed(f"it answered {status_line!r}" if status_line else "the connection was closed without an answer")
    try:
        return json.loads(body)
    except ValueError as error:
        raise failed(f"the answer is not JSON ({error})") from error
