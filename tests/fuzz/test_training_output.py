"""Whatever PIO, a console or a driver's disk say: it is understood, or refused in words."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pio_tf.errors import TrainingFailed
from pio_tf.machines.console import parse_host_keys
from pio_tf.pio.engine import read_engine, spark_conf_conflicts, with_engine
from pio_tf.remote.commands import CompletedCommand
from pio_tf.training.failure_patterns import CERTAIN, LIKELY
from pio_tf.training.preflight.probe import read_answers
from pio_tf.training.redact import Redactor
from pio_tf.training.runs.bucket_lock import Claim
from pio_tf.training.runs.driver_runs import LockHolder, read_list
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.runs.run_copies import Archive
from tests.fuzz.documents import mangled, texts
from tests.fuzz.settings import answers, examples
from tests.support.pio_logs import LOGS
from tests.support.training_log import training_log

RUN = "20260131T100000Z-0abc"
RECORD = json.loads(
    RunRecord(RUN, "ur", Client("u", "h", 1, "2026-01-31T10:00:00Z"), "pio train", "/e", ("driver r5 i-1",)).to_json()
)
ENGINE = {
    "id": "default",
    "engineFactory": "com.actionml.RecommendationEngine",
    "datasource": {"params": {"name": "x", "appName": "app", "eventNames": ["buy"]}},
    "sparkConf": {"spark.serializer": "x", "spark": {"executor": {"memory": "4g"}}, "es.nodes": 1, "a": True},
    "algorithms": [{"name": "ur", "params": {"appName": "app", "indexName": "urindex", "typeName": "items"}}],
}
LINES = [line for text, _, _ in LOGS for line in text.splitlines()] + [
    "[INFO] [CoreWorkflow$] Training completed successfully.",
    "Caused by: java.lang.OutOfMemoryError: Java heap space",
    "\tat org.apache.spark.X.y(X.scala:1)",
    "[ERROR] [TaskSchedulerImpl] Lost executor 0 on 10.0.0.5: Command exited with code 137",
    "[INFO] [Console$] Submission command: PIO_STORAGE_SOURCES_X_PASSWORD=a,b c --x PIO_Y=1",
    "Authorization: Basic eHg6eXk= https://u:p@host/ password = 'x",
]
REPEATED = st.sampled_from([*"aA .:=/\t\"'", "password=", "Caused by: ", "a.", "at "])
CONSOLE = (
    "[  12.3] cloud-init: -----BEGIN SSH HOST KEY KEYS-----\r\n"
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q root@x\r\n"
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= root\n-----END SSH HOST KEY KEYS-----\r\n"
)
LISTED = "\n".join(
    [
        f"run {RUN}",
        f"record {json.dumps(RECORD)}",
        "process 12 345 boot-1 1769853600.5",
        "alive",
        "ended exit=0 ended=1769853700 filter=0 free=1000",
        "success",
        "size 123",
        "cancelled somebody",
        f"result {json.dumps({**RECORD, 'state': 'succeeded'})}",
        "boot boot-1",
        'holder {"doing": "running", "who": "u", "run": "x"}',
    ]
)
PROBED = "\n".join(
    f"pio-tf-says\t{line}"
    for line in (
        "engine\tdirectory",
        "variant\tfile",
        "text\teyJpZCI6IDF9",
        "target\t1769853600.0\t/e/target/scala-2.11/x.jar",
        "lib\t",
        "source\t1769853600.0\t/e/src/x.scala",
        "pio\texecutable",
        "submit\texecutable",
        "release\tSpark 2.4.8 (git revision x) built for Hadoop 2.7.3",
        "hdfs\tmissing",
        "java\t/usr/bin/java\topenjdk version 1.8",
        "room\t/\t100000\t2000\t4000\t/",
        "end",
    )
)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@examples(100)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(LINES),
            st.text(max_size=60),
            mangled(LINES).map(_text),
            st.builds(str.__mul__, REPEATED, st.sampled_from([2, 50, 1000, 20_000])),
        ),
        max_size=30,
    ),
    st.sampled_from([None, 0, 1, 137, 143, 255, -1]),
)
def test_any_log_of_a_training_has_a_verdict(lines: list[str], exit_status: int | None) -> None:
    redactor = Redactor(["secret-value", "(((("])
    with answers():
        log = training_log("\n".join(map(redactor.redact, lines)))
        failure = log.failure(exit_status)
        assert log.warnings is not None
    if failure is not None:
        assert isinstance(failure, TrainingFailed)
        assert failure.cause
        assert failure.next_step
        assert json.dumps(failure.details)
        assert failure.details["sign"] in {"", "killed", "no-resources", *(one.name for one in (*CERTAIN, *LIKELY))}


@examples(200)
@given(texts(ENGINE))
def test_any_engine_json_is_read_or_refused_in_words(data: bytes) -> None:
    with answers():
        engine = read_engine(_text(data))
        spark_conf_conflicts(engine, {"spark.executor.memory": "20g"})
        with_engine({"spark.executor.memory": "20g"}, engine)


@examples(200)
@given(mangled([CONSOLE, CONSOLE * 2]).map(_text))
def test_any_console_shows_host_keys_or_none(console: str) -> None:
    with answers():
        keys = parse_host_keys(console)
        assert all(key.startswith(("ssh-", "ecdsa-", "sk-")) for key in keys)


@examples(300)
@given(
    st.one_of(
        mangled([LISTED, LISTED + "\n" + LISTED]).map(_text),
        texts(RECORD).map(lambda record: f"run {RUN}\nrecord {_text(record)}\nboot x"),
        texts(RECORD).map(lambda result: f"run {RUN}\nrecord {json.dumps(RECORD)}\nresult {_text(result)}"),
        st.text(max_size=200),
    )
)
def test_any_state_of_the_driver_is_listed(text: str) -> None:
    with answers():
        state = read_list(text)
        for run in state.runs:
            known = run.to_record()
            assert known.id == run.id
            assert known.state in ("running", "succeeded", "failed", "cancelled", "lost", "unknown")
            assert known.seconds is None or known.seconds == known.seconds
            assert json.dumps(json.loads(known.to_json()))


@examples(200)
@given(texts(RECORD, {"owner": "u", "host": "h", "pid": 1, "since": "s", "run": RUN}))
def test_any_record_on_this_computer_or_in_a_bucket_is_read_or_left_out(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, RUN, "record.json")
        path.parent.mkdir()
        path.write_bytes(data)
        with answers():
            for record in Archive(Path(directory)).records():
                assert record.with_(state="lost").to_json()
                assert record.seconds is None or record.seconds + 1
    with answers():
        text = _text(data)
        Claim.from_json(text)
        LockHolder.from_json(text)


@examples(200)
@given(mangled([PROBED]).map(_text))
def test_any_answers_of_the_driver_are_facts_or_refused_in_words(text: str) -> None:
    with answers():
        read_answers(CompletedCommand(0, text, ""))
