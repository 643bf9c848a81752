"""The job that the stand-in's `pio train` submits: reads the engine's events, trains on the cluster, writes a model.

It prints what PredictionIO prints. The driver reads the events and writes the model, because a real cluster's machines
share no disk. Its standard output is what PredictionIO prints. Some of Spark's Java API has no public name in Python.
"""
# ruff: noqa: SLF001, T201

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from cooccurrence import correlators  # type: ignore[import-not-found]  # it stands beside this file
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

EVENTS_FILE = "events.jsonl"
_SETTLED_SECONDS = 15.0
_SETTLED_SECONDS_WITHOUT_A_NUMBER = 3.0
_EXECUTORS_TIMEOUT_SECONDS = 60.0


def say(source: str, message: str) -> None:
    """A line as PredictionIO's console prints it."""
    print(f"[INFO] [{source}] {message}", flush=True)


def abort(source: str, message: str) -> NoReturn:
    """End as PredictionIO does when it gives up."""
    print(f"[ERROR] [{source}] {message} Aborting.", flush=True)
    sys.exit(1)


def read_engine(variant: Path) -> dict[str, Any]:
    """engine.json; ends the program when it is not the description of an engine with indicators."""
    try:
        engine = json.loads(variant.read_text(encoding="utf-8"))
        indicators = engine["algorithms"][0]["params"]["indicators"]
        names = [indicator["name"] for indicator in indicators]
    except (ValueError, LookupError, TypeError) as error:
        abort("CreateWorkflow$", f"{variant} is not a valid engine variant ({type(error).__name__}: {error}).")
    if not names:
        abort("CreateWorkflow$", f"{variant} names no indicator.")
    return dict(engine)


def start_spark(engine: dict[str, Any]) -> SparkSession:
    """The session, with the engine's own sparkConf on top, as in PredictionIO."""
    builder = SparkSession.builder
    for key, value in engine.get("sparkConf", {}).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    # A sample is small: adaptive execution would put all of a stage into one task, on one executor.
    spark.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    if "spark.sql.shuffle.partitions" not in dict(spark.sparkContext.getConf().getAll()):
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions(spark)))
    return spark


def partitions(spark: SparkSession) -> int:
    """Two tasks for each core that is there."""
    return 2 * max(2, int(spark.sparkContext.defaultParallelism))


def executor_list(spark: SparkSession) -> list[Any]:
    """Spark's own record of each executor, without the driver unless it is the only one (a local master)."""
    store = spark.sparkContext._jsc.sc().statusStore()
    found = store.executorList(True)
    executors = [found.apply(index) for index in range(found.size())]
    return [executor for executor in executors if executor.id() != "driver"] or executors


def alive_workers(master: str) -> int:
    """How many workers the master's status page counts; 0 where it is not to be had (another port, another kind)."""
    host = master.partition("://")[2].partition(",")[0].rpartition(":")[0]
    try:
        with urllib.request.urlopen(f"http://{host}:8080/json/", timeout=2) as response:
            return int(json.load(response)["aliveworkers"])
    except (OSError, ValueError, LookupError):
        return 0


def wait_for_executors(spark: SparkSession) -> None:
    """Until there is one on each worker, or until no more have come for some seconds: all are to take part."""
    context = spark.sparkContext
    if context.master.startswith("local"):
        return
    expected = alive_workers(context.master)
    settled_after = _SETTLED_SECONDS if expected else _SETTLED_SECONDS_WITHOUT_A_NUMBER
    count, since, started = 0, time.monotonic(), time.monotonic()
    while time.monotonic() - started < _EXECUTORS_TIMEOUT_SECONDS:
        now = context._jsc.sc().getExecutorMemoryStatus().size() - 1  # less the driver
        if now != count:
            count, since = now, time.monotonic()
        if count and (count == expected or time.monotonic() - since > settled_after):
            return
        time.sleep(0.1)
    if not count:
        say(
            "CoreWorkflow$", "no executor has come yet: has a worker enough free memory, and can it reach this machine?"
        )


def read_events(path: Path) -> list[tuple[str, str, str]]:
    """What users did to items: event, user, item."""
    with path.open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    return [
        (event["event"], event["entityId"], event["targetEntityId"])
        for event in events
        if event["entityType"] == "user" and event.get("targetEntityType") == "item"
    ]


def distribute(spark: SparkSession, events: list[tuple[str, str, str]]) -> DataFrame:
    """The same on the executors, divided by user: columns event, user, item."""
    # Through a file, because the alternatives send rows one by one, or run Python on the executors.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".jsonl") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        jvm = spark.sparkContext._jvm
        lines = jvm.java.nio.file.Files.readAllLines(jvm.java.io.File(file.name).toPath())
    dataset = spark._jsparkSession.createDataset(lines, jvm.org.apache.spark.sql.Encoders.STRING())
    values = F.from_json(F.col("value"), "ARRAY<STRING>")
    return (
        DataFrame(dataset.toDF(), spark)
        .select(*(values[index].alias(name) for index, name in enumerate(("event", "user", "item"))))
        .repartition(partitions(spark), "user")
        .cache()
    )


def train(spark: SparkSession, events: list[tuple[str, str, str]], limits: dict[str, int]) -> list[dict[str, Any]]:
    """The model: an object for each item, with its correlators for each indicator, strongest first."""
    primary = next(iter(limits))
    rows = correlators(distribute(spark, events), primary=primary, limits=limits).collect()
    items: dict[str, dict[str, Any]] = {item: {"id": item} for event, _, item in events if event == primary}
    for row in sorted(rows, key=lambda row: (row["item"], row["indicator"], row["rank"])):
        items[row["item"]].setdefault(row["indicator"], []).append({"item": row["correlator"], "llr": row["llr"]})
    return [items[item] for item in sorted(items)]


def write_model(model: list[dict[str, Any]], metadata: dict[str, Any]) -> Path:
    """Write both files to a directory of their own under PIO_FS_BASEDIR, which appears only when it is whole."""
    models = Path(os.environ["PIO_FS_BASEDIR"]).expanduser() / "models"
    name = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    unfinished, finished = models / f".{name}", models / name
    unfinished.mkdir(parents=True)
    lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in model)
    (unfinished / "model.jsonl").write_text(lines, encoding="utf-8")
    (unfinished / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(finished)
    return finished


def describe_executors(spark: SparkSession) -> list[dict[str, Any]]:
    """Each executor that has completed tasks, by id."""
    described = [
        {"id": executor.id(), "host": executor.hostPort().rpartition(":")[0], "tasks": executor.completedTasks()}
        for executor in executor_list(spark)
    ]
    return sorted((one for one in described if one["tasks"]), key=lambda one: str(one["id"]))


def main() -> None:
    """Train as told by the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine-variant", type=Path, required=True)
    parser.add_argument("--stop-after", choices=("read", "prepare"))
    options = parser.parse_args()
    engine = read_engine(options.engine_variant)
    indicators = engine["algorithms"][0]["params"]["indicators"]
    source = options.engine_variant.absolute().parent / EVENTS_FILE
    if not source.is_file():
        abort("DataSource", f"{source}, which stands for the event store here, does not exist.")
    started = time.monotonic()
    say("Engine", "Extracting datasource params...")
    say("WorkflowContext$", "Starting Spark (stand-in for PredictionIO)")
    spark = start_spark(engine)
    say("Engine$", "EngineWorkflow.train")
    wait_for_executors(spark)
    events = read_events(source)
    say("DataSource", f"{len(events)} events of {len({user for _, user, _ in events})} users")
    if options.stop_after:
        interruption = f"StopAfter{options.stop_after.capitalize()}Interruption"
        say("CoreWorkflow$", f"Training interrupted by org.apache.predictionio.workflow.{interruption}.")
        spark.stop()
        return
    limits = {one["name"]: int(one.get("maxCorrelatorsPerItem", 50)) for one in indicators}
    model = train(spark, events, limits)
    executors = describe_executors(spark)
    metadata = {
        "trainer": "pio-tf sandbox stand-in for Apache PredictionIO",
        "engine": str(options.engine_variant.absolute()),
        "master": spark.sparkContext.master,
        "application": spark.sparkContext.applicationId,
        "indicators": list(limits),
        "items": len(model),
        "correlators": {name: sum(len(item.get(name, ())) for item in model) for name in limits},
        "executors": executors,
        "duration_seconds": round(time.monotonic() - started, 3),
    }
    say("Engine$", f"{metadata['items']} items, correlators {metadata['correlators']}")
    say("Engine$", "executors: " + ", ".join(f"{one['host']} ({one['tasks']} tasks)" for one in executors))
    say("CoreWorkflow$", "Inserting persistent model")
    say("CoreWorkflow$", f"Model written to {write_model(model, metadata)}")
    say("CoreWorkflow$", "Updating engine instance")
    spark.stop()
    say("CoreWorkflow$", "Training completed successfully.")


if __name__ == "__main__":
    main()
