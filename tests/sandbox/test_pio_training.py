"""The stand-in's training: its numbers against a reference in plain Python, on a local Spark.

What a training reads and writes is the same without Spark (:mod:`tests.integration.no_spark`): most tests have none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.processes import end_processes
from pio_tf.sandbox.services import LocalServices
from tests.integration.training import PIO_WITHOUT_SPARK, lay_out_no_spark
from tests.sandbox.driver import CLOSED_PORT, ask, configure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("class_archive")


ADDRESS = "127.77.20.10"
FACTORY = "com.actionml.RecommendationEngine"
EVENTS = [
    *(("purchase", user, item) for user in ("u1", "u2") for item in ("a", "b")),
    ("purchase", "u3", "c"),
    ("purchase", "u3", "c"),  # twice is as good as once
    ("purchase", "u4", "c"),
    ("purchase", "u4", "d"),
    *(("view", user, "c") for user in ("u1", "u3", "u4")),
    *(("view", user, "e") for user in ("u1", "u2")),
    ("view", "u5", "a"),  # never buys: does not count
    ("view", "u5", "e"),
]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[LocalServices]:
    with LocalServices() as running:
        yield running


@contextlib.contextmanager
def driver_in(directory: Path, services: LocalServices) -> Iterator[MachineFiles]:
    files = MachineFiles(directory / "driver")
    lay_out(files, role="driver", address=ADDRESS)
    configure(files.home, services.where)
    write_events(files, EVENTS)
    yield files
    assert end_processes(files.root) == []


@pytest.fixture
def driver(tmp_path: Path, services: LocalServices) -> Iterator[MachineFiles]:
    with driver_in(tmp_path, services) as files:
        yield files


@dataclass(frozen=True)
class Trained:
    """A driver after its first training."""

    driver: MachineFiles
    services: LocalServices
    result: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with LocalServices() as services, driver_in(tmp_path_factory.mktemp("trained"), services) as driver:
        write_engine(driver, sparkConf={"spark.ui.enabled": "false"})
        yield Trained(driver, services, train(driver))


def write_events(files: MachineFiles, events: list[tuple[str, str, str]]) -> None:
    lines = [
        {"event": name, "entityType": "user", "entityId": user, "targetEntityType": "item", "targetEntityId": item}
        for name, user, item in events
    ]
    text = "".join(
        json.dumps(line) + "\n" for line in [*lines, {"event": "$set", "entityType": "item", "entityId": "a"}]
    )
    (files.home / "engine" / "events.jsonl").write_text(text)


def engine_json(*, indicators: list[dict[str, Any]], **more: object) -> str:
    params = {"indexName": "urindex", "typeName": "items", "indicators": indicators}
    algorithms = [{"name": "ur", "params": params}]
    return json.dumps({"id": "default", "engineFactory": FACTORY, "algorithms": algorithms, **more})


def write_engine(files: MachineFiles, **more: object) -> None:
    text = engine_json(indicators=[{"name": "purchase"}, {"name": "view", "maxCorrelatorsPerItem": 1}], **more)
    (files.home / "engine" / "engine.json").write_text(text)


def train(files: MachineFiles, *arguments: str, pio: str = "pio") -> subprocess.CompletedProcess[str]:
    command = shlex.join([f"../{pio}/bin/pio", "train", *arguments, "--", "--master", "local[1]"])
    return subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=files.home / "engine",
        env=files.environment("ubuntu"),
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
        timeout=300,
    )


def train_without_spark(files: MachineFiles, *arguments: str) -> subprocess.CompletedProcess[str]:
    lay_out_no_spark(files.home)
    home = files.home / PIO_WITHOUT_SPARK
    shutil.copytree(files.home / "pio" / "conf", home / "conf", dirs_exist_ok=True)
    return train(files, *arguments, pio=home.name)


def train_before_spark(files: MachineFiles) -> subprocess.CompletedProcess[str]:
    """Run only the program that spark-submit runs for `pio train`, its streams joined, too. It ends before Spark."""
    options = ("--engine-id", "x", "--engine-version", "x", "--engine-variant", "engine.json", "--env", "")
    program = shlex.join([sys.executable, "../pio/lib/train.py", *options])
    return subprocess.run(
        ["/bin/bash", "-c", f"set -a; . ../pio/conf/pio-env.sh; exec {program}"],
        cwd=files.home / "engine",
        env=files.environment("ubuntu"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def instances(services: LocalServices) -> list[dict[str, Any]]:
    """Return the engine instances in Elasticsearch, the newest first."""
    found = ask(services.where, "/pio_meta_engine_instances/engine_instances/_search")
    return sorted((hit["_source"] for hit in found["hits"]["hits"]), key=lambda one: one["startTime"], reverse=True)


def entropy(*counts: int) -> float:
    total = sum(counts)
    return -sum(count * math.log(count / total) for count in counts if count)


def reference(
    primary: str, indicator: str, events: Iterable[tuple[str, str, str]] = EVENTS
) -> dict[str, dict[str, float]]:
    """Return item -> correlator -> ratio, by Dunning's formula as it stands in the paper."""
    pairs = set(events)
    buyers = {user for event, user, _ in pairs if event == primary}
    first = {(user, item) for event, user, item in pairs if event == primary}
    second = {(user, item) for event, user, item in pairs if event == indicator and user in buyers}
    indicated: dict[str, set[str]] = defaultdict(set)
    for user, item in second:
        indicated[user].add(item)
    both = Counter((a, b) for user, a in first for b in indicated[user] if indicator != primary or a != b)
    with_first, with_second = (Counter(item for _, item in found) for found in (first, second))
    model: dict[str, dict[str, float]] = {}
    for (a, b), k11 in both.items():
        k12 = with_first[a] - k11
        k21 = with_second[b] - k11
        k22 = len(buyers) - k11 - k12 - k21
        rows, columns = entropy(k11 + k12, k21 + k22), entropy(k11 + k21, k12 + k22)
        ratio = 2 * (rows + columns - entropy(k11, k12, k21, k22))
        if ratio > 1e-6:
            model.setdefault(a, {})[b] = ratio
    return model


def test_the_model_is_the_one_of_the_formula(trained: Trained) -> None:
    driver, result = trained.driver, trained.result
    assert result.stdout.splitlines()[-1] == "[INFO] [CoreWorkflow$] Training completed successfully.", result.stderr
    assert (result.returncode, result.stderr) == (0, "")
    (directory,) = (driver.home / ".pio_store" / "models").iterdir()
    model = {item["id"]: item for item in map(json.loads, (directory / "model.jsonl").read_text().splitlines())}
    assert sorted(model) == ["a", "b", "c", "d"]
    # As calculated: 2 of 4 users have both, the other 2 neither: 4 n ln 2 with n = 2.
    assert model["a"]["purchase"][0] == {"item": "b", "llr": pytest.approx(8 * math.log(2), abs=1e-6)}
    purchases = reference("purchase", "purchase")
    for item in model:
        found = {one["item"]: one["llr"] for one in model[item].get("purchase", [])}
        assert found == pytest.approx(purchases.get(item, {}), abs=1e-6)
    for item, expected in reference("purchase", "view").items():
        strongest = min(expected, key=lambda one: (-round(expected[one], 6), one))
        assert model[item]["view"] == [{"item": strongest, "llr": pytest.approx(expected[strongest], abs=1e-6)}]
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["items"] == 4
    assert metadata["correlators"]["purchase"] == sum(map(len, purchases.values()))


def test_it_leaves_a_completed_instance_and_a_new_index_behind_the_alias(trained: Trained) -> None:
    driver, services = trained.driver, trained.services
    (first,) = instances(services)
    assert first["status"] == "COMPLETED"
    assert (first["engineId"], first["engineVariant"], first["engineFactory"]) == (FACTORY, "default", FACTORY)
    assert first["engineVersion"] == hashlib.sha1(bytes(driver.home / "engine"), usedforsecurity=False).hexdigest()
    assert datetime.fromisoformat(first["startTime"].replace("Z", "+00:00")) < datetime.now(timezone.utc)
    assert first["startTime"] < first["endTime"]
    assert first["env"]["PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD"] == "correct horse"
    assert first["sparkConf"] == {"spark.ui.enabled": "false"}
    assert json.loads(first["algorithmsParams"])[0]["ur"]["indexName"] == "urindex"
    (index,) = ask(services.where, "/_alias/urindex")
    assert index.startswith("urindex_")
    item = ask(services.where, "/urindex/items/a")
    assert (item["_index"], item["_source"]) == (index, {"id": "a", "purchase": ["b"], "view": ["e"]})

    assert train_without_spark(driver).returncode == 0
    (another,) = ask(services.where, "/_alias/urindex")
    assert another > index
    assert "error" in ask(services.where, f"/{index}")
    assert [one["status"] for one in instances(services)] == ["COMPLETED", "COMPLETED"]
    assert len({one["id"] for one in instances(services)}) == 2


def test_without_elasticsearch_it_ends_before_spark_starts(driver: MachineFiles, services: LocalServices) -> None:
    configure(driver.home, replace(services.where, elasticsearch=CLOSED_PORT))
    result = train_before_spark(driver)
    assert '\nException in thread "main" java.net.ConnectException: Connection refused\n\tat ' in result.stdout
    assert "Starting Spark" not in result.stdout
    assert result.returncode == 1


def test_without_a_source_named_elasticsearch_there_is_no_place_for_the_model(
    driver: MachineFiles, services: LocalServices
) -> None:
    text = (driver.home / "pio" / "conf" / "pio-env.sh").read_text()
    renamed = text.replace("SOURCES_ELASTICSEARCH", "SOURCES_SEARCH").replace("SOURCE=ELASTICSEARCH", "SOURCE=SEARCH")
    (driver.home / "pio" / "conf" / "pio-env.sh").write_text(renamed)
    result = train_without_spark(driver)
    assert "java.lang.IllegalStateException: No Elasticsearch client configuration detected" in result.stderr
    assert result.returncode == 1
    assert [one["status"] for one in instances(services)] == ["INIT"]


def test_an_exception_that_is_asked_for_has_a_cause_and_leaves_the_model_as_it_was(
    driver: MachineFiles, services: LocalServices
) -> None:
    write_engine(driver, standIn={"fail": "exception"})
    result = train(driver)
    assert 'Exception in thread "main" org.apache.spark.SparkException: Job aborted' in result.stdout
    assert "\nCaused by: java.lang.IllegalArgumentException: " in result.stdout
    assert result.returncode == 1
    assert [one["status"] for one in instances(services)] == ["INIT"]
    assert ask(services.where, "/_alias/urindex")["status"] == 404


def test_writes_that_fail_are_lines_in_the_log_of_a_success_as_in_predictionio(
    driver: MachineFiles, services: LocalServices
) -> None:
    configure(driver.home, replace(services.where, namenode=CLOSED_PORT))
    write_engine(driver, standIn={"fail": "metadata"})
    result = train_without_spark(driver)
    assert "\n[ERROR] [HDFSModels] Call From " in result.stdout
    assert "\n[ERROR] [ESEngineInstances] Failed to update pio_meta_engine_instances/engine_" in result.stdout
    assert result.stdout.endswith("Training completed successfully.\n")
    assert result.returncode == 0
    assert [one["status"] for one in instances(services)] == ["INIT"]


def test_spark_stops_after_the_success_line_as_in_predictionio(driver: MachineFiles, services: LocalServices) -> None:
    lay_out_no_spark(driver.home)
    spark = driver.home / PIO_WITHOUT_SPARK / "lib" / "java_spark.py"
    spark.write_text(spark.read_text() + '\n\nSpark.stop = lambda self: print("Spark stops", flush=True)\n')
    result = train_without_spark(driver)
    assert result.stdout.splitlines()[-2:] == [
        "[INFO] [CoreWorkflow$] Training completed successfully.",
        "Spark stops",
    ]


def test_it_pauses_and_makes_noise_as_asked(driver: MachineFiles) -> None:
    write_engine(driver, standIn={"pauseSeconds": 1.5, "noiseMegabytes": 3, "binary": True})
    began = time.monotonic()
    result = train_without_spark(driver, "--stop-after-prepare")
    assert time.monotonic() - began > 1.5
    assert len(result.stdout) > 3_000_000
    assert "\\xff\\xfe" in result.stdout
    assert "StopAfterPrepareInterruption" in result.stdout


def test_an_engine_that_is_not_built_is_not_found(driver: MachineFiles) -> None:
    shutil.rmtree(driver.home / "engine" / "target")
    result = train_before_spark(driver)
    assert result.stdout.endswith(
        "[ERROR] [CreateWorkflow$] Unable to obtain engine: com.actionml.RecommendationEngine. Aborting workflow.\n"
    )
    assert result.returncode == 1


def test_a_training_that_is_told_to_stop_ends_well_without_a_model(driver: MachineFiles) -> None:
    result = train_without_spark(driver, "--stop-after-read")
    assert "Training interrupted by org.apache.predictionio.workflow.StopAfterReadInterruption." in result.stdout
    assert "Training completed successfully." not in result.stdout
    assert result.returncode == 0
    assert not (driver.home / ".pio_store").exists()


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("{", "is not a valid engine variant (JSONDecodeError"),
        ('{"algorithms": []}', "is not a valid engine variant (IndexError"),
        ('{"algorithms": [{"params": {"indicators": []}}]}', "is not a valid engine variant (KeyError: 'id'"),
        (engine_json(indicators=[]), "names no indicator"),
        (
            engine_json(indicators=[{"name": "purchase"}], standIn={"fail": "often"}),
            "standIn.fail has an unknown value",
        ),
        (engine_json(indicators=[{"name": "purchase"}], standIn={"seconds": 9}), "standIn does not know: seconds."),
    ],
)
def test_an_engine_that_is_not_one_ends_the_training_before_spark_starts(
    driver: MachineFiles, engine: str, said: str
) -> None:
    (driver.home / "engine" / "engine.json").write_text(engine)
    result = train_before_spark(driver)
    assert said in result.stdout
    assert result.stdout.splitlines()[-1].endswith("Aborting.")
    assert result.returncode == 1
