"""Spark's pages on this computer: which they are, and that they come through, also after the connection was lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.errors import ConfigError, RemoteError
from pio_tf.events import Done, Event, Warned
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.remote.tunnel import ForwardedPage, WebPage, serve_pages, spark_pages
from tests.support.background import until
from tests.support.ssh_cluster import ONE_ATTEMPT
from tests.support.ssh_servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.support.ssh_cluster import TestCluster

MASTER = "127.0.0.2"


@contextlib.asynccontextmanager
async def web_page(host: str, port: int, text: str) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.write(f"HTTP/1.0 200 OK\r\n\r\n{text}".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, port)
    try:
        yield
    finally:
        server.close()


async def read(page: ForwardedPage) -> str:
    """Return the page as a browser gets it; empty if the connection ends without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        data = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return data.decode().partition("\r\n\r\n")[2]
    return ""


class Tunnels:
    """``serve_pages`` in the background."""

    def __init__(self, remote: ClusterConnection, pages: Sequence[WebPage]) -> None:
        self.events: list[Event] = []
        self._opened: asyncio.Future[tuple[ForwardedPage, ...]] = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(
            serve_pages(remote, pages, self._opened.set_result, reporter=self.events.append, retry_seconds=0.1)
        )

    async def pages(self) -> tuple[ForwardedPage, ...]:
        return await asyncio.wait_for(asyncio.shield(self._opened), 60)

    async def says(self, kind: type[Event], text: str) -> None:
        await until(
            lambda: any(isinstance(event, kind) and text in getattr(event, "message", "") for event in self.events)
        )


@contextlib.asynccontextmanager
async def tunnels(cluster: TestCluster, *pages: WebPage) -> AsyncIterator[Tunnels]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=ONE_ATTEMPT) as remote:
        opened = Tunnels(remote, pages)
        try:
            yield opened
        finally:
            opened.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RemoteError):
                await opened.task


def test_the_pages_are_those_of_master_application_and_history_server(cluster: TestCluster) -> None:
    targets = cluster.targets("driver", "master", "worker-1", "worker-2")
    assert spark_pages(cluster.config(), targets, {}) == (
        WebPage("master", "127.0.0.2", 8080),
        WebPage("application", "127.0.0.1", 4040),
        WebPage("history", "127.0.0.2", 18080, optional=True),
    )
    config = cluster.config(spark={"master_ui_port": 8088})
    settings = {"spark.ui.port": "4050", "spark.history.ui.port": "18081"}
    assert spark_pages(config, targets, settings, workers=[2]) == (
        WebPage("master", "127.0.0.2", 8088),
        WebPage("application", "127.0.0.1", 4050),
        WebPage("worker-2", "127.0.0.4", 8081),
        WebPage("history", "127.0.0.2", 18081),
    )


def test_a_worker_that_does_not_run_has_no_page(cluster: TestCluster) -> None:
    with pytest.raises(ConfigError, match="worker-3") as caught:
        spark_pages(cluster.config(), cluster.targets("driver", "master"), {}, workers=[3])
    assert "driver, master" in caught.value.next_step


async def test_a_page_comes_through_at_its_own_port_number_where_that_is_free(cluster: TestCluster) -> None:
    port = free_port((MASTER, "127.0.0.1"))
    async with web_page(MASTER, port, "Spark Master"), tunnels(cluster, WebPage("master", MASTER, port)) as opened:
        (page,) = await opened.pages()
        assert (page.port, page.silent_because) == (port, "")
        assert page.url == f"http://127.0.0.1:{port}"
        assert await read(page) == "Spark Master"
    assert (MASTER, port) in cluster.driver.forwarded


async def test_a_port_that_somebody_else_has_here_is_left_to_them(cluster: TestCluster) -> None:
    port = free_port((MASTER, "127.0.0.1"))
    with socket.create_server(("127.0.0.1", port)):
        async with web_page(MASTER, port, "Spark Master"), tunnels(cluster, WebPage("master", MASTER, port)) as opened:
            (page,) = await opened.pages()
            assert page.port != port
            assert await read(page) == "Spark Master"


async def test_a_page_that_does_not_answer_yet_is_told_and_tried_anew_when_it_is_used(cluster: TestCluster) -> None:
    port = free_port((MASTER, "127.0.0.1"))
    async with tunnels(cluster, WebPage("application", MASTER, port)) as opened:
        (page,) = await opened.pages()
        assert page.silent_because == "connection refused"
        assert await read(page) == ""
        async with web_page(MASTER, port, "Spark Jobs"):
            assert await read(page) == "Spark Jobs"


async def test_a_history_server_shows_only_where_there_is_one(cluster: TestCluster) -> None:
    port = free_port((MASTER, "127.0.0.1"))
    history = WebPage("history", MASTER, port, optional=True)
    async with tunnels(cluster, history) as opened:
        assert await opened.pages() == ()
    async with web_page(MASTER, port, "History Server"), tunnels(cluster, history) as opened:
        (page,) = await opened.pages()
        assert await read(page) == "History Server"


async def test_a_lost_connection_is_made_again_with_the_same_addresses(cluster: TestCluster) -> None:
    port = free_port((MASTER, "127.0.0.1"))
    async with web_page(MASTER, port, "Spark Master"), tunnels(cluster, WebPage("master", MASTER, port)) as opened:
        (page,) = await opened.pages()
        cluster.driver.cut()
        await opened.says(Warned, "was lost: connecting again")
        await opened.says(Done, "connected again")
        assert await read(page) == "Spark Master"


async def test_a_driver_that_is_away_for_long_is_tried_until_it_is_back_and_that_is_said_once(
    cluster: TestCluster,
) -> None:
    port = free_port((MASTER, "127.0.0.1"))
    async with web_page(MASTER, port, "Spark Master"), tunnels(cluster, WebPage("master", MASTER, port)) as opened:
        (page,) = await opened.pages()
        await cluster.driver.stop()
        await opened.says(Warned, "still trying")
        await asyncio.sleep(0.5)  # several further attempts, 0.1 s apart
        assert not opened.task.done()
        await cluster.driver.start()
        await opened.says(Done, "connected again")
        assert await read(page) == "Spark Master"
    assert len(opened.events) == 3


async def test_a_driver_with_another_host_key_is_not_tried_again(cluster: TestCluster) -> None:
    async with tunnels(cluster, WebPage("master", MASTER, free_port())) as opened:
        await opened.pages()
        await cluster.driver.stop()
        cluster.driver.host_key = asyncssh.generate_private_key("ssh-ed25519")
        await cluster.driver.start()
        with pytest.raises(RemoteError, match="another SSH host key"):
            await asyncio.wait_for(opened.task, 60)


async def test_nothing_listens_here_any_more_when_it_ends(cluster: TestCluster) -> None:
    async with (
        web_page(MASTER, port := free_port((MASTER,)), "x"),
        tunnels(cluster, WebPage("x", MASTER, port)) as opened,
    ):
        (page,) = await opened.pages()
    with pytest.raises(ConnectionRefusedError):
        await read(page)
