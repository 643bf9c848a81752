"""Real services of a sandbox by themselves, in checks and in trainings.

They are Elasticsearch with a password, HBase, HDFS and Spark 2.4. Only AWS and PredictionIO are stood in for.
PredictionIO itself has printed the failures' messages, which are in tests/training/pio_logs. The driver is in another
time zone. Where only PredictionIO fails, tests train without a cluster, on a driver's disk. Each test leaves the
services as it has found them; the last one ends them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.control import change_service, running_sandbox, sandbox_status, start_sandbox, stop_sandbox
from pio_tf.sandbox.processes import end_processes, find_processes
from pio_tf.sandbox.project import prepare_project
from pio_tf.sandbox.real.service_files import NAMES
from pio_tf.sandbox.sample import ITEMS, make_events
from pio_tf.sandbox.software import find_software
from tests.integration.real_services import METADATA, TIME_ZONE, Driver, Services
from tests.sandbox.test_pio_training import reference
from tests.support.background import wait_until
from tests.support.sandbox_project import Project
from tests.support.training_log import training_log
from tests.support.whole_sandbox import WholeSandbox, whole_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.errors import PioTfError
    from pio_tf.sandbox.software import Software

pytestmark = pytest.mark.sandbox

SUCCESS = "[INFO] [CoreWorkflow$] Training completed successfully."
TRAIN = ("train", "--no-apply", "--keep-up", "--skip-check", "pio-status")
"""The test of checks has asked `pio status`, which starts a Java of its own."""
CHECKS = {"elasticsearch": "elasticsearch", "zookeeper": "zookeeper", "namenode": "hdfs"}
"""The check that finds a service broken."""


@pytest.fixture(scope="module")
def sandbox(
    tmp_path_factory: pytest.TempPathFactory, java_cache: Path, released_mirror: Path
) -> Iterator[WholeSandbox]:
    with whole_sandbox(tmp_path_factory.mktemp("sandbox"), released=released_mirror, real_services=True) as running:
        yield running
    assert find_processes(running.info.directory) == []


@pytest.fixture(scope="module")
def services(sandbox: WholeSandbox) -> Iterator[Services]:
    services = Services(sandbox.info)
    yield services
    services.close()


@pytest.fixture(scope="module")
def written(services: Services) -> str:
    """Write a row to HBase and a file to HDFS. Return what their own clients then read."""
    return services.client("put-row", "put-file", "get-row", "get-file")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sandbox: WholeSandbox) -> Project:
    """Return a project with a running cluster: a driver, a master and a worker."""
    directory = tmp_path_factory.mktemp("project")
    prepare_project(directory, sandbox.info, cluster="real")
    project = Project(directory, sandbox.info, sandbox.environment)
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


def fails_alone(project: Project, services: Services, name: str, cause: str) -> None:
    """Check that the broken service is the only one that fails, with this cause and its address."""
    results = checked(project, exit_code=5)
    assert {check for check, (status, _) in results.items() if status == "failed"} == {CHECKS[name]}
    assert cause in results[CHECKS[name]][1]
    assert services.sandbox.services.host in results[CHECKS[name]][1]


def diagnosed(output: str, exit_status: int) -> PioTfError:
    """Return pio-tf's diagnosis of a failed training."""
    error = training_log(output).failure(exit_status)
    assert error is not None
    return error


def sample() -> list[tuple[str, str, str]]:
    """Return the sample events: event, user, item."""
    return [(str(one["event"]), str(one["entityId"]), str(one["targetEntityId"])) for one in make_events()]


def test_all_run_on_one_address_of_the_sandbox_and_each_has_its_process(services: Services) -> None:
    statuses, sandbox = services.statuses(), services.sandbox
    assert {name: status.state for name, status in statuses.items()} == dict.fromkeys(NAMES, "running")
    assert sandbox.services.host.startswith(sandbox.network.removesuffix("0.0/16"))
    pids = {service.pid for service in statuses.values()}
    assert pids <= {process.pid for process in find_processes(sandbox.directory)}
    assert len(pids) == len(NAMES)


def test_elasticsearch_refuses_requests_without_its_password(services: Services) -> None:
    for wrong in ("", "wrong"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            services.ask("/", password=wrong)
        assert refused.value.code == 401
        assert refused.value.headers["WWW-Authenticate"].startswith('Basic realm="security"')
        assert json.load(refused.value)["error"]["type"] == "security_exception"
    assert services.ask("/")["version"]["number"] == "6.8.23"


def test_elasticsearch_blocks_writes_to_an_index_as_a_full_disk_does(services: Services) -> None:
    assert services.ask("/full/_doc/1?refresh=true", {"name": "x"}, "PUT")["result"] == "created"
    with services.read_only("full"), pytest.raises(urllib.error.HTTPError) as refused:
        services.ask("/full/_doc/2", {"name": "y"}, "PUT")
    assert refused.value.code == 403
    assert "read-only / allow delete" in refused.value.read().decode()


def test_the_password_is_in_no_file_that_others_can_read(services: Services) -> None:
    file = services.sandbox.services.elasticsearch_password_file
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    readable = [path for path in services.sandbox.directory.rglob("*") if path.is_file() and path != file]
    assert not [path for path in readable if services.password.encode() in path.read_bytes()]
    process = services.statuses()["elasticsearch"].pid
    assert services.password.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()


def test_hbase_and_hdfs_keep_what_their_own_clients_write(services: Services, written: str) -> None:
    assert written == "row\nfile\n"
    assert services.zookeeper_says(b"srvr").startswith(b"Zookeeper version: 3.4.6")


def test_a_service_that_hangs_accepts_connections_and_answers_nothing(services: Services) -> None:
    with services.broken("hung", "zookeeper"), pytest.raises(TimeoutError):
        services.zookeeper_says(b"ruok")
    assert services.zookeeper_says(b"ruok") == b"imok"
    with services.broken("hung", "zookeeper"):
        services.change("stopped", "zookeeper")
        with pytest.raises(ConnectionRefusedError):
            services.zookeeper_says(b"ruok")


def test_a_killed_hbase_shows_as_failed_and_starts_again(services: Services) -> None:
    process = services.statuses()["hbase"].pid
    assert process is not None
    os.kill(process, signal.SIGKILL)
    assert wait_until(lambda: services.statuses()["hbase"].state == "failed")
    with pytest.raises(SandboxError, match="hbase is not hung") as caught:
        services.change("hung", "hbase")
    assert "pio-tf sandbox service start hbase" in str(caught.value)
    services.change("running", "hbase")
    assert services.client("put-row", "get-row") == "row\n"


def test_another_start_leaves_it_running_or_refuses_other_options(services: Services) -> None:
    directory = services.sandbox.directory
    assert start_sandbox(directory) == services.sandbox
    assert start_sandbox(directory, services="real") == services.sandbox
    assert start_sandbox(directory, services="real", password=True) == services.sandbox
    with pytest.raises(SandboxError, match="runs with other options"):
        start_sandbox(directory, services="light")


def test_an_unknown_service_lists_the_known_ones(services: Services) -> None:
    with pytest.raises(SandboxError, match="no service kafka") as caught:
        change_service(services.sandbox.directory, "kafka", "hung")
    assert ", ".join(NAMES) in str(caught.value)


def test_services_that_run_are_ok(project: Project) -> None:
    results = checked(project, exit_code=0)
    assert {results[check][0] for check in (*CHECKS.values(), "pio-status")} == {"ok"}
    assert "Elasticsearch 6.8.23" in results["elasticsearch"][1]


@pytest.mark.parametrize("name", CHECKS)
def test_a_service_that_hangs_is_the_only_one_that_fails(project: Project, services: Services, name: str) -> None:
    with services.broken("hung", name):
        fails_alone(project, services, name, "no answer within 5 s")


def test_a_training_waits_for_services_that_hang_and_is_proven(project: Project, services: Services) -> None:
    engine = project.home("driver") / "engine" / "engine.json"
    text = engine.read_text()
    engine.write_text(json.dumps({**json.loads(text), "standIn": {"pauseSeconds": 10}}))
    try:
        with project.start(*TRAIN) as client:
            client.says("Data sanity check is on.")
            with services.broken("hung", "zookeeper", "hbase", "namenode", "datanode"):
                client.says("/_mapping/channels]")  # the last answer before it opens HBase
                services.change("running", "zookeeper")
                assert "TrainingData" not in client.said
                services.change("running", "hbase")
                client.says("Inserting persistent model")
                assert "Updating engine instance" not in client.said
            client.ends(0)
            said, printed = client.said, client.out.read_text()
    finally:
        engine.write_text(text)
    for proof in ("exit status", "success line", "engine instance", "alias"):
        assert re.search(rf"(?m)^{proof} +yes +\S", printed), proof
    (instance,) = services.instances()
    assert instance["status"] == "COMPLETED"
    assert instance["startTime"].endswith("+05:30")
    assert services.ask("/urindex/_count")["count"] == ITEMS
    item = services.ask("/urindex/items/i063")["_source"]
    for indicator in ("purchase", "view"):
        ratios = reference("purchase", indicator, sample())["i063"]
        assert item[indicator] == sorted(ratios, key=lambda other: (-round(ratios[other], 6), other))[:50]
    (log,) = project.home("worker-1").parent.glob("work/app-*/*/stderr")
    assert "Input split: HBase table split(table name: pio_event:events_1" in log.read_text(), "a worker reads HBase"
    assert services.password not in said
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
        said = project.run(*TRAIN, exit_code=6).stderr
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
    files = services.client("list-models")  # from a directory that the first training has made
    assert {f"pio_model{newest}", f"pio_model{before}"} <= set(files.split())


def test_a_training_does_not_wait_for_elasticsearch(driver: Driver) -> None:
    driver.behave(standIn={"pauseSeconds": 10})
    with driver.start() as training:
        training.says("Data sanity check is on.")
        with driver.services.broken("hung", "namenode", "datanode"):
            training.says("Inserting persistent model")
            driver.services.change("hung", "elasticsearch")
            assert "Updating engine instance" not in training.said
        with driver.services.broken("hung", "elasticsearch"):
            training.says("Updating engine instance")
            output = training.ends(1)
    assert "HDFSModels" not in output
    error = diagnosed(output, 1)
    assert error.exit_code == 6
    assert "Elasticsearch does not answer in time" in error.cause


def test_a_metadata_index_that_refuses_writes_makes_it_retry_without_end(driver: Driver) -> None:
    line = f"[ERROR] [ESEngineInstances] Failed to create {METADATA}/engine_instances\n"
    with driver.services.read_only(METADATA), driver.start() as training:
        assert wait_until(lambda: training.said.count(line) >= 1000)
        training.send(signal.SIGTERM)
        training.process.wait()
    assert "org.elasticsearch.client.ResponseException" in (driver.home / "pio" / "log" / "pio.log").read_text()


def test_an_engine_that_is_not_built_and_then_an_app_that_does_not_exist(driver: Driver) -> None:
    driver.behave(datasource={"params": {"appName": "NoSuchApp"}})
    shutil.rmtree(driver.engine / "target")
    status, output = driver.train()
    reason = "scala.ScalaReflectionException: object com.actionml.RecommendationEngine not found."
    assert f'Exception in thread "main" {reason}\n\tat ' in output
    assert diagnosed(output, status).details["sign"] == "not-built"
    with driver.pio("build") as build:
        build.ends(0)
    status, output = driver.train()
    assert "\n[ERROR] [Common$] Invalid app name NoSuchApp\n" in output
    assert (status, diagnosed(output, status).details["sign"]) == (1, "no-app")


def test_a_stack_overflow_in_tasks(driver: Driver) -> None:
    driver.behave(standIn={"fail": "stackOverflow"})
    status, output = driver.train()
    if "Lost task" not in output:  # an executor in the driver's own process may end that before the driver says why
        status, output = driver.train()
    assert diagnosed(output, status).details["sign"] == "stack-overflow"


def test_hbase_and_zookeeper_stopped(project: Project, services: Services, driver: Driver) -> None:
    with services.broken("stopped", "zookeeper", "hbase"):
        fails_alone(project, services, "zookeeper", "connection refused")
        status, output = driver.train()
    reason = "(Reason: Data source HBASE was not properly initialized.) Please see the log for debugging details.\n"
    assert f"[ERROR] [Engine$] Error occurred reading from data source. {reason}" in output
    assert (status, diagnosed(output, status).details["sign"]) == (1, "hbase")


def test_elasticsearch_stopped(project: Project, services: Services, driver: Driver) -> None:
    with services.broken("stopped", "elasticsearch"):
        fails_alone(project, services, "elasticsearch", "connection refused")
        status, output = driver.train()
    error = diagnosed(output, status)
    assert (status, error.details["sign"]) == (1, "refused")
    assert "Elasticsearch" in error.cause


def test_models_and_metadata_that_are_refused_are_errors_of_a_success(driver: Driver) -> None:
    """HDFS has no data node. Elasticsearch has taken the engine instance, and refuses its update, which leaves INIT."""
    driver.behave(standIn={"pauseSeconds": 10})
    before = len(driver.services.instances())
    with driver.services.broken("stopped", "datanode"), driver.start() as training:
        training.says("Data sanity check is on.")
        assert wait_until(lambda: len(driver.services.instances()) > before)  # a search finds it a second later
        with driver.services.read_only(METADATA):
            output = training.ends(0)
    newest = driver.services.instances()[0]
    assert SUCCESS in output
    assert diagnosed(output, 0).details["sign"] == "model-not-stored"
    assert re.search(r"(?m)^\[ERROR\] \[HDFSModels\] .*could only be replicated to 0 nodes", output)
    assert f"[ERROR] [ESEngineInstances] Failed to update {METADATA}/engine_instances/{newest['id']}\n" in output
    assert newest["status"] == "INIT"


def test_the_name_node_stopped_is_a_success_with_an_error_and_passwords_in_pio_log(
    project: Project, services: Services, driver: Driver
) -> None:
    with services.broken("stopped", "namenode"):
        fails_alone(project, services, "namenode", "connection refused")
        status, output = driver.train()
    assert status == 0
    assert output.splitlines()[-2] == SUCCESS, output
    assert diagnosed(output, status).details["sign"] == "model-not-stored"
    assert re.search(r"(?m)^\[ERROR\] \[HDFSModels\] .*Connection refused", output)
    log = driver.home / "pio" / "log" / "pio.log"
    assert log.stat().st_mode & 0o777 == 0o644
    assert f"PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD={services.password}" in log.read_text()


@pytest.mark.usefixtures("written")
def test_services_that_were_stopped_and_started_keep_their_data_and_take_more(services: Services) -> None:
    """The name node, which was the last to start, takes files at once."""
    for name in ("hbase", "datanode", "namenode"):
        if name not in services.stopped:  # by a test before
            with services.broken("stopped", name):
                pass
    assert services.client("get-file", "put-file", "get-file", "get-row") == "file\nfile\nrow\n"


def test_no_service_outlives_a_sandbox_that_is_killed(services: Services) -> None:
    """The last test: it ends the sandbox of this module."""
    directory = services.sandbox.directory
    services.change("hung", "namenode")
    os.kill(running_sandbox(directory).pid, signal.SIGKILL)
    assert wait_until(lambda: find_processes(directory) == [])
    assert sandbox_status(directory).state == "crashed"
    assert stop_sandbox(directory)
    assert not directory.exists()
