"""The Spark job of the stand-in's `pio train`: it reads the engine's events, trains on the cluster, and writes a model.

It follows PredictionIO and the Universal Recommender step by step: an engine instance INIT in the metadata, the
training, a hot swap of the model's index in Elasticsearch, and the engine instance COMPLETED. It prints their lines.
The driver reads the events and writes the model, because a real cluster's machines share no disk. It also writes the
model to a file under PIO_FS_BASEDIR.

The engine instance: :func:`describe_instance`. The model: :func:`storage.hot_swap`, a document per item, with the
correlated items of each indicator: ``{"id": "i001", "purchase": ["i021"], "view": ["i041", "i021"]}``. Trainings that
take long, print much or fail: :mod:`behaviour`.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from behaviour import FAILURES, KEYS, LOST_UPDATE, behave  # type: ignore[import-not-found]  # these are beside this file
from cooccurrence import correlators  # type: ignore[import-not-found]
from jars import find_jars  # type: ignore[import-not-found]
from java_spark import Spark  # type: ignore[import-not-found]
from storage import (  # type: ignore[import-not-found]
    EngineInstances,
    JavaException,
    NotConfigured,
    find_repository,
    hot_swap,
    name_node_failure,
)

EVENTS_FILE = "events.jsonl"
_SETTLED_SECONDS = 15.0
_SETTLED_SECONDS_WITHOUT_A_NUMBER = 3.0
_EXECUTORS_TIMEOUT_SECONDS = 60.0


def say(source: str, message: str) -> None:
    """Print a line as PredictionIO's console does."""
    print(f"[INFO] [{source}] {message}", flush=True)


def abort(source: str, message: str, *, last: str = " Aborting.") -> NoReturn:
    """Exit as PredictionIO does when it gives up."""
    print(f"[ERROR] [{source}] {message}{last}", flush=True)
    sys.exit(1)


def read_engine(variant: Path) -> dict[str, Any]:
    """Return engine.json; exit if it does not describe an engine with indicators."""
    try:
        engine = json.loads(variant.read_text(encoding="utf-8"))
        params = engine["algorithms"][0]["params"]
        names = [indicator["name"] for indicator in params["indicators"]]
        _ = engine["id"], engine["engineFactory"], params["indexName"], params["typeName"]
    except (ValueError, LookupError, TypeError) as error:
        abort("CreateWorkflow$", f"{variant} is not a valid engine variant ({type(error).__name__}: {error}).")
    if not names:
        abort("CreateWorkflow$", f"{variant} names no indicator.")
    asked = engine.get("standIn", {})
    unknown = ", ".join(sorted(asked.keys() - KEYS))
    if unknown:
        abort("CreateWorkflow$", f"{variant}: standIn does not know: {unknown}.")
    if asked.get("fail") not in (None, *FAILURES):
        abort("CreateWorkflow$", f"{variant}: standIn.fail has an unknown value.")
    return dict(engine)


def describe_instance(engine: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the engine instance that PredictionIO 0.14 writes before a training, without its id.

    ``env`` has every variable of pio-env.sh, so the metadata contains passwords, too.
    """
    now = _now()
    pairs = (pair.split("=") for pair in options.env.split(","))
    data_source = engine.get("datasource", {})
    algorithms = [{one.get("name", ""): one.get("params", {})} for one in engine["algorithms"]]
    return {
        "status": "INIT",
        "startTime": now,
        "endTime": now,  # until it has completed
        "engineId": options.engine_id,
        "engineVersion": options.engine_version,
        "engineVariant": engine["id"],
        "engineFactory": engine["engineFactory"],
        "batch": options.batch,
        "env": {pair[0]: pair[1] for pair in pairs if len(pair) == 2},
        "sparkConf": {key: str(value) for key, value in engine.get("sparkConf", {}).items()},
        "dataSourceParams": json.dumps({data_source.get("name", ""): data_source.get("params", {})}),
        "preparatorParams": json.dumps({"": {}}),
        "algorithmsParams": json.dumps(algorithms),
        "servingParams": json.dumps({"": {}}),
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def print_exception(error: JavaException) -> None:
    """Print an exception as Java does when a program ends with it."""
    frames = "\tat org.apache.predictionio.workflow.CreateWorkflow$.main(CreateWorkflow.scala)\n"
    sys.stderr.write(f'Exception in thread "main" {error.kind}: {error}\n{frames}')
    if isinstance(error.__cause__, JavaException):
        sys.stderr.write(f"Caused by: {error.__cause__.kind}: {error.__cause__}\n{frames}\t... 1 more\n")


def start_spark(engine: dict[str, Any]) -> Spark:
    """Return the cluster. The engine's sparkConf overrides other settings, as in PredictionIO."""
    return Spark(f"PredictionIO Training: {engine['engineFactory']}", engine.get("sparkConf", {}))


def alive_workers(master: str) -> int:
    """Return the number of workers on the master's status page; 0 if there is no such page."""
    host = master.partition("://")[2].partition(",")[0].rpartition(":")[0]
    try:
        with closing(http.client.HTTPConnection(host, 8080, timeout=2)) as page:
            page.request("GET", "/json/")
            return int(json.load(page.getresponse())["aliveworkers"])
    except (OSError, ValueError, LookupError):
        return 0


def wait_for_executors(spark: Spark) -> None:
    """Wait for an executor on each worker, or until no more have come for some seconds, so that all take part."""
    if spark.master.startswith("local"):
        return
    expected = alive_workers(spark.master)
    settled_after = _SETTLED_SECONDS if expected else _SETTLED_SECONDS_WITHOUT_A_NUMBER
    count, since, started = 0, time.monotonic(), time.monotonic()
    while time.monotonic() - started < _EXECUTORS_TIMEOUT_SECONDS:
        now = spark.count_executors()
        if now != count:
            count, since = now, time.monotonic()
        if count and (count == expected or time.monotonic() - since > settled_after):
            return
        time.sleep(0.1)
    if not count:
        say(
            "CoreWorkflow$",
            "no executor yet: check that a worker has enough free memory and can reach this machine",
        )


def read_events(path: Path) -> list[tuple[str, str, str]]:
    """Return the events of users on items: event, user, item."""
    with path.open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    return [
        (event["event"], event["entityId"], event["targetEntityId"])
        for event in events
        if event["entityType"] == "user" and event.get("targetEntityType") == "item"
    ]


def train(spark: Spark, events: list[tuple[str, str, str]], limits: dict[str, int]) -> list[dict[str, Any]]:
    """Return the model: an object per item, with its correlators for each indicator, strongest first."""
    primary = next(iter(limits))
    found = correlators(spark, events, primary=primary, limits=limits)
    return [
        {"id": item, **found.get(item, {})} for item in sorted({item for event, _, item in events if event == primary})
    ]


def write_model(model: list[dict[str, Any]], metadata: dict[str, Any]) -> Path:
    """Write both files to a new directory under PIO_FS_BASEDIR, which appears only when it is complete."""
    models = Path(os.environ["PIO_FS_BASEDIR"]).expanduser() / "models"
    name = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    unfinished, finished = models / f".{name}", models / name
    unfinished.mkdir(parents=True)
    lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in model)
    (unfinished / "model.jsonl").write_text(lines, encoding="utf-8")
    (unfinished / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(finished)
    return finished


def run(engine: dict[str, Any], options: argparse.Namespace) -> None:
    """Run one training.

    Raises:
        JavaException: Elasticsearch fails, or engine.json asks for it.
    """
    repository = find_repository("METADATA", os.environ)
    instances = EngineInstances(repository) if repository.source.type == "elasticsearch" else None
    instance = describe_instance(engine, options)
    if instances:
        instance["id"] = instances.insert(instance)
    started = time.monotonic()
    say("WorkflowContext$", "Starting Spark (stand-in for PredictionIO)")
    spark = start_spark(engine)
    try:
        metadata = train_on(spark, engine, options)
        if metadata is None:
            return
        say("CoreWorkflow$", "Inserting persistent model")
        failure = name_node_failure(os.environ)
        if failure:
            print(f"[ERROR] [HDFSModels] {failure}", flush=True)  # PredictionIO does no more, either
        metadata["duration_seconds"] = round(time.monotonic() - started, 3)
        say("CoreWorkflow$", "Updating engine instance")
        if instances:
            complete(instances, instance, lost=engine.get("standIn", {}).get("fail") == LOST_UPDATE)
        say("CoreWorkflow$", "Training completed successfully.")
    finally:
        # As PredictionIO: last of all. What Spark says of executors that end meanwhile is no loss for the training.
        spark.stop()


def complete(instances: EngineInstances, instance: dict[str, Any], *, lost: bool) -> None:
    """Mark an instance COMPLETED. Like PredictionIO, log a failure and still report success."""
    error = JavaException("java.net.ConnectException", "Connection refused") if lost else None
    if not lost:
        try:
            instances.update({**instance, "status": "COMPLETED", "endTime": _now()})
        except JavaException as refused:
            error = refused
    if error:
        path = instances.path(instance).removeprefix("/")
        print(f"[ERROR] [ESEngineInstances] Failed to update {path}: {error.kind}: {error}", flush=True)


def train_on(spark: Spark, engine: dict[str, Any], options: argparse.Namespace) -> dict[str, Any] | None:
    """Train and store the model. Return its metadata, or None if the options stop the training earlier."""
    say("Engine$", "EngineWorkflow.train")
    wait_for_executors(spark)
    behave(engine.get("standIn", {}))
    events = read_events(options.engine_variant.parent / EVENTS_FILE)
    say("DataSource", f"{len(events)} events of {len({user for _, user, _ in events})} users")
    if options.stop_after_read or options.stop_after_prepare:
        interruption = f"StopAfter{'Read' if options.stop_after_read else 'Prepare'}Interruption"
        say("CoreWorkflow$", f"Training interrupted by org.apache.predictionio.workflow.{interruption}.")
        return None
    params = engine["algorithms"][0]["params"]
    limits = {one["name"]: int(one.get("maxCorrelatorsPerItem", 50)) for one in params["indicators"]}
    model = train(spark, events, limits)
    executors = spark.describe_executors()
    counts = {name: sum(len(item.get(name, ())) for item in model) for name in limits}
    say("Engine$", f"{len(model)} items, correlators {counts}")
    say("Engine$", "executors: " + ", ".join(f"{one['host']} ({one['tasks']} tasks)" for one in executors))
    say("URModel", "New data to index, performing a hot swap of the index.")
    index = hot_swap(params["indexName"], params["typeName"], [as_document(item) for item in model], os.environ)
    say("EsClient$", f"Created index {index}, and alias {params['indexName']} points to it")
    metadata = {
        "trainer": "pio-tf sandbox stand-in for Apache PredictionIO",
        "engine": str(options.engine_variant),
        "index": index,
        "master": spark.master,
        "application": spark.application,
        "indicators": list(limits),
        "items": len(model),
        "correlators": counts,
        "executors": executors,
    }
    say("URModel", f"Model also written to {write_model(model, metadata)}")
    return metadata


def as_document(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as the Universal Recommender indexes it: only the items of each indicator, strongest first."""
    return {
        name: value if name == "id" else [correlator["item"] for correlator in value] for name, value in item.items()
    }


def main() -> int:
    """Train with the command line of PredictionIO's CreateWorkflow."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--engine-id", "--engine-version", "--engine-variant", "--env"):
        parser.add_argument(name, required=True)
    for name in ("--batch", "--json-extractor", "--verbosity"):
        parser.add_argument(name, default="")
    for name in ("--stop-after-read", "--stop-after-prepare", "--skip-sanity-check", "--verbose"):
        parser.add_argument(name, action="store_true")
    options = parser.parse_args()
    options.engine_variant = Path(options.engine_variant.removeprefix("file:"))
    engine = read_engine(options.engine_variant)
    if not find_jars(Path.cwd()):
        abort("CreateWorkflow$", f"Unable to obtain engine: {engine['engineFactory']}. Aborting workflow.", last="")
    source = options.engine_variant.parent / EVENTS_FILE
    if not source.is_file():
        abort("DataSource", f"{source}, which stands for the event store here, does not exist.")
    say("Engine", "Extracting datasource params...")
    try:
        run(engine, options)
    except NotConfigured as error:
        print(f"[ERROR] [Storage$] {error}", flush=True)
        return 1
    except JavaException as error:
        print_exception(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
