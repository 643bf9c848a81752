"""Checks and trainings on real services: Elasticsearch with a password, HBase, HDFS and Spark 2.4.

Only AWS and PredictionIO are stood in for. PredictionIO itself has printed the failures' messages, which are in
tests/training/pio_logs. The driver is in another time zone. Where only PredictionIO fails, tests train without a
cluster, on a driver's disk. Each test leaves the services as it has found them.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import subprocess
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.sandbox.control import change_service, start_sandbox, stop_sandbox
from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.processes import end_processes
from pio_tf.sandbox.project import prepare_project
from pio_tf.sandbox.real.service_files import find_programs
from pio_tf.sandbox.sample import ITEMS, make_events
from pio_tf.sandbox.software import find_software
from tests.sandbox.driver import configure, pio_env
from tests.sandbox.test_pio_training import reference
from tests.sandbox.test_real_services import client
from tests.support.background import wait_until
from tests.support.sandbox_project import Project, clean_environment
from tests.support.training_log import training_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pio_tf.sandbox.layout import SandboxInfo, WantedState
    from pio_tf.sandbox.software import Software

METADATA = "pio_meta_engine_instances"
READ_ONLY = "index.blocks.read_only_allow_delete"
SUCCESS = "[INFO] [CoreWorkflow$] Training completed successfully."
TIME_ZONE = "Asia/Kolkata"

CHECKS = {"elasticsearch": "elasticsearch", "zookeeper": "zookeeper", "namenode": "hdfs"}
"""The check that finds a service broken."""
CAUSES: dict[WantedState, str] = {"hung": "no answer within 5 s", "stopped": "connection refused"}


class Services:
    """The real services of a sandbox."""

    def __init__(self, sandbox: SandboxInfo) -> None:
        self.sandbox = sandbox
        assert sandbox.services.elasticsearch_password_file
        self.password = sandbox.services.elasticsearch_password_file.read_text()

    def ask(self, path: str, body: object = None, method: str = "") -> Any:  # noqa: ANN401 - JSON
        """Return Elasticsearch's answer. A body that is text is sent as it is."""
        where = self.sandbox.services
        login = base64.b64encode(f"{where.elasticsearch_user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{where.host}:{where.elasticsearch}{path}",
            None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode(),
            {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def instances(self) -> list[dict[str, Any]]:
        """Return the engine instances, the newest first."""
        hits = self.ask(f"/{METADATA}/_search", {"size": 100, "sort": [{"startTime": "desc"}]})["hits"]["hits"]
        return [{"id": hit["_id"], **hit["_source"]} for hit in hits if "status" in hit["_source"]]

    @contextmanager
    def read_only(self, index: str) -> Iterator[None]:
        """Refuse writes to an index during the block, as Elasticsearch does when a disk is full."""
        self.ask(f"/{index}/_settings", {READ_ONLY: True}, "PUT")
        try:
            yield
        finally:
            self.ask(f"/{index}/_settings", {READ_ONLY: None}, "PUT")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let Elasticsearch find too little room on its disk during the block."""
        watermark = "cluster.routing.allocation.disk.watermark"
        settings = {f"{watermark}.{name}": "900000gb" for name in ("low", "high")} | {f"{watermark}.flood_stage": "1mb"}
        self.ask("/_cluster/settings", {"transient": settings}, "PUT")
        try:
            yield
        finally:
            self.ask("/_cluster/settings", {"transient": dict.fromkeys(settings)}, "PUT")

    def change(self, state: WantedState, *names: str) -> None:
        """Start, stop or hang services."""
        for name in names:
            change_service(self.sandbox.directory, name, state)

    @contextmanager
    def broken(self, state: WantedState, *names: str) -> Iterator[None]:
        """Stop or hang services during the block. Each is named before those that need it."""
        try:
            self.change(state, *reversed(names))
            yield
        finally:
            self.change("running", *names)


class Driver:
    """A driver's disk with the stand-in for PredictionIO, which trains on this computer."""

    def __init__(self, root: Path, services: Services, software: Software) -> None:
        self.services = services
        self.files = MachineFiles(root)
        lay_out(self.files, role="driver", address=services.sandbox.services.host, software=software)
        self.home = self.files.home
        where = services.sandbox.services
        configure(self.home, where)
        user = ("USERNAME=pio", f"USERNAME={where.elasticsearch_user}")
        self.change_env(user, ("'correct horse'", f"'{services.password}'"))

    def change_env(self, *changes: tuple[str, str]) -> None:
        """Change pio-env.sh as it is at first."""
        path = self.home / "pio" / "conf" / "pio-env.sh"
        text = path.read_text() if changes[0][0] in path.read_text() else pio_env(self.services.sandbox.services)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def behave(self, **how: object) -> None:
        """Change engine.json."""
        path = self.home / "engine" / "engine.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **how}))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.home / "pio" / "bin" / "pio", "train", "--", "--master", "local[1]"],
            cwd=self.home / "engine",
            env={**self.files.environment("ubuntu"), "TZ": TIME_ZONE},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def train(self) -> tuple[int, str]:
        """Return the exit status of a training, and what it printed."""
        with self.start() as process:
            output, _ = process.communicate(timeout=600)
        return process.returncode, output


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, java_cache: Path, share_mirror: Callable[[Path], Path]
) -> Iterator[Services]:
    directory = tmp_path_factory.mktemp("sandbox") / "sandbox"
    info = start_sandbox(directory, services="real", password=True, install_mirror=share_mirror, timeout=600)
    try:
        yield Services(info)
    finally:
        stop_sandbox(directory)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Project:
    """Return a project with a running cluster: a driver, a master and a worker."""
    directory = tmp_path_factory.mktemp("project")
    prepare_project(directory, services.sandbox, cluster="real")
    environment = clean_environment() | {"PIO_TF_SANDBOX_DIR": str(services.sandbox.directory)}
    project = Project(directory, services.sandbox, environment)
    project.changed(r"workers( +)= 2", r"workers\1= 1").replace(project.config)
    project.run("up")
    with (project.home("driver") / ".profile").open("a") as profile:
        profile.write(f"export TZ={TIME_ZONE}\n")
    return project


@pytest.fixture(scope="module")
def software(services: Services) -> Software:
    """Return Spark 2.4. To compare the checksums of its jars takes half a second."""
    return find_software("2.4")


@pytest.fixture
def driver(tmp_path: Path, services: Services, software: Software) -> Iterator[Driver]:
    driver = Driver(tmp_path / "driver", services, software)
    yield driver
    assert end_processes(driver.files.root) == []


def checked(project: Project, *, exit_code: int) -> dict[str, tuple[str, str]]:
    """Return the status and detail of each check."""
    checks = json.loads(project.run("check", "--json", exit_code=exit_code).stdout)["checks"]
    return {check["name"]: (check["status"], check["detail"]) for check in checks}


def diagnosed(output: str, exit_status: int) -> tuple[str, str]:
    """Return pio-tf's diagnosis of a failed training: its sign, and its cause."""
    error = training_log(output).failure(exit_status)
    assert error is not None
    return str(error.details["sign"]), error.cause


def sample() -> list[tuple[str, str, str]]:
    """Return the sample events: event, user, item."""
    return [(str(one["event"]), str(one["entityId"]), str(one["targetEntityId"])) for one in make_events()]


def test_services_that_run_are_ok(project: Project) -> None:
    results = checked(project, exit_code=0)
    assert {results[check][0] for check in (*CHECKS.values(), "pio-status")} == {"ok"}
    assert "Elasticsearch 6.8.23" in results["elasticsearch"][1]


@pytest.mark.parametrize("name", CHECKS)
def test_a_broken_service_is_the_only_one_that_fails(project: Project, services: Services, name: str) -> None:
    for state, cause in CAUSES.items():
        with services.broken(state, name):
            results = checked(project, exit_code=5)
        assert {check for check, (status, _) in results.items() if status == "failed"} == {CHECKS[name]}
        assert cause in results[CHECKS[name]][1]
        assert services.sandbox.services.host in results[CHECKS[name]][1]


def test_a_training_is_proven(project: Project, services: Services) -> None:
    done = project.run("train", "--keep-up")
    for proof in ("exit status", "success line", "engine instance", "alias"):
        assert re.search(rf"(?m)^{proof} +yes +\S", done.stdout), proof
    assert services.instances()[0]["startTime"].endswith("+05:30")
    assert services.ask("/urindex/_count")["count"] == ITEMS
    item = services.ask("/urindex/items/i063")["_source"]
    for indicator in ("purchase", "view"):
        ratios = reference("purchase", indicator, sample())["i063"]
        assert item[indicator] == sorted(ratios, key=lambda other: (-round(ratios[other], 6), other))[:50]
    (log,) = project.home("worker-1").parent.glob("work/app-*/*/stderr")
    assert "Input split: HBase table split(table name: pio_event:events_1" in log.read_text(), "a worker reads HBase"
    assert services.password not in done.stdout
    assert (project.home("driver") / "pio" / "log" / "pio.log").read_text() == ""


def test_an_unfit_model_is_put_back_and_a_rollback_goes_further(project: Project, services: Services) -> None:
    """The model before has ten times the documents: the next one, with a tenth of them, is caught."""
    shown = project.run("model", "show", "--json").stdout
    good, first = json.loads(shown)["model"]["id"], services.instances()[0]["id"]
    more = "".join(f'{{"index": {{"_id": "more{n}"}}}}\n{{"id": "more{n}"}}\n' for n in range(9 * ITEMS))
    assert not services.ask(f"/{good}/items/_bulk?refresh=true", more)["errors"]
    model = (
        'model {\n  max_shrink = "30%"\n  sample_query = { exists = { field = "purchase" } }\n  keep_models = 2\n}\n'
    )
    with project.edited(r"\Z", model):
        with services.full():
            assert checked(project, exit_code=5)["model"][0] == "failed"
        said = project.run("train", "--keep-up", "--no-apply", exit_code=6).stderr
        (run, *_) = json.loads(project.run("runs", "--json").stdout)["runs"][-1:]
        models = json.loads(project.run("model", "list", "--json").stdout)["models"]
    copy = f"pio-tf-model-urindex-{run['id'].lower()}"
    assert f"has {ITEMS} documents, 90% fewer than the {10 * ITEMS} of the model before" in said
    assert f"the model before is served again ({copy})" in said
    assert (run["state"], run["custody"]["put_back"]) == ("failed", {"urindex": copy})
    assert [(one["id"], one["state"], one["documents"]) for one in models] == [
        (copy, "served", 10 * ITEMS),
        (run["model"], "rejected", ITEMS),
    ]
    assert services.ask("/urindex/_count")["count"] == 10 * ITEMS
    was, now = (services.ask(f"/{name}")[name]["mappings"]["items"] for name in (run["model"], copy))
    assert now["properties"] == was["properties"]
    settings = services.ask(f"/{copy}/_settings")[copy]["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("5", "1")
    assert "refresh_interval" not in settings
    newest, before = services.instances()[:2]
    assert [(newest["status"]), (before["id"], before["status"])] == ["REJECTED", (first, "COMPLETED")]
    done = json.loads(project.run("model", "rollback", run["model"], "--yes", "--json").stdout)
    assert done["instances"] == {newest["id"]: "COMPLETED"}
    assert list(services.ask("/_alias/urindex")) == [run["model"]]


def test_the_model_files_of_an_engine_without_an_index_stay_in_hdfs(project: Project, services: Services) -> None:
    newest, before = (one["id"] for one in services.instances()[:2])
    engine = project.home("driver") / "engine" / "engine.json"
    text = engine.read_text()
    engine.write_text(json.dumps({**json.loads(text), "algorithms": [{"name": "als", "params": {}}]}))
    try:
        models = json.loads(project.run("model", "list", "--json").stdout)["models"]
        assert [(one["id"], one["state"]) for one in models[:2]] == [(newest, "served"), (before, "kept")]
        done = json.loads(project.run("model", "rollback", "--yes", "--json").stdout)
        assert (done["served"], done["instances"]) == ({"": before}, {newest: "REJECTED"})
        project.run("model", "rollback", newest, "--yes")
    finally:
        engine.write_text(text)
    assert [one["status"] for one in services.instances()[:2]] == ["COMPLETED", "COMPLETED"]
    files = client(find_programs(), services.sandbox, "list-models")
    assert {f"pio_model{newest}", f"pio_model{before}"} <= set(files.split())


def test_a_training_waits_for_services_that_hang_but_not_for_elasticsearch(
    project: Project, services: Services
) -> None:
    engine = project.home("driver") / "engine" / "engine.json"
    text = engine.read_text()
    engine.write_text(json.dumps({**json.loads(text), "standIn": {"pauseSeconds": 10}}))
    try:
        with project.start("train", "--keep-up") as client:
            client.says("Data sanity check is on.")
            with services.broken("hung", "zookeeper", "hbase", "namenode", "datanode"):
                client.says("/_mapping/channels]")  # the last answer before it opens HBase
                services.change("running", "zookeeper")
                assert "TrainingData" not in client.said
                services.change("running", "hbase")
                client.says("Inserting persistent model")
                services.change("hung", "elasticsearch")
                assert "Updating engine instance" not in client.said
            with services.broken("hung", "elasticsearch"):
                client.says("Updating engine instance")
                said = client.ends(6)
    finally:
        engine.write_text(text)
    assert "HDFSModels" not in said
    assert "Elasticsearch does not answer in time" in said


def test_a_model_goes_to_a_directory_that_is_made_and_passwords_to_pio_log(driver: Driver) -> None:
    driver.change_env(("HDFS_PATH=/models", "HDFS_PATH=/not/there/before"))
    status, output = driver.train()
    assert output.splitlines()[-2] == SUCCESS, output
    assert status == 0
    assert driver.services.instances()[0]["status"] == "COMPLETED"
    log = driver.home / "pio" / "log" / "pio.log"
    assert log.stat().st_mode & 0o777 == 0o644
    assert f"PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD={driver.services.password}" in log.read_text()


@pytest.mark.parametrize(
    ("name", "reason"), [("namenode", "Connection refused"), ("datanode", "could only be replicated to 0 nodes")]
)
def test_hdfs_stopped_is_a_success_with_an_error(driver: Driver, name: str, reason: str) -> None:
    with driver.services.broken("stopped", name):
        status, output = driver.train()
    assert status == 0
    assert SUCCESS in output
    assert diagnosed(output, status)[0] == "model-not-stored"
    assert re.search(rf"(?m)^\[ERROR\] \[HDFSModels\] .*{reason}", output)


def test_a_metadata_index_that_refuses_writes_makes_it_retry_without_end(driver: Driver) -> None:
    line = f"[ERROR] [ESEngineInstances] Failed to create {METADATA}/engine_instances\n"
    with driver.services.read_only(METADATA), driver.start() as process:
        assert process.stdout is not None
        found = 0
        for printed in process.stdout:
            found += printed == line
            if found == 1000:
                break
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert "org.elasticsearch.client.ResponseException" in (driver.home / "pio" / "log" / "pio.log").read_text()


def test_an_update_of_the_metadata_that_is_refused_leaves_the_instance_init(driver: Driver) -> None:
    driver.behave(standIn={"pauseSeconds": 10})
    before = len(driver.services.instances())
    with driver.start() as process:
        assert wait_until(lambda: len(driver.services.instances()) > before, within=300)
        with driver.services.read_only(METADATA):
            output, _ = process.communicate(timeout=600)
    newest = driver.services.instances()[0]
    assert f"[ERROR] [ESEngineInstances] Failed to update {METADATA}/engine_instances/{newest['id']}\n" in output
    assert SUCCESS in output
    assert (process.returncode, newest["status"]) == (0, "INIT")


def test_an_engine_that_is_not_built_and_then_an_app_that_does_not_exist(driver: Driver) -> None:
    driver.behave(datasource={"params": {"appName": "NoSuchApp"}})
    shutil.rmtree(driver.home / "engine" / "target")
    status, output = driver.train()
    reason = "scala.ScalaReflectionException: object com.actionml.RecommendationEngine not found."
    assert f'Exception in thread "main" {reason}\n\tat ' in output
    assert diagnosed(output, status)[0] == "not-built"
    subprocess.run(
        [driver.home / "pio" / "bin" / "pio", "build"],
        cwd=driver.home / "engine",
        env=driver.files.environment("ubuntu"),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    status, output = driver.train()
    assert "\n[ERROR] [Common$] Invalid app name NoSuchApp\n" in output
    assert (status, diagnosed(output, status)[0]) == (1, "no-app")


def test_a_stack_overflow_in_tasks(driver: Driver) -> None:
    driver.behave(standIn={"fail": "stackOverflow"})
    status, output = driver.train()
    assert diagnosed(output, status)[0] == "stack-overflow"


def test_hbase_and_zookeeper_stopped(driver: Driver) -> None:
    with driver.services.broken("stopped", "zookeeper", "hbase"):
        status, output = driver.train()
    reason = "(Reason: Data source HBASE was not properly initialized.) Please see the log for debugging details.\n"
    assert f"[ERROR] [Engine$] Error occurred reading from data source. {reason}" in output
    assert (status, diagnosed(output, status)[0]) == (1, "hbase")


def test_elasticsearch_stopped(driver: Driver) -> None:
    with driver.services.broken("stopped", "elasticsearch"):
        status, output = driver.train()
    sign, cause = diagnosed(output, status)
    assert (status, sign) == (1, "refused")
    assert "Elasticsearch" in cause
