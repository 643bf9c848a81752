"""The model that is served: copied before a training, checked after it, put back if the new one is unfit."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from msgspec.structs import asdict
from werkzeug.test import Client as WebClient

from pio_tf.cluster.driver import Driver
from pio_tf.cluster.model import ModelsOfEngine
from pio_tf.errors import ConfigError, Locked, NotReady, PioTfError, TrainingFailed
from pio_tf.events import Done, Event, Warned
from pio_tf.sandbox.services import LocalElasticsearch
from pio_tf.training.custody.custodian import Custodian
from pio_tf.training.custody.custody import Custody, not_put_back
from pio_tf.training.custody.model_index import COPY_PREFIX, ModelIndex, changed_fields, is_copy_of
from pio_tf.training.custody.model_indices import ModelIndices
from pio_tf.training.custody.models import Models, Rollback
from pio_tf.training.custody.order import PROGRAMS, files_to_keep_model
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.proof import ALIAS, ENGINE_INSTANCE, Proof, Traces
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.runs.run_storage import RunStorage
from tests.support.builders import OUTPUTS
from tests.support.driver_runs import ANN, SUCCESS, make_finish, started
from tests.support.session import context_of, session_of
from tests.support.ssh_cluster import running
from tests.training.elasticsearch_server import HOST, Question, certificate, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from pathlib import Path

    from pio_tf.context import ClusterContext
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.driver_session import DriverSession
    from tests.support.ssh_cluster import TestCluster
    from tests.training.elasticsearch_server import Node

FACTORY = "com.actionml.RecommendationEngine"
META = "pio_meta_engine_instances"
RUNS = ("20261123T180000Z-0001", "20261123T190000Z-0002", "20261123T200000Z-0003")
COPIES = tuple(f"{COPY_PREFIX}ur-{run.lower()}" for run in RUNS)
TRACES = Traces(FACTORY, "default", metadata="pio_meta", aliases=("ur",))
LIMITS: dict[str, Any] = {"max_shrink": "30%", "keep_models": 2}
ENGINE = {"id": "default", "engineFactory": FACTORY}


@dataclass
class Shop:
    """An engine on a driver, its Elasticsearch, and what pio-tf has reported."""

    remote: ClusterConnection
    cluster: TestCluster
    node: Node
    elasticsearch: LocalElasticsearch
    events: list[Event] = field(default_factory=list)
    answers: dict[str, Callable[[Question], tuple[int, Any] | None]] = field(default_factory=dict)
    """Other answers than those of the stand-in, by method and path up to the question mark."""
    trained: int = 0

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        return WebClient(self.elasticsearch).open(path, method=method, json=body).json

    def context(self, **limits: object) -> ClusterContext:
        """Return what a command knows, with these options of the model block."""
        return self._context(limits, {})

    def _context(self, limits: Mapping[str, object], elasticsearch: Mapping[str, Any]) -> ClusterContext:
        node = {"hosts": [f"{self.node.host}:{self.node.port}"], **elasticsearch}
        config = self.cluster.config(model={**LIMITS, **limits}, elasticsearch=node)
        return context_of(config, report=self.events.append)

    def custodian(self, **limits: object) -> Custodian:
        return Custodian(self.context(**limits), self.remote)

    @property
    def engine(self) -> Path:
        return self.cluster.driver.home / "ur"

    def models(self) -> Models:
        return Models(self.context(), self.remote)

    async def states(self) -> dict[str, str]:
        return {one.id: one.state for one in await self.models().list()}

    def write_engine(self, **params: str) -> None:
        self.engine.mkdir(exist_ok=True)
        algorithm = {"name": "ur", "params": params}
        (self.engine / "engine.json").write_text(json.dumps({**ENGINE, "algorithms": [algorithm] if params else []}))

    def train(self, documents: int, *fields: str, made: float = 0) -> str:
        """Train a model as the Universal Recommender does: swap the index, and remove the old one."""
        self.trained += 1
        index = f"ur_{int(made or 1795461000 + self.trained)}000"
        properties = {name: {"type": "keyword"} for name in ("id", *(fields or ("purchase",)))}
        settings = {"index": {"number_of_shards": "3", "refresh_interval": "5s"}}
        self.ask("PUT", f"/{index}", {"settings": settings, "mappings": {"items": {"properties": properties}}})
        for number in range(documents):
            self.ask("PUT", f"/{index}/items/i{number}", {"id": f"i{number}", "purchase": ["i0"]})
        add = {"add": {"index": index, "alias": "ur"}}
        actions = [add, *({"remove_index": {"index": one}} for one in self.served())]
        self.ask("POST", "/_aliases", {"actions": actions})
        source = {
            "status": "COMPLETED",
            "startTime": f"2026-11-23T0{self.trained}:00:00.000Z",
            "engineFactory": FACTORY,
            "engineVariant": "default",
            # PredictionIO's own: of the directory's path.
            "engineVersion": hashlib.sha1(str(self.engine.resolve()).encode()).hexdigest(),  # noqa: S324
        }
        self.ask("PUT", f"/{META}/engine_instances/E{self.trained}", source)
        return index

    def served(self) -> list[str]:
        return [name for name, one in self.ask("GET", "/_alias").items() if "ur" in one["aliases"]]

    def instances(self) -> dict[str, str]:
        hits = self.ask("POST", f"/{META}/_search", {"size": 50})["hits"]["hits"]
        return {hit["_id"]: hit["_source"]["status"] for hit in hits}

    async def keep(
        self, run: str, *, ends: bool = False, elasticsearch: Mapping[str, Any] | None = None, **limits: object
    ) -> tuple[int, dict[str, Any], str]:
        """Let the driver keep the model, as before a training on AWS's schedule.

        Args:
            ends: end its program once the copy has begun.

        Returns:
            Its exit status, the custody for the run's record, and the problem.
        """
        directory = self.cluster.driver.home / "custody"
        directory.mkdir(exist_ok=True)
        for name, text in files_to_keep_model(self._context(limits, elasticsearch or {}), TRACES).items():
            (directory / name).write_text(text)
        with (directory / "order").open() as order:
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, directory / "keep_model.py", run),
                stdin=order,
                stdout=subprocess.PIPE,
                env={"PYTHONIOENCODING": "ascii"},  # of a unit without a locale
            )
        while ends and not any(one.path.startswith("/_tasks/") for one in self.node.questions):
            await asyncio.sleep(0.05)
        if ends:
            program.terminate()
        output, _ = await program.communicate()
        said, _, problem = output.decode().partition("\n")
        return await program.wait(), json.loads(said or "{}"), problem.strip()

    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    async def run(self, run: str, documents: int, **limits: object) -> RunRecord:
        """Keep the model, train, judge, conclude: what a client does around `pio train`."""
        custodian = self.custodian(**limits)
        custody = await custodian.before(TRACES, run, skip_copy=False)
        index = self.train(documents)
        own = (Proof(ENGINE_INSTANCE, True, "", f"E{self.trained}"), Proof(ALIAS, True, "", index))
        before = record(run, custody)
        proofs = (*own, *await custodian.judge(before))
        state: Any = "failed" if any(proof.held is False for proof in proofs) else "succeeded"
        judged = before.with_(state=state, proofs=tuple(asdict(proof) for proof in proofs))
        return await custodian.conclude(judged, proofs)


def record(run: str, custody: Custody | None) -> RunRecord:
    facts: dict[str, Any] = {"traces": asdict(TRACES), "custody": asdict(custody) if custody else {}}
    return RunRecord(run, "ur", Client("ann", "laptop", 7, ""), "pio train", "~/ur", **facts)


@pytest_asyncio.fixture
async def shop(remote: ClusterConnection, cluster: TestCluster) -> AsyncIterator[Shop]:
    elasticsearch = LocalElasticsearch()
    client = WebClient(elasticsearch)

    def answer(question: Question) -> tuple[int, Any]:
        other = world.answers.get(f"{question.method} {question.path.partition('?')[0]}")
        if other is not None and (said := other(question)) is not None:
            return said
        response = client.open(question.path, method=question.method, data=question.body)
        return response.status_code, response.json

    async with listening(answer) as node:
        world = Shop(remote, cluster, node, elasticsearch)
        world.write_engine(indexName="ur", typeName="items")
        yield world


async def test_a_model_with_a_tenth_of_the_documents_is_caught_and_the_one_before_is_served_again(shop: Shop) -> None:
    shop.train(50)
    done = await shop.run(RUNS[0], 5)
    failed = next(proof for proof in done.proofs if proof["name"] == "documents")
    assert failed["held"] is False
    assert failed["detail"] == (
        "ur_1795461002000 has 5 documents, 90% fewer than the 50 of the model before: model.max_shrink is 30%"
    )
    assert shop.served() == [COPIES[0]]
    assert shop.ask("GET", "/ur/_count")["count"] == 50
    assert shop.ask("GET", "/ur/items/i49")["_source"] == {"id": "i49", "purchase": ["i0"]}
    assert shop.instances() == {"E1": "COMPLETED", "E2": "REJECTED"}
    assert Custody.of(done) == Custody({"ur": 50}, {"ur": COPIES[0]}, {"ur": COPIES[0]})
    assert not_put_back([done]) == ""
    assert await shop.states() == {COPIES[0]: "served", "ur_1795461002000": "rejected"}


async def test_a_copy_has_the_settings_the_mapping_and_the_alias_of_its_model(shop: Shop) -> None:
    good = shop.train(3)
    await shop.custodian().before(TRACES, RUNS[0], skip_copy=False)
    was, copy = (shop.ask("GET", f"/{name}")[name] for name in (good, COPIES[0]))
    for name in ("number_of_shards", "number_of_replicas", "refresh_interval"):
        assert copy["settings"]["index"][name] == was["settings"]["index"][name]
    assert copy["mappings"]["items"]["properties"] == was["mappings"]["items"]["properties"]
    assert copy["aliases"] == {}
    note = copy["mappings"]["items"]["_meta"]["pio-tf"]
    assert (note["source"], note["documents"], note["instance"], note["complete"]) == (good, 3, "E1", True)
    bodies = [question.json for question in shop.node.questions if question.path.startswith("/_reindex")]
    assert bodies == [{"source": {"index": good, "size": 1000}, "dest": {"index": COPIES[0]}}]


async def test_good_trainings_keep_as_many_models_as_they_are_to(shop: Shop) -> None:
    shop.train(50)
    for number, run in enumerate(RUNS):
        done = await shop.run(run, 50 + number)
        assert done.state == "succeeded"
    assert await shop.states() == {"ur_1795461004000": "served", COPIES[2]: "kept"}
    kept = (await shop.models().list())[1]
    assert (kept.documents, kept.engine_instance, kept.copy_of) == (51, "E3", "ur_1795461003000")


async def test_a_copy_that_a_failed_run_left_is_used_again(shop: Shop) -> None:
    shop.train(4)
    for run in RUNS[:2]:  # no training replaces the model
        custody = await shop.custodian().before(TRACES, run, skip_copy=False)
        assert custody is not None
        assert custody.kept == {"ur": COPIES[0]}
    assert len(await shop.states()) == 2
    with pytest.raises(NotReady, match="no model before the one that is served as ur is kept"):
        await shop.models().roll_back("", by="ann", force=False)


async def test_without_a_model_block_nothing_is_asked(shop: Shop) -> None:
    shop.train(4)
    custodian = shop.custodian(max_shrink=None, keep_models=1)
    assert await custodian.before(TRACES, RUNS[0], skip_copy=False) is None
    assert await custodian.judge(record(RUNS[0], None)) == ()
    assert shop.node.questions == []


@pytest.mark.parametrize(
    ("limits", "documents", "held"),
    [
        ({"max_shrink": None, "min_documents": 10}, 9, False),
        ({"max_shrink": None, "min_documents": 10}, 10, True),
        ({"max_shrink": "30%"}, 7, True),
        ({"max_shrink": "30%"}, 6, False),
        ({"max_shrink": None, "sample_query": {"exists": {"field": "purchase"}}}, 1, True),
        ({"max_shrink": None, "sample_query": {"exists": {"field": "view"}}}, 20, False),
    ],
)
async def test_each_limit_of_the_model_block(shop: Shop, limits: dict[str, Any], documents: int, held: bool) -> None:
    shop.train(10)
    done = await shop.run(RUNS[0], documents, **limits)
    assert done.state == ("succeeded" if held else "failed")
    assert done.proofs[-1]["held"] is held


async def test_an_unfit_model_without_a_copy_is_served_on_but_not_deployed(shop: Shop) -> None:
    shop.train(10)
    done = await shop.run(RUNS[0], 1, keep_models=1)
    assert done.state == "failed"
    assert shop.served() == ["ur_1795461002000"]
    assert shop.instances() == {"E1": "COMPLETED", "E2": "REJECTED"}
    await shop.custodian().before(TRACES, RUNS[1], skip_copy=False)
    assert "is served (run 20261123T180000Z-0001: ur_1795461002000 has 1 document" in shop.warnings()[-1]
    assert list((await shop.states()).values()) == ["served"], "an unfit model is not worth a copy"


async def test_a_run_that_is_looked_at_late_does_not_judge_the_model_of_a_later_one(shop: Shop) -> None:
    shop.train(10)
    custodian = shop.custodian()
    custody = await custodian.before(TRACES, RUNS[0], skip_copy=False)
    shop.train(10)
    later = shop.train(1)
    ended = 1795461002.0  # of the second of these trainings
    (proof,) = await custodian.judge(record(RUNS[0], custody).with_(started=ended - 1, ended=ended - 100))
    assert (proof.held, proof.detail) == (None, f"{later}, which is served, is not of this run")


async def test_a_client_that_dies_before_the_rollback_leaves_it_to_the_next_one(shop: Shop) -> None:
    shop.train(10)
    shop.answers["POST /_aliases"] = lambda _question: (503, {"error": "no master"})
    done = await shop.run(RUNS[0], 1)
    assert shop.served() == ["ur_1795461002000"]
    assert "could not put the model before back" in shop.warnings()[-1]
    assert not_put_back([done]).startswith(f"the model of run {RUNS[0]} failed its checks and may still be served")
    shop.answers.clear()
    custody = await shop.custodian().before(TRACES, RUNS[1], skip_copy=False)
    assert shop.served() == [COPIES[0]]
    assert custody is not None
    assert custody.documents == {"ur": 10}
    assert shop.instances() == {"E1": "COMPLETED", "E2": "REJECTED"}
    assert "ur_1795461002000 was still served" in shop.warnings()[-1]
    assert await shop.states() == {COPIES[0]: "served", COPIES[1]: "kept"}


async def test_a_half_copy_is_removed_and_no_training_begins(shop: Shop) -> None:
    shop.train(10)
    shop.answers["GET /_tasks/sandbox:1"] = lambda _question: (
        200,
        {
            "completed": True,
            "response": {"failures": [{"cause": {"reason": "blocked by: [FORBIDDEN/12/index read-only]"}}]},
        },
    )
    with pytest.raises(NotReady, match="could not be copied before the training") as caught:
        await shop.custodian().before(TRACES, RUNS[0], skip_copy=False)
    assert "blocked by: [FORBIDDEN/12/index read-only]" in caught.value.cause
    assert "--skip-check model" in caught.value.next_step
    assert await shop.states() == {"ur_1795461001000": "served"}


async def test_a_copy_that_lacks_documents_is_none(shop: Shop) -> None:
    shop.train(10)
    shop.answers[f"POST /{COPIES[0]}/_count"] = lambda _question: (200, {"count": 9})
    with pytest.raises(NotReady, match="could not be copied") as caught:
        await shop.custodian().before(TRACES, RUNS[0], skip_copy=False)
    assert "it has 9 of 10 documents" in caught.value.cause


async def test_an_interrupted_copy_is_removed_by_the_next_training_once_nothing_writes_to_it(shop: Shop) -> None:
    shop.train(10)
    copying = asyncio.Event()

    def still(_question: Question) -> tuple[int, Any]:
        copying.set()
        return 200, {"completed": False, "task": {"status": {"created": 1}}}

    shop.answers["GET /_tasks/sandbox:1"] = still
    shop.answers[f"DELETE /{COPIES[0]}"] = lambda _question: (503, {"error": "no master"})
    work = asyncio.ensure_future(shop.custodian().before(TRACES, RUNS[0], skip_copy=False))
    await asyncio.wait_for(copying.wait(), timeout=30)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await shop.states() == {"ur_1795461001000": "served", COPIES[0]: "incomplete"}
    with pytest.raises(NotReady, match="no complete copy"):
        await shop.models().roll_back(COPIES[0], by="ann", force=False)
    shop.answers.clear()
    busy = [{"nodes": {"n": {"tasks": {"n:9": {"description": f"reindex from [ur] to [{COPIES[0]}]"}}}}}]
    shop.answers["GET /_tasks"] = lambda _question: (200, busy.pop() if busy else {"nodes": {}})
    await shop.custodian().before(TRACES, RUNS[1], skip_copy=False)
    assert "/_tasks/n:9/_cancel" in [question.path for question in shop.node.questions]
    assert await shop.states() == {"ur_1795461001000": "served", COPIES[1]: "kept"}


async def test_a_rollback_goes_back_and_forth_and_metadata_follows(shop: Shop) -> None:
    shop.train(10)
    await shop.run(RUNS[0], 11)
    back = await shop.models().roll_back("", by="ann on laptop", force=False)
    assert back == Rollback({"ur": COPIES[0]}, ("ur_1795461002000",), {"E2": "REJECTED"})
    assert shop.served() == [COPIES[0]]
    newest = (await shop.models().list())[1]
    assert (newest.state, newest.rejected) == ("rejected", f"ann on laptop went back to {COPIES[0]}")
    forth = await shop.models().roll_back("1002000", by="ann on laptop", force=False)
    assert forth == Rollback({"ur": "ur_1795461002000"}, (COPIES[0],), {"E2": "COMPLETED"})
    assert await shop.states() == {"ur_1795461002000": "served", COPIES[0]: "kept"}


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ("", NotReady, "no model before the one that is served as ur is kept"),
        ("nonsense", ConfigError, "there is no model 'nonsense'"),
        ("ur", ConfigError, "ur_1795461001000 is served already"),
    ],
)
async def test_a_rollback_without_a_model_to_go_back_to(
    shop: Shop, wanted: str, kind: type[PioTfError], message: str
) -> None:
    shop.train(10)
    with pytest.raises(kind, match=message) as caught:
        await shop.models().roll_back(wanted, by="ann", force=False)
    assert caught.value.next_step


async def test_a_rollback_to_a_model_with_another_mapping_is_refused_unless_forced(shop: Shop) -> None:
    shop.train(10)
    await shop.custodian().before(TRACES, RUNS[0], skip_copy=False)
    shop.train(10, "purchase", "view")
    with pytest.raises(NotReady, match="the mapping of") as caught:
        await shop.models().roll_back("", by="ann", force=False)
    assert caught.value.cause == "view is missing"
    assert "--force" in caught.value.next_step
    assert (await shop.models().roll_back("", by="ann", force=True)).served == {"ur": COPIES[0]}


async def test_an_engine_with_model_files_goes_back_by_its_instances(shop: Shop) -> None:
    for _ in range(3):
        shop.train(1)
    shop.write_engine()
    assert await shop.states() == {"E3": "served", "E2": "kept", "E1": "kept"}
    assert (await shop.models().roll_back("", by="ann", force=False)).instances == {"E3": "REJECTED"}
    assert (await shop.models().roll_back("E1", by="ann", force=False)).instances == {"E2": "REJECTED"}
    assert await shop.states() == {"E1": "served", "E3": "rejected", "E2": "rejected"}
    with pytest.raises(NotReady, match="is kept"):
        await shop.models().roll_back("", by="ann", force=False)
    assert (await shop.models().roll_back("E3", by="ann", force=False)).served == {"": "E3"}
    assert shop.instances() == {"E1": "COMPLETED", "E2": "REJECTED", "E3": "COMPLETED"}


async def test_a_run_with_an_unfit_model_is_a_failed_training(
    shop: Shop, remote: ClusterConnection, tmp_path: Path
) -> None:
    shop.train(10)
    custodian = shop.custodian()
    custody = await custodian.before(TRACES, RUNS[0], skip_copy=False)
    index = shop.train(1, made=time.time())
    run = await started(
        remote, tmp_path, SUCCESS, facts={"traces": asdict(TRACES), "custody": asdict(custody or Custody())}
    )
    proofs = (Proof(ENGINE_INSTANCE, True, "", "E2"), Proof(ALIAS, True, "", index))
    with pytest.raises(TrainingFailed, match="the new model fails the checks") as caught:
        await make_finish(remote, tmp_path, shop.events.append, proofs=proofs, custodian=custodian).follow(run.id)
    assert caught.value.exit_code == 6
    assert caught.value.details["sign"] == "unfit-model"
    assert caught.value.next_step.startswith(f"the model before is served again ({COPIES[0]})")
    kept = json.loads((shop.cluster.driver.home / ".pio-tf" / "runs" / run.id / "result").read_text())
    assert kept["state"] == "failed"
    assert kept["cause"].startswith(f"the new model fails the checks of pio-tf.hcl: {index} has 1 document")
    assert kept["custody"]["put_back"] == {"ur": COPIES[0]}


@dataclass(frozen=True)
class OneDriver:
    """The driver of the shop. Each session has a connection of its own, in a loop that ends with it."""

    shop: Shop

    def running(self, _outputs: object, *, strict: bool) -> tuple[None, None]:
        assert not strict
        return None, None

    def session(self, _view: None, work: Callable[[DriverSession], Coroutine[Any, Any, Rollback]]) -> Rollback:
        machines = [running(target) for target in self.shop.cluster.targets()]

        async def connected() -> Rollback:
            async with session_of(self.shop.context().config, machines, report=self.shop.events.append) as session:
                return await work(session)

        return asyncio.run(connected())


async def roll_back(shop: Shop, wanted: str = "") -> Rollback:
    """Go back as `pio-tf model rollback` does."""
    models = ModelsOfEngine(shop.context(), cast("Any", OneDriver(shop)))
    return await asyncio.to_thread(models.roll_back, cast("Any", None), wanted, force=False)


async def list_runs(shop: Shop) -> tuple[RunRecord, ...]:
    """Return the runs as `pio-tf runs` does."""
    context = shop.context()
    view = SimpleNamespace(driver_runs=True, running=[running(target) for target in shop.cluster.targets()])
    fleet: Any = SimpleNamespace(look=lambda *_outputs, **_how: view)
    deadline: Any = SimpleNamespace(watch=lambda: None)
    storage = RunStorage(context, report_driver=cast("Any", None))
    driver = Driver(context, fleet, deadline, storage, cast("Any", None), None)
    return await asyncio.to_thread(driver.runs, OUTPUTS)


async def test_a_rollback_while_a_run_is_active_is_refused(shop: Shop, remote: ClusterConnection) -> None:
    shop.train(10)
    await shop.run(RUNS[0], 11)
    async with hold_driver_lock(remote, ANN, doing="running", run=RUNS[1]):
        with pytest.raises(Locked, match=f"run {RUNS[1]} is active, started by ann on laptop") as caught:
            await roll_back(shop)
    assert caught.value.exit_code == 4
    assert shop.served() == ["ur_1795461002000"]


async def test_a_rollback_ends_the_warning_about_an_unfit_model(
    shop: Shop, remote: ClusterConnection, tmp_path: Path
) -> None:
    shop.train(10)
    custodian = shop.custodian()
    custody = await custodian.before(TRACES, RUNS[0], skip_copy=False)
    shop.train(1, made=time.time())
    run = await started(
        remote, tmp_path, SUCCESS, facts={"traces": asdict(TRACES), "custody": asdict(custody or Custody())}
    )
    shop.answers["POST /_aliases"] = lambda _question: (503, {"error": "no master"})
    with pytest.raises(TrainingFailed) as caught:
        await make_finish(remote, tmp_path, shop.events.append, custodian=custodian).follow(run.id)
    assert caught.value.next_step == "`pio-tf model rollback` puts the model before back"
    shop.answers.clear()
    warned = f"the model of run {run.id} failed its checks and may still be served"
    await list_runs(shop)
    assert warned in shop.warnings()[-1]
    assert (await roll_back(shop)).served == {"ur": COPIES[0]}
    shop.events.clear()
    (listed,) = await list_runs(shop)
    assert listed.custody["put_back"] == {"ur": COPIES[0]}
    assert shop.warnings() == []


def index(name: str, mappings: Mapping[str, Any], alias: str = "ur") -> ModelIndex:
    return ModelIndex(name, alias, {}, {}, mappings)


def test_a_copy_is_of_one_alias_whatever_the_others_are_called() -> None:
    assert is_copy_of("pio-tf-model-ur-20261123t180000z-0001", "ur")
    assert not is_copy_of("pio-tf-model-ur-2-20261123t180000z-0001", "ur")
    assert not is_copy_of("ur_1795461001000", "ur")


def test_what_a_mapping_lacks_is_named_and_what_it_has_more_is_not() -> None:
    old = index("old", {"items": {"properties": {"id": {"type": "keyword"}, "more": {"type": "keyword"}}}})
    new = index("new", {"items": {"properties": {"id": {"type": "long"}, "view": {"type": "keyword"}}}})
    assert changed_fields(old, new) == ["view is missing", "id is keyword, not long"]
    assert changed_fields(new, index("other", {"things": {}})) == ["its type is items, not things"]


async def test_a_model_without_source_cannot_be_copied(shop: Shop) -> None:
    es = ElasticsearchClient(shop.remote, [shop.node])
    sourceless = index("ur_1", {"items": {"_source": {"enabled": False}}})
    with pytest.raises(NotReady, match="could not be copied") as caught:
        await ModelIndices(es, shop.events.append).copy(sourceless, RUNS[0], documents=1, instance="")
    assert "keeps no _source" in caught.value.cause
    assert shop.node.questions == []
    assert not [event for event in shop.events if isinstance(event, Done)]


HALF = {"completed": False, "task": {"status": {"created": 1}}}


async def test_a_driver_without_a_client_makes_the_copy_that_a_client_makes(shop: Shop) -> None:
    good = shop.train(3)
    by_client = await shop.custodian().before(TRACES, RUNS[0], skip_copy=False)
    made = shop.ask("GET", f"/{COPIES[0]}")[COPIES[0]]
    asked = [(one.method, one.path, one.body) for one in shop.node.questions]
    shop.ask("DELETE", f"/{COPIES[0]}")
    shop.node.questions.clear()
    status, custody, problem = await shop.keep(RUNS[0])
    assert (status, problem) == (0, "")
    assert by_client is not None
    assert custody == asdict(by_client) == {"documents": {"ur": 3}, "kept": {"ur": COPIES[0]}, "put_back": {}}
    again = shop.ask("GET", f"/{COPIES[0]}")[COPIES[0]]
    for one in (made, again):
        del one["settings"]["index"]["creation_date"]
    assert again == made
    assert again["mappings"]["items"]["_meta"]["pio-tf"]["instance"] == "E1"
    changes = [
        [(method, path.replace("sandbox:2", "sandbox:1"), body) for method, path, body in questions if method != "GET"]
        for questions in (asked, [(one.method, one.path, one.body) for one in shop.node.questions])
    ]
    assert set(changes[1]) == set(changes[0]), "the same requests change Elasticsearch in the same way"
    assert await shop.states() == {good: "served", COPIES[0]: "kept"}


async def test_a_client_puts_the_copy_of_a_scheduled_training_back(
    shop: Shop, remote: ClusterConnection, tmp_path: Path
) -> None:
    shop.train(10)
    _, custody, _ = await shop.keep(RUNS[0])
    index = shop.train(1, made=time.time())
    facts = {"traces": asdict(TRACES), "custody": custody, "scheduled": "2026-11-23T18:00:00Z"}
    run = await started(remote, tmp_path, SUCCESS, facts=facts)
    done = await make_finish(remote, tmp_path, shop.events.append, custodian=shop.custodian()).collect(run.id)
    assert (done.state, done.custody["put_back"]) == ("failed", {"ur": COPIES[0]})
    assert f"{index} has 1 document, 90% fewer than the 10 of the model before" in done.cause
    assert shop.served() == [COPIES[0]]
    assert shop.instances() == {"E1": "COMPLETED", "E2": "REJECTED"}


async def test_a_driver_alone_uses_a_copy_again_and_keeps_no_more_than_it_is_to(shop: Shop) -> None:
    shop.train(4)
    await shop.keep(RUNS[0])
    _, custody, _ = await shop.keep(RUNS[1])
    assert custody["kept"] == {"ur": COPIES[0]}
    shop.train(5)
    await shop.keep(RUNS[1])
    newest = shop.train(6)
    await shop.keep(RUNS[2])
    # The one before a training, and one that a bad training would have to leave.
    assert await shop.states() == {newest: "served", COPIES[2]: "kept", COPIES[1]: "kept"}


async def test_a_driver_alone_keeps_no_model_that_failed(shop: Shop) -> None:
    shop.train(10)
    bad = (await shop.run(RUNS[0], 1, keep_models=1)).proofs[1]["model"]
    assert await shop.keep(RUNS[1]) == (0, {"documents": {"ur": 1}, "kept": {}, "put_back": {}}, "")
    assert list(await shop.states()) == [bad]


async def test_a_driver_alone_removes_what_is_left_of_an_interrupted_copy(shop: Shop) -> None:
    good = shop.train(10)
    shop.answers["GET /_tasks/sandbox:1"] = lambda _question: (200, HALF)
    shop.answers[f"DELETE /{COPIES[0]}"] = lambda _question: (503, {"error": "no master"})
    assert (await shop.keep(RUNS[0], ends=True))[0] == 143
    assert "/_tasks/sandbox:1/_cancel" in [question.path for question in shop.node.questions]
    assert (await shop.states())[COPIES[0]] == "incomplete"
    shop.answers.clear()
    await shop.keep(RUNS[1])
    assert await shop.states() == {good: "served", COPIES[1]: "kept"}


def answering(said: dict[str, Any], _question: Question) -> tuple[int, Any]:
    return 200, said


READ_ONLY = {"completed": True, "response": {"failures": [{"cause": {"reason": "blocked by: index read-only, Größe"}}]}}
FULL = {"nodes": {"n": {"fs": {"total": {"total_in_bytes": 1000, "available_in_bytes": 101}}}}}
HIGH = {"defaults": {"cluster.routing.allocation.disk.watermark.high": "90%"}}


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (
            {"GET /_tasks/sandbox:1": READ_ONLY},
            "Elasticsearch could not copy all documents: blocked by: index read-only, Größe",
        ),
        ({f"POST /{COPIES[0]}/_count": {"count": 9}}, "the copy of ur_1795461001000 has 9 of 10 documents"),
        ({"GET /_nodes/stats/fs": FULL, "GET /_cluster/settings": HIGH}, "MiB are free below the high watermark"),
    ],
)
async def test_no_training_begins_without_the_copy_that_it_is_to_keep(
    shop: Shop, answers: dict[str, Any], problem: str
) -> None:
    good = shop.train(10)
    shop.answers.update({path: partial(answering, said) for path, said in answers.items()})
    status, _, why = await shop.keep(RUNS[0])
    assert status == 1
    assert problem in why
    assert await shop.states() == {good: "served"}


async def test_a_driver_alone_does_not_guess_which_of_two_indices_is_the_model(shop: Shop) -> None:
    shop.train(10)
    shop.ask("PUT", "/other", {"aliases": {"ur": {}}})
    status, _, why = await shop.keep(RUNS[0])
    assert (status, why) == (1, "alias ur points to 2 indices: other, ur_1795461001000")


async def test_a_driver_alone_logs_in_over_tls_as_the_client_that_has_left_its_order(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = certificate(tmp_path, HOST)
    shop.train(3)
    web = WebClient(shop.elasticsearch)

    def answer(question: Question) -> tuple[int, Any]:
        response = web.open(question.path, method=question.method, data=question.body)
        return response.status_code, response.json

    async with listening(answer, tls=server, login=("pio", "pa55word")) as node:
        shop.node = node
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "search.pem"))
        login = {"user": "pio", "password": "pa55word", "scheme": "https"}
        assert (await shop.keep(RUNS[0], elasticsearch=login))[1]["kept"] == {"ur": COPIES[0]}
        status, _, why = await shop.keep(RUNS[1], elasticsearch={**login, "password": "old"})
        assert (status, why) == (
            1,
            f"Elasticsearch at {HOST}:{node.port} answered with status 401: unable to authenticate user [pio] for REST",
        )
        monkeypatch.delenv("SSL_CERT_FILE")
        status, _, why = await shop.keep(RUNS[1], elasticsearch=login)
        assert status == 1
        assert "certificate verify failed" in why


async def test_a_driver_that_only_counts_trains_without_an_answer(shop: Shop) -> None:
    shop.train(10)
    assert await shop.keep(RUNS[0], keep_models=1) == (0, {"documents": {"ur": 10}, "kept": {}, "put_back": {}}, "")
    shop.answers["POST /ur_1795461001000/_count"] = lambda _question: (403, {"error": {"reason": "no permission"}})
    status, custody, problem = await shop.keep(RUNS[0], keep_models=1)
    assert (status, custody["documents"]) == (0, {})
    assert problem.endswith("answered with status 403: no permission")
    assert files_to_keep_model(shop.context(max_shrink=None, keep_models=1), TRACES) == {}


def test_python_3_6_can_read_what_a_driver_runs() -> None:
    for name in PROGRAMS:
        source = resources.files("pio_tf").joinpath("training", name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 6))
        assert "from __future__" not in source
