"""Elasticsearch, asked through the driver's SSH connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from pio_tf.errors import RemoteError
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from tests.support.ssh_cluster import QUICK, TestCluster
from tests.support.ssh_servers import free_port
from tests.training.elasticsearch_server import HOST, Node, Question, certificate, listening, not_found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture
async def remote(cluster: TestCluster) -> AsyncIterator[ClusterConnection]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield remote


def version(_question: Question) -> tuple[int, Any]:
    return 200, {"version": {"number": "6.8.1"}}


async def refused(es: ElasticsearchClient, path: str = "/", **how: Any) -> RemoteError:  # noqa: ANN401
    with pytest.raises(RemoteError) as caught:
        await es.get(path, **how)
    assert caught.value.next_step
    return caught.value


async def test_json_is_fetched_and_searches_are_posted_through_the_driver(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    async with listening(version) as node:
        es = ElasticsearchClient(remote, [node])
        assert await es.get("/") == {"version": {"number": "6.8.1"}}
        await es.search("/pio_meta/_search", {"size": 1, "query": {"term": {"engineId": "ü"}}})
    get, post = node.questions
    assert (get.method, get.path, get.body) == ("GET", "/", b"")
    assert "authorization" not in get.headers
    assert (post.method, post.path) == ("POST", "/pio_meta/_search")
    assert post.json == {"size": 1, "query": {"term": {"engineId": "ü"}}}
    assert post.headers["content-type"] == "application/json"
    assert cluster.driver.forwarded == [(HOST, node.port)] * 2


async def test_the_user_logs_in_and_a_wrong_password_is_told_and_never_shown(remote: ClusterConnection) -> None:
    async with listening(version, login=("elastic", "pässword")) as node:
        es = ElasticsearchClient(remote, [node], user="elastic", password="pässword")
        assert (await es.get("/"))["version"]["number"] == "6.8.1"
        error = await refused(ElasticsearchClient(remote, [node], user="elastic", password="hunter2"))
    assert "unable to authenticate user [elastic]" in error.cause
    assert "elasticsearch.password" in error.next_step
    assert error.details["kind"] == "http-status"
    assert error.details["status"] == 401
    sent = node.questions[-1].headers["authorization"].removeprefix("Basic ")
    for secret in ("hunter2", sent):
        assert secret not in f"{error} {error.details}"


async def test_a_status_is_an_answer_and_no_other_node_is_asked(remote: ClusterConnection) -> None:
    async with listening(lambda _: not_found("pio_meta")) as first, listening(version) as second:
        error = await refused(ElasticsearchClient(remote, [first, second]), "/pio_meta")
    assert error.details["kind"] == "http-status"
    assert error.details["status"] == 404
    assert error.cause == "no such index [pio_meta]"
    assert not second.questions


@pytest.mark.parametrize("how", ["down", "hanging", "without a master", "no JSON"])
async def test_the_next_node_is_asked_where_one_does_not_answer(remote: ClusterConnection, how: str) -> None:
    answers: dict[str, tuple[int, Any]] = {"without a master": (503, {"error": "no master"}), "no JSON": (200, b"<p>")}
    async with (
        listening(lambda _: answers.get(how, (200, {})), hangs=how == "hanging") as first,
        listening(version) as second,
    ):
        asked_first = replace(first, port=free_port((HOST,))) if how == "down" else first
        es = ElasticsearchClient(remote, [asked_first, second])
        began = time.monotonic()
        assert (await es.get("/", timeout=2 if how == "hanging" else 60))["version"]["number"] == "6.8.1"
        assert time.monotonic() - began < 30
        asked = len(first.questions)
        await es.get("/")
        assert len(second.questions) == 2
        assert len(first.questions) == asked, "the node that answered last is asked first"


async def test_a_node_that_is_named_is_the_only_one_that_is_asked(remote: ClusterConnection) -> None:
    down = Node(HOST, free_port((HOST,)), "http")
    async with listening(version) as up:
        error = await refused(ElasticsearchClient(remote, [down, up]), node=down)
    assert error.details["kind"] == "http"
    assert error.cause == "connection refused"
    assert not up.questions


async def test_every_node_that_does_not_answer_is_named(remote: ClusterConnection) -> None:
    async with listening(version, hangs=True) as hanging:
        down = Node(HOST, free_port((HOST,)), "http")
        error = await refused(ElasticsearchClient(remote, [down, hanging]), timeout=2)
    assert error.what.startswith("none of Elasticsearch's 2 nodes answers the driver")
    assert f"{HOST}:{down.port}: connection refused" in error.cause
    assert f"{HOST}:{hanging.port}: nothing within 2 s" in error.cause
    assert error.details["kind"] == "http"


async def test_https_is_spoken_within_the_ssh_channel(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path
) -> None:
    server, client = certificate(tmp_path, HOST)
    many = {"hits": ["hit" * 100] * 10_000}
    async with listening(lambda _: (200, many), tls=server) as node:
        es = ElasticsearchClient(remote, [node], tls=client)
        assert await es.search("/_search", {"filler": "x" * 100_000}) == many
        assert await es.get("/") == many
    assert len(node.questions[0].json["filler"]) == 100_000
    assert cluster.driver.forwarded == [(HOST, node.port)] * 2


async def test_a_certificate_that_nobody_here_knows_is_refused(remote: ClusterConnection, tmp_path: Path) -> None:
    server, _ = certificate(tmp_path, HOST)
    async with listening(version, tls=server) as node:
        error = await refused(ElasticsearchClient(remote, [node]))
    assert "self" in error.cause
    assert "signed" in error.cause
    assert "certificate store" in error.next_step
    assert error.details["kind"] == "http"
    assert not node.questions


async def test_a_certificate_for_another_host_is_refused(remote: ClusterConnection, tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "search.example")
    async with listening(version, tls=server) as node:
        error = await refused(ElasticsearchClient(remote, [node], tls=client))
    assert HOST in error.cause
    assert "another name" in error.next_step
    assert not node.questions


@pytest.mark.parametrize("hangs", [False, True])
async def test_https_to_a_node_that_speaks_none_is_told(remote: ClusterConnection, *, hangs: bool) -> None:
    async with listening(version, hangs=hangs) as node:
        error = await refused(ElasticsearchClient(remote, [replace(node, scheme="https")]), timeout=0.5)
    assert error.details["kind"] == "http"
    assert "https://" in error.what
    assert error.cause


async def test_a_closed_https_port_keeps_its_reason(remote: ClusterConnection) -> None:
    error = await refused(ElasticsearchClient(remote, [Node(HOST, free_port((HOST,)), "https")]))
    assert error.cause == "connection refused"
