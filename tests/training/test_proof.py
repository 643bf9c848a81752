"""Elasticsearch's proofs of a training, before and after it."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from msgspec.structs import asdict, replace

from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.proof import Before, Proof, Traces, contradiction, look_before, prove
from tests.support.ssh_cluster import ONE_ATTEMPT, QUICK, TestCluster
from tests.support.ssh_servers import free_port
from tests.training.elasticsearch_server import HOST, Node, Question, listening, not_found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FACTORY = "com.actionml.RecommendationEngine"
TRACES = Traces(engine_factory=FACTORY, engine_variant="default", metadata="pio_meta", aliases=("urindex",))
STARTED = datetime(2019, 3, 1, 3, 0, 0, tzinfo=timezone.utc).timestamp()
NEW = "pio_meta_engine_instances"


@pytest_asyncio.fixture
async def remote(cluster: TestCluster) -> AsyncIterator[ClusterConnection]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield remote


def document(identifier: str, start: str, **others: str) -> dict[str, Any]:
    """Return an engine instance as PIO stores it, with the fields that our question shows."""
    source = {
        "status": "COMPLETED",
        "startTime": start,
        "engineFactory": FACTORY,
        "engineVariant": "default",
        "engineVersion": "0a1b",
        **others,
    }
    return {"_index": "i", "_type": "engine_instances", "_id": identifier, "_source": source}


OLD = document("AV-old", "2019-02-28T12:00:00.000+09:00")
"""Of a driver in Japan, on the day before."""
OURS = document("AV-ours", "2019-03-01T12:00:05.120+09:00")
BEGUN = {"_index": "i", "_type": "engine_instances", "_id": "AV-begun", "_source": {}}


class Service:
    """The part of Elasticsearch that is asked: indices with documents, aliases with indices."""

    def __init__(self) -> None:
        self.documents: dict[str, list[dict[str, Any]]] = {NEW: [OLD]}
        self.aliases: dict[str, list[str]] = {"urindex": ["urindex_1551300000000"]}
        self.status = 200

    def __call__(self, question: Question) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"error": {"reason": "closed"}}
        if question.path.startswith("/_alias/"):
            alias = question.path.removeprefix("/_alias/")
            if alias not in self.aliases:
                return 404, {"error": f"alias [{alias}] missing", "status": 404}
            return 200, {index: {"aliases": {alias: {}}} for index in self.aliases[alias]}
        index = question.path.removesuffix("/_search").removeprefix("/")
        if index not in self.documents:
            return not_found(index)
        # Newest first, and last what has no start: so the question asks for it.
        assert question.json["sort"][0]["startTime"]["order"] == "desc"
        assert "env" not in question.json["_source"]
        hits = sorted(self.documents[index], key=lambda hit: str(hit["_source"].get("startTime", "")), reverse=True)
        return 200, {"_shards": {"total": 5}, "hits": {"total": len(hits), "hits": hits}}

    def train(self, instance: dict[str, Any] = OURS, *, index: str = NEW) -> None:
        self.documents.setdefault(index, []).append(instance)
        self.aliases["urindex"] = ["urindex_1551409300000"]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest_asyncio.fixture
async def es(remote: ClusterConnection, service: Service) -> AsyncIterator[ElasticsearchClient]:
    async with listening(service) as node:
        yield ElasticsearchClient(remote, [node])


async def proofs(es: ElasticsearchClient | None, before: Before, traces: Traces = TRACES) -> dict[str, Proof]:
    found = await prove(es, traces, before, started=STARTED, exit_status=0, success_line_seen=True)
    assert [proof.name for proof in found] == ["exit status", "success line", "engine instance", "alias"]
    assert all(proof.detail for proof in found)
    return {proof.name: proof for proof in found}


async def test_a_training_leaves_a_completed_instance_and_a_new_index_behind_the_alias(
    es: ElasticsearchClient, service: Service
) -> None:
    before = await look_before(es, TRACES)
    assert before == Before("AV-old", {"urindex": ("urindex_1551300000000",)})
    service.train()
    found = await proofs(es, before)
    assert [proof.held for proof in found.values()] == [True] * 4
    instance, alias = found["engine instance"], found["alias"]
    assert instance.detail == "engine instance AV-ours, started at 2019-03-01 03:00:05 UTC, is COMPLETED"
    assert alias.detail == (
        "alias urindex points to urindex_1551409300000, which is new; before: urindex_1551300000000"
    )
    assert (instance.model, alias.model) == ("AV-ours", "urindex_1551409300000")
    assert contradiction(tuple(found.values())) is None


async def test_what_was_before_survives_a_record_in_json(es: ElasticsearchClient, service: Service) -> None:
    kept = json.loads(json.dumps(asdict(await look_before(es, TRACES))))
    service.documents[NEW].append(OURS)
    found = await proofs(es, Before(**kept))
    assert found["engine instance"].held is True
    assert found["alias"].held is False


async def test_the_first_training_of_all_has_nothing_before_it(es: ElasticsearchClient, service: Service) -> None:
    service.documents.clear()
    service.aliases.clear()
    before = await look_before(es, TRACES)
    assert before.indices == {"urindex": ()}
    service.train()
    found = await proofs(es, before)
    assert found["engine instance"].held is True
    assert found["alias"].held is True


@pytest.mark.parametrize("index", ["pio_meta", NEW])
async def test_the_index_of_every_pio_is_looked_at(es: ElasticsearchClient, service: Service, index: str) -> None:
    service.documents = {"pio_meta": [BEGUN, OLD], NEW: []} if index == "pio_meta" else {"pio_meta": [OLD], NEW: []}
    before = await look_before(es, TRACES)
    assert before.instance == "AV-old"
    service.train(index=index)
    assert (await proofs(es, before))["engine instance"].held is True


@pytest.mark.parametrize(
    ("instance", "held", "detail"),
    [
        (document("A", "2019-03-01T03:00:01.000Z", status="INIT"), False, "A of this run is INIT, not COMPLETED"),
        (BEGUN, False, "no engine instance of com.actionml.RecommendationEngine (variant default) since 2019-03-01"),
        (document("A", "2019-03-01T02:30:00.000Z"), False, "no engine instance of"),
        (document("A", "2019-03-01T12:00:01.000+10:00"), False, "no engine instance of"),
        (document("A", "at noon"), False, "no engine instance of"),
        (document("A", "2019-03-01T02:59:30.000Z"), True, "COMPLETED"),
        (document("A", "2019-03-01T03:00:01.000Z", engineVariant="other"), None, "but none of com.actionml"),
        (document("A", "2019-03-01T03:00:01.000Z", engineFactory="x.Y"), None, "but none of com.actionml"),
    ],
)
async def test_the_instance_must_be_this_engines_completed_and_started_in_this_run(
    es: ElasticsearchClient, service: Service, instance: dict[str, Any], held: bool | None, detail: str
) -> None:
    before = await look_before(es, TRACES)
    service.documents[NEW].append(instance)
    proof = (await proofs(es, before))["engine instance"]
    assert proof.held is held
    assert detail in proof.detail


async def test_a_run_just_before_this_one_is_not_taken_for_it(es: ElasticsearchClient, service: Service) -> None:
    service.documents[NEW].append(document("AV-quick", "2019-03-01T02:59:30.000Z"))
    before = await look_before(es, TRACES)
    assert (await proofs(es, before))["engine instance"].held is False


async def test_a_run_beside_this_one_does_not_hide_it(es: ElasticsearchClient, service: Service) -> None:
    before = await look_before(es, TRACES)
    service.documents[NEW] += [OURS, document("AV-later", "2019-03-01T03:01:00.000Z", status="INIT")]
    assert (await proofs(es, before))["engine instance"].held is True


async def test_an_engine_in_another_directory_is_another_engine(es: ElasticsearchClient, service: Service) -> None:
    before = await look_before(es, TRACES)
    service.train()
    same = await proofs(es, before, replace(TRACES, engine_version="0a1b"))
    assert same["engine instance"].held is True
    other = await proofs(es, before, replace(TRACES, engine_version="ffff"))
    assert other["engine instance"].held is None


async def test_an_alias_that_stayed_or_is_gone_is_no_hot_swap(es: ElasticsearchClient, service: Service) -> None:
    before = await look_before(es, TRACES)
    proof = (await proofs(es, before))["alias"]
    assert proof.held is False
    assert "points to urindex_1551300000000, as before the run" in proof.detail
    service.aliases.clear()
    proof = (await proofs(es, before))["alias"]
    assert proof == Proof("alias", False, "there is no alias urindex any more")


async def test_an_alias_that_lost_one_of_its_indices_is_no_hot_swap(es: ElasticsearchClient, service: Service) -> None:
    service.aliases["urindex"] = ["urindex_1", "urindex_2"]
    before = await look_before(es, TRACES)
    service.aliases["urindex"] = ["urindex_2"]
    assert (await proofs(es, before))["alias"].held is False


async def test_one_alias_of_two_that_did_not_move_is_told(es: ElasticsearchClient, service: Service) -> None:
    traces = replace(TRACES, aliases=("urindex", "second"))
    service.aliases["second"] = ["second_1"]
    before = await look_before(es, traces)
    service.train()
    proof = (await proofs(es, before, traces))["alias"]
    assert proof.held is False
    assert "alias second" in proof.detail


async def test_what_does_not_apply_is_no_contradiction(es: ElasticsearchClient, service: Service) -> None:
    """Another engine than the Universal Recommender, metadata in a database, no Elasticsearch, an index elsewhere."""
    service.aliases.clear()
    cases = [
        (es, replace(TRACES, aliases=()), "alias", "is not the Universal Recommender"),
        (es, TRACES, "alias", "there is no alias urindex"),
        (es, replace(TRACES, metadata=""), "engine instance", "not in Elasticsearch"),
        (es, replace(TRACES, metadata="elsewhere"), "engine instance", "no index elsewhere"),
        (None, TRACES, "engine instance", "was not asked"),
        (None, TRACES, "alias", "was not asked"),
    ]
    for asked, traces, name, detail in cases:
        found = await proofs(asked, await look_before(asked, traces), traces)
        assert found[name].held is None
        assert detail in found[name].detail


@pytest.mark.parametrize("status", [401, 500])
async def test_a_service_that_refuses_proves_nothing(es: ElasticsearchClient, service: Service, status: int) -> None:
    service.status = status
    before = await look_before(es, TRACES)
    assert before == Before(None, {"urindex": None})
    found = await proofs(es, before)
    for name in ("engine instance", "alias"):
        assert found[name].held is None
        assert f"status {status} (closed)" in found[name].detail
    assert contradiction(tuple(found.values())) is None


async def test_a_service_that_is_down_proves_nothing(remote: ClusterConnection) -> None:
    down = ElasticsearchClient(remote, [Node(HOST, free_port((HOST,)), "http")])
    found = await proofs(down, await look_before(down, TRACES))
    assert found["engine instance"].held is None
    assert "connection refused" in found["engine instance"].detail


async def test_a_lost_driver_proves_nothing(cluster: TestCluster, service: Service) -> None:
    async with (
        listening(service) as node,
        ClusterConnection(cluster.config(), cluster.targets(), retry=ONE_ATTEMPT) as remote,
    ):
        es = ElasticsearchClient(remote, [node])
        before = await look_before(es, TRACES)
        await cluster.driver.stop()
        found = await proofs(es, before)
    assert [found[name].held for name in ("engine instance", "alias")] == [None, None]


async def test_an_alias_that_was_not_looked_at_before_proves_nothing(es: ElasticsearchClient, service: Service) -> None:
    service.train()
    found = await proofs(es, Before())
    assert found["engine instance"].held is True
    assert found["alias"].held is None
    assert "points to urindex_1551409300000" in found["alias"].detail


async def test_documents_of_other_kinds_are_passed_over(es: ElasticsearchClient, service: Service) -> None:
    """PIO 0.12 keeps apps and access keys in the same index."""
    service.documents = {"pio_meta": [{"_id": "7", "_source": {"name": "shop"}}, OLD, BEGUN]}
    assert (await look_before(es, TRACES)).instance == "AV-old"


async def test_a_contradiction_is_a_failed_training_with_every_proof_for_programs(es: ElasticsearchClient) -> None:
    found = tuple((await proofs(es, await look_before(es, TRACES))).values())
    error = contradiction(found)
    assert error is not None
    assert error.exit_code == 6
    assert "no engine instance of" in error.cause
    assert "alias urindex points to urindex_1551300000000" in error.cause
    assert "read_only" in error.next_step
    assert error.details["proofs"] == [asdict(proof) for proof in found]
    assert json.dumps(error.details)


async def test_pio_itself_is_the_first_witness() -> None:
    failed = await prove(None, TRACES, Before(), started=STARTED, exit_status=1, success_line_seen=False)
    assert [proof.held for proof in failed] == [False, False, None, None]
    assert failed[0].detail == "pio train exited with 1"
    unknown = await prove(None, TRACES, Before(), started=STARTED, exit_status=None, success_line_seen=True)
    assert [proof.held for proof in unknown] == [None, True, None, None]
    assert contradiction(failed) is None


async def test_the_sandboxs_elasticsearch_is_understood(remote: ClusterConnection) -> None:
    testing = pytest.importorskip("werkzeug.test")
    sandbox = pytest.importorskip("pio_tf.sandbox.services")
    client = testing.Client(sandbox.LocalElasticsearch())

    def answer(question: Question) -> tuple[int, Any]:
        response = client.open(question.path, method=question.method, data=question.body)
        return response.status_code, response.json

    async with listening(answer) as node:
        es = ElasticsearchClient(remote, [node])
        before = await look_before(es, TRACES)
        assert before == Before(None, {"urindex": ()})
        client.put(f"/{NEW}/engine_instances/AV-old", json=OLD["_source"])
        client.post(f"/{NEW}/engine_instances", json={})
        before = await look_before(es, TRACES)
        assert before.instance == "AV-old"
        client.put("/urindex_2/items/1", json={"id": "1"})
        client.post("/_aliases", json={"actions": [{"add": {"index": "urindex_2", "alias": "urindex"}}]})
        client.put(f"/{NEW}/engine_instances/AV-ours", json=OURS["_source"])
        found = await proofs(es, before)
    assert [proof.held for proof in found.values()] == [True] * 4
