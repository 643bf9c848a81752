"""HTTP through the driver's connection."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.errors import RemoteError
from pio_tf.remote.ssh import ClusterConnection
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.ssh_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a web server that gives this answer to everything; None: it never answers."""
    requests: list[bytes] = []
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            await release.wait()
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.2", 0)
    yield server.sockets[0].getsockname()[1], requests
    release.set()
    server.close()
    await server.wait_closed()


async def ask(cluster: TestCluster, port: int, *, timeout: float = 60.0) -> Any:  # noqa: ANN401
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        return await remote.http_get_json("127.0.0.2", port, "/json/", timeout=timeout)


async def test_json_is_fetched_through_the_driver(cluster: TestCluster) -> None:
    async with answering(OK + b'{"workers": [' + b'"w",' * 100_000 + b'"\xc3\xbc"]}') as (port, requests):
        answer = await ask(cluster, port)
    assert len(answer["workers"]) == 100_001
    assert answer["workers"][-1] == "ü"
    assert requests[0].startswith(b"GET /json/ HTTP/1.1\r\nHost: 127.0.0.2:")
    assert cluster.driver.forwarded == [("127.0.0.2", port)]


async def test_a_chunked_answer_is_put_together(cluster: TestCluster) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with answering(head + b"7\r\n[1, 2, \r\n2\r\n3]\r\n0\r\n\r\n") as (port, _):
        assert await ask(cluster, port) == [1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]", "not complete"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n{}", "it answered 'HTTP/1.1 404 Not Found'"),
        (OK + b"<html>", "not JSON"),
        (b"", "closed without an answer"),
        (None, "nothing within 0.3 s"),
    ],
)
async def test_what_is_no_answer_is_told_with_the_address(
    cluster: TestCluster, answer: bytes | None, cause: str
) -> None:
    async with answering(answer) as (port, _):
        with pytest.raises(RemoteError) as caught:
            await ask(cluster, port, timeout=0.3 if answer is None else 60.0)
    assert f"http://127.0.0.2:{port}/json/" in caught.value.what
    assert cause in caught.value.cause


async def test_a_closed_port_behind_the_driver_is_told(cluster: TestCluster) -> None:
    with pytest.raises(RemoteError) as caught:
        await ask(cluster, free_port(("127.0.0.2",)))
    assert "refused" in caught.value.cause.lower()
    assert caught.value.details["kind"] == "http"
