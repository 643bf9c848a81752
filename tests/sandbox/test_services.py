"""The stand-ins for Elasticsearch, ZooKeeper and the HDFS name node: what PredictionIO and pio-tf ask of them."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.services import LocalServices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSTANCES = "/pio_meta_engine_instances/engine_instances"


class Client:
    """Asks Elasticsearch."""

    def __init__(self, services: LocalServices) -> None:
        self.address = f"{services.where.host}:{services.where.elasticsearch}"

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status, and the JSON of the answer."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        with closing(http.client.HTTPConnection(self.address, timeout=10)) as connection:
            connection.request(method, path, body=data)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")

    def ok(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        status, answer = self.ask(method, path, body)
        assert status in (200, 201), answer
        return answer

    def found(self, path: str, body: object) -> list[str]:
        """Return the ids of the documents that a search finds."""
        return [hit["_id"] for hit in self.ok("POST", f"{path}/_search", body)["hits"]["hits"]]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[LocalServices]:
    with LocalServices() as running:
        yield running


@pytest.fixture
def client(services: LocalServices) -> Client:
    return Client(services)


def send(address: tuple[str, int], data: bytes) -> bytes:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_elasticsearch_says_its_version_and_that_it_is_a_stand_in(client: Client) -> None:
    root = client.ok("GET", "/")
    assert (root["cluster_name"], root["version"]["number"]) == ("elasticsearch", "5.6.9")
    assert "stand-in" in root["tagline"]
    with urllib.request.urlopen(f"http://{client.address}", timeout=10) as response:
        assert "stand-in" in response.headers["Server"]
    assert client.ok("GET", "/_cluster/health")["status"] == "green"


def test_a_document_is_written_changed_and_removed(client: Client) -> None:
    written = client.ok("POST", f"{INSTANCES}?refresh=true", {})
    assert (written["result"], len(written["_id"])) == ("created", 20)
    path = f"{INSTANCES}/{written['_id']}"
    assert client.ok("PUT", path, {"status": "INIT"})["result"] == "updated"
    assert client.ok("GET", path)["_source"] == {"status": "INIT"}
    assert client.ok("GET", path)["_version"] == 2
    assert client.ask("HEAD", path)[0] == 200
    assert client.ok("DELETE", path)["result"] == "deleted"
    assert client.ask("GET", path) == (
        404,
        {
            "_index": "pio_meta_engine_instances",
            "_type": "engine_instances",
            "_id": written["_id"],
            "found": False,
        },
    )


def test_the_query_for_completed_instances_finds_the_newest_first(client: Client) -> None:
    instances = {
        "old": ("COMPLETED", "2024-05-01T10:00:00.000Z"),
        "new": ("COMPLETED", "2024-05-02T12:00:00.000+02:00"),
        "newer": ("INIT", "2024-05-03T10:00:00.000Z"),
    }
    for name, (status, started) in instances.items():
        client.ok("PUT", f"{INSTANCES}/{name}", {"status": status, "startTime": started, "engineId": "ur"})
    client.ok("PUT", f"{INSTANCES}/empty", {})
    completed = {"bool": {"must": [{"term": {"status": "COMPLETED"}}, {"term": {"engineId": "ur"}}]}}
    newest_first = [{"startTime": {"order": "desc"}}]
    assert client.found(INSTANCES, {"query": completed, "sort": newest_first}) == ["new", "old"]
    assert client.found(INSTANCES, {"query": completed, "sort": newest_first, "size": 1}) == ["new"]
    later = {"range": {"startTime": {"gte": "2024-05-02T10:00:00Z"}}}
    assert client.found("/pio_meta*", {"query": later, "sort": "startTime"}) == ["new", "newer"]
    assert len(client.found(INSTANCES, {"query": {"match_all": {}}, "sort": newest_first})) == 4
    assert client.found("/pio_meta*/other_type", {}) == []
    assert client.ok("GET", "/pio_meta_engine_instances/_count")["count"] == 4


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"terms": {"tags": ["b", "x"]}}, ["one"]),
        ({"bool": {"filter": {"term": {"tags": "a"}}, "must_not": {"term": {"size": 1}}}}, ["two"]),
        ({"bool": {"should": [{"term": {"size": 2}}, {"term": {"size": 3}}]}}, ["two"]),
        ({"range": {"size": {"gt": 1}}}, ["two"]),
        ({"range": {"size": {"lt": "text"}}}, []),
        ({"term": {"inside.name": {"value": "x"}}}, ["one"]),
    ],
)
def test_documents_are_found_by_query(client: Client, query: object, found: list[str]) -> None:
    client.ok("PUT", "/i/t/one", {"tags": ["a", "b"], "size": 1, "inside": {"name": "x"}})
    client.ok("PUT", "/i/t/two", {"tags": ["a"], "size": 2})
    assert client.found("/i", {"query": query}) == found


def test_a_search_shows_the_fields_that_it_asks_for(client: Client) -> None:
    client.ok("PUT", "/i/t/one", {"status": "INIT", "env": {"PASSWORD": "secret"}})
    (hit,) = client.ok("POST", "/i/_search", {"_source": ["status", "startTime"]})["hits"]["hits"]
    assert hit["_source"] == {"status": "INIT"}


def test_a_hot_swap_moves_the_alias_and_removes_the_old_index_in_one_step(client: Client) -> None:
    for index in ("urindex_1", "urindex_2"):
        assert client.ask("HEAD", f"/{index}")[0] == 404
        client.ok("PUT", f"/{index}", {"mappings": {"items": {"properties": {"id": {"type": "keyword"}}}}})
        lines = ({"index": {"_id": "a"}}, {"id": "a", "purchase": ["b"]})
        bulk = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        assert client.ok("POST", f"/{index}/items/_bulk", bulk)["errors"] is False
    assert client.ask("GET", "/_alias/urindex") == (404, {"error": "alias [urindex] missing", "status": 404})
    client.ok("POST", "/_aliases", {"actions": [{"add": {"index": "urindex_1", "alias": "urindex"}}]})
    assert client.ok("GET", "/_alias/urindex") == {"urindex_1": {"aliases": {"urindex": {}}}}
    swap = [{"add": {"index": "urindex_2", "alias": "urindex"}}, {"remove_index": {"index": "urindex_1"}}]
    client.ok("POST", "/_aliases", {"actions": swap})
    assert client.ok("GET", "/_alias/urindex") == {"urindex_2": {"aliases": {"urindex": {}}}}
    assert client.ask("GET", "/urindex_1")[0] == 404
    assert client.ok("GET", "/urindex/items/a")["_index"] == "urindex_2"
    assert client.found("/urindex", {"query": {"term": {"purchase": "b"}}}) == ["a"]


def test_alias_actions_are_done_together_or_not_at_all(client: Client) -> None:
    client.ok("PUT", "/one")
    actions = [{"add": {"index": "one", "alias": "x"}}, {"remove": {"index": "one", "alias": "never"}}]
    assert client.ask("POST", "/_aliases", {"actions": actions})[0] == 404
    assert client.ask("HEAD", "/_alias/x")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("GET", "/missing/_search", None, 404, "index_not_found_exception"),
        ("DELETE", "/missing", None, 404, "index_not_found_exception"),
        ("PUT", "/there", None, 400, "index_already_exists_exception"),
        ("PUT", "/there/t/1", b"{", 400, "json_parse_exception"),
        ("POST", "/there/_search", {"query": {"fuzzy": {"a": "b"}}}, 400, "parsing_exception"),
        ("POST", "/_aliases", {"actions": [{"add": {"index": "there", "alias": "there"}}]}, 400, "invalid_alias"),
    ],
)
def test_what_elasticsearch_would_refuse_is_refused(
    client: Client, method: str, path: str, body: object, status: int, kind: str
) -> None:
    client.ok("PUT", "/there")
    refused, answer = client.ask(method, path, body)
    assert refused == answer["status"] == status
    assert answer["error"]["type"].startswith(kind)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/_cat/indices/x/y", 400), ("PATCH", "/", 405)])
def test_an_unknown_request_is_refused_by_name(client: Client, method: str, path: str, status: int) -> None:
    refused, answer = client.ask(method, path)
    assert refused == status
    assert path in answer["error"]


def test_zookeeper_says_that_it_is_well(services: LocalServices) -> None:
    address = (services.where.host, services.where.zookeeper)
    assert send(address, b"ruok") == b"imok"
    assert b"stand-in" in send(address, b"srvr")
    assert send(address, b"\0\0\0\0") == b""


def test_the_name_node_takes_connections(services: LocalServices) -> None:
    address = (services.where.host, services.where.namenode)
    assert send(address, b"hrpc\x09\x00\x00") == b""
    assert b"stand-in" in send(address, b"GET / HTTP/1.0\r\n\r\n")


def test_others_get_an_address_of_their_own_and_the_next_ones_the_same_again() -> None:
    with LocalServices() as first, LocalServices() as second:
        here, other = first.where, second.where
        assert here.host != other.host
        Client(first).ok("PUT", "/first")
        assert Client(second).ask("HEAD", "/first")[0] == 404
        first.stop()
        with pytest.raises(SandboxError, match="not running"):
            _ = first.where
        with pytest.raises(ConnectionRefusedError):
            send((here.host, here.zookeeper), b"ruok")
        with LocalServices() as again:
            assert again.where == here


def test_a_server_that_has_a_usual_port_on_every_address_is_not_in_the_way() -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))  # noqa: S104 - as an Elasticsearch of the user's own might
        everywhere.listen()
        port = everywhere.getsockname()[1]
        with LocalServices(ports=(port, 2181, 9000)) as services:
            assert services.where.elasticsearch != port
            assert Client(services).ok("GET", "/")
