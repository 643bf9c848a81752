"""The verdict on a training, from its log."""
# ruff: noqa: E501 - lines of a log are as long as they are

from __future__ import annotations

import json
import re
import time
import tracemalloc
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pio_tf.training.failure_patterns import CERTAIN, LIKELY, SERVICES, FailurePattern, PatternFinder
from tests.support.pio_logs import LOGS, STAGE
from tests.support.training_log import read_training_log, training_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.errors import TrainingFailed
    from pio_tf.training.verdict import TrainingLog

SUCCESS = "[INFO] [CoreWorkflow$] Training completed successfully."


def read(text: str) -> TrainingLog:
    return training_log(dedent(text).strip("\n"))


def printed(name: str) -> str:
    """Return what PredictionIO 0.14.0 printed, without the comment at its head."""
    text = (Path(__file__).parent / "pio_logs" / f"{name}.log").read_text(encoding="utf-8")
    comment, _, log = text.partition("\n")
    assert comment.startswith("# PredictionIO 0.14.0 printed this")
    return log


def failed(text: str, exit_status: int | None = 1) -> TrainingFailed:
    error = read(text).failure(exit_status)
    assert error is not None
    assert error.next_step
    assert "\n" not in error.cause
    assert not re.search(r"(?<!\w)at [\w$]+\.[\w$.]+\(", error.cause), "a stack frame is quoted"
    assert json.dumps(error.details)
    return error


def test_exit_0_and_the_success_line_are_a_success() -> None:
    assert read(SUCCESS).failure(0) is None


@pytest.mark.parametrize(("text", "sign", "sentence"), LOGS, ids=[f"{sign}-{n}" for n, (_, sign, _) in enumerate(LOGS)])
def test_every_sign_has_its_sentence_and_its_next_step(text: str, sign: str, sentence: str) -> None:
    error = failed(text)
    assert error.details["sign"] == sign
    assert sentence in error.cause
    assert error.next_step == next(one.next_step for one in (*CERTAIN, *LIKELY) if one.name == sign)


@pytest.mark.parametrize(
    ("name", "exit_status", "sign", "sentence"),
    [
        ("missing-app", 1, "no-app", "no such app: [ERROR] [Common$] Invalid app name NoSuchApp"),
        ("hbase-down", 1, "hbase", "HBase or its ZooKeeper did not answer"),
        ("model-directory-is-a-file", 0, "model-not-stored", "Current inode is not a directory"),
        ("engine-not-built", 1, "not-built", "the engine is not built, or engineFactory in engine.json names a class"),
        ("elasticsearch-down", 1, "refused", "nothing answers where Elasticsearch should"),
        ("stack-overflow-in-tasks", 1, "stack-overflow", "a thread's stack was too small"),
        ("apache-build-on-spark-2.4", 1, "versions", "PredictionIO, the engine and Spark were built for different"),
        ("metadata-index-read-only-endless", 143, "instance-not-stored", "did not store the engine instance"),
        ("metadata-index-read-only-endless", None, "instance-not-stored", "did not store the engine instance"),
    ],
)
def test_what_pio_0_14_printed_is_diagnosed(name: str, exit_status: int | None, sign: str, sentence: str) -> None:
    error = failed(printed(name), exit_status)
    assert error.details["sign"] == sign
    assert sentence in error.cause


@pytest.mark.parametrize("name", ["success", "executor-killed-success", "metadata-update-failed"])
def test_what_pio_0_14_printed_of_a_success_is_no_failure(name: str) -> None:
    """Only the proof of the engine instance contradicts metadata-update-failed."""
    log = read(printed(name))
    assert log.failure(0) is None
    assert [warning[:21] for warning in log.warnings] == (["Spark lost 1 executor"] if "executor" in name else [])


def test_the_next_step_of_mixed_versions_names_the_pair_that_trains() -> None:
    assert "0.14.0 is built for Spark 2.1.3" in failed(printed("apache-build-on-spark-2.4")).next_step


def test_no_sign_is_left_without_a_log_that_shows_it() -> None:
    shown = {sign for _, sign, _ in LOGS} | {"model-not-stored", "kerberos"}
    assert shown >= {sign.name for sign in (*CERTAIN, *LIKELY)}


def test_exit_0_is_a_failure_where_the_model_could_not_be_stored() -> None:
    """PIO's stores of models log an error and continue."""
    error = failed(
        f"""
        [INFO] [CoreWorkflow$] Inserting persistent model
        [ERROR] [HDFSModels] Permission denied: user=ubuntu, access=WRITE, inode="/models":hdfs:supergroup:drwxr-xr-x
        [INFO] [CoreWorkflow$] Updating engine instance
        {SUCCESS}
        """,
        exit_status=0,
    )
    assert error.what == "pio train said that training completed, but it could not store the model"
    assert "Permission denied: user=ubuntu" in error.cause
    assert error.details["sign"] == "model-not-stored"


def test_executors_that_spark_replaced_are_a_warning_of_a_success() -> None:
    log = read(
        f"""
        [ERROR] [TaskSchedulerImpl] Lost executor 0 on 10.0.0.5: Command exited with code 137
        [WARN] [TaskSetManager] Lost task 3.0 in stage 9.0 (TID 700, 10.0.0.5, executor 0): ExecutorLostFailure (executor 0 exited caused by one of the running tasks) Reason: Command exited with code 137
        [ERROR] [TaskSchedulerImpl] Lost executor 2 on 10.0.0.6: worker lost
        {SUCCESS}
        [ERROR] [TaskSchedulerImpl] Lost executor 3 on 10.0.0.6: Remote RPC client disassociated.
        """
    )
    assert log.failure(0) is None
    assert log.warnings == (
        "Spark lost 2 executors and repeated their work elsewhere (0 on 10.0.0.5: Command exited with code 137; 2 on 10.0.0.6: worker lost)",
    )


def test_an_executor_of_which_spark_says_why_it_is_lost_when_it_has_removed_it_is_counted_once() -> None:
    removed = "[ERROR] [TaskSchedulerImpl] Lost an executor 0 (already removed): worker lost: 10.0.0.5:37509 got"
    (said,) = read(f"{removed} disassociated\n{SUCCESS}").warnings
    assert said.endswith("(0: worker lost: 10.0.0.5:37509 got disassociated)")
    (said,) = read(
        f"[ERROR] [TaskSchedulerImpl] Lost executor 0 on 10.0.0.5: Command exited with code 137\n{removed}\n{SUCCESS}"
    ).warnings
    assert said.endswith("(0 on 10.0.0.5: Command exited with code 137)")
    assert said.startswith("Spark lost 1 executor and repeated its work elsewhere (")
    ended = "[ERROR] [TaskSchedulerImpl] Lost an executor 0 (already removed): Executor 0 killed by driver."
    assert read(ended).warnings == ()


def test_an_executor_that_was_replaced_is_not_blamed_for_another_failure() -> None:
    error = failed(
        """
        22/02/22 14:48:36 ERROR TaskSchedulerImpl: Lost executor 36 on 10.0.0.5: Command exited with code 137
        Exception in thread "main" java.lang.IllegalStateException: no popularity model
        \tat com.actionml.PopModel.calc(PopModel.scala:51)
        """
    )
    assert error.cause == "java.lang.IllegalStateException: no popularity model"
    assert error.details["warnings"]


def test_executors_that_the_driver_ends_are_not_lost() -> None:
    assert read("[ERROR] [TaskSchedulerImpl] Lost executor 0 on 10.0.0.5: Executor 0 killed by driver.").warnings == ()


def test_the_deepest_cause_of_what_ended_the_program_is_quoted() -> None:
    error = failed(
        """
        [WARN] [NettyRpcEnv] Ignored failure: java.util.concurrent.TimeoutException
        [ERROR] [Utils] Aborting task
        java.lang.IllegalArgumentException: an error that it got over
        \tat a.b.C.d(C.scala:1)
        Exception in thread "main" java.lang.RuntimeException: outer
        \tat org.apache.predictionio.workflow.CoreWorkflow$.runTrain(CoreWorkflow.scala:60)
        Caused by: java.lang.IllegalStateException: middle
        \tat a.b.C.e(C.scala:2)
        \t... 12 more
        Caused by: a.b.Broken$Inner: the field "price" of item-7 is a text
        \tat a.b.C.f(C.scala:3)
        \t... 13 more
        [INFO] [ServerConnector] Stopped Spark@1a2b{HTTP/1.1}{0.0.0.0:4040}
        Caused by: java.lang.Error: of no exception at all
        """
    )
    assert error.cause == 'a.b.Broken$Inner: the field "price" of item-7 is a text'
    assert error.details["exceptions"] == [
        "java.lang.RuntimeException: outer",
        "java.lang.IllegalStateException: middle",
        'a.b.Broken$Inner: the field "price" of item-7 is a text',
    ]
    assert error.details["errors"] == ["[Utils] Aborting task"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "[ERROR] [Engine] first\njava.lang.Exception: its own\n\tat a.B.c(B.scala:1)\n[ERROR] [Engine] later",
            "java.lang.Exception: its own",
        ),
        (
            "[WARN] [X] again\njava.io.IOException: passing\n\tat a.B.c(B.scala:1)\n[ERROR] [Engine] real",
            "[Engine] real",
        ),
        ("2019-02-03 18:40:04,810 ERROR storage.Storage$ - no such source\nbye", "storage.Storage$ - no such source"),
        ("[WARN] [X] again\njava.io.IOException: passing\nbye", "java.io.IOException: passing"),
        (
            "[INFO] [X] Required configuration is missing. Aborting.\nbye",
            "[INFO] [X] Required configuration is missing",
        ),
        ("Error: Master must either be yarn or start with spark, mesos, k8s, or local", "Error: Master must either be"),
        (
            "[INFO] [X] up\nTraceback (most recent call last):\n  File 'a.py', line 1\nValueError: no events\n",
            "ValueError: no events",
        ),
        (
            (
                "Traceback (most recent call last):\npy4j.protocol.Py4JJavaError: An error occurred while calling o1.x.\n"
                ": java.lang.IllegalStateException: in the JVM\n\tat a.B.c(B.scala:1)"
            ),
            "java.lang.IllegalStateException: in the JVM",
        ),
        ("said\n\n   \n", "the last line was: said"),
        ("", "no output"),
    ],
)
def test_without_a_sign_the_first_cause_is_quoted_in_the_logs_own_words(text: str, cause: str) -> None:
    error = failed(text)
    assert error.cause.startswith(cause)
    assert error.details["sign"] == ""
    assert "first ERROR" in error.next_step


def test_the_surest_sign_is_told_where_there_are_several() -> None:
    error = failed(
        f"""
        [WARN] [TaskSchedulerImpl] Initial job has not accepted any resources; check your cluster UI
        [WARN] [TaskSetManager] Lost task 3.0 in stage 9.0 (TID 700, 10.0.0.5, executor 1): java.lang.OutOfMemoryError: Java heap space
        [ERROR] [TaskSchedulerImpl] Lost executor 1 on 10.0.0.5: Command exited with code 52
        Exception in thread "main" {STAGE}ExecutorLostFailure (executor 1 exited caused by one of the running tasks)
        """
    )
    assert error.details["sign"] == "heap"


def test_what_spark_and_hbase_recovered_from_is_not_blamed() -> None:
    error = failed(
        """
        [ERROR] [RecoverableZooKeeper] ZooKeeper getData failed after 4 attempts
        [WARN] [X] Connection refused, once more
        Exception in thread "main" java.lang.NumberFormatException: For input string: "x"
        """
    )
    assert error.cause == 'java.lang.NumberFormatException: For input string: "x"'


def test_a_run_that_nobody_saw_end_says_why_and_what_its_log_has() -> None:
    error = failed("[INFO] [Engine$] EngineWorkflow.train", exit_status=None)
    assert error.what == "pio train was cut off"
    assert "last -x" in error.next_step
    log = read("[ERROR] [TaskSchedulerImpl] Lost executor 0 on 10.0.0.5: worker lost\njava.lang.OutOfMemoryError: x")
    cut = log.failure(None, why="the driver was restarted while it ran")
    assert cut is not None
    assert cut.what == "pio train was cut off: the driver was restarted while it ran"
    assert "a heap was too small" in cut.cause
    assert cut.details["exit_status"] is None
    assert read(SUCCESS).failure(None) is not None, "the success line alone is no success"


@pytest.mark.parametrize("exit_status", [137, 143])
def test_a_killed_training_is_told_from_a_failed_one(exit_status: int) -> None:
    error = failed("[INFO] [Engine$] EngineWorkflow.train", exit_status=exit_status)
    assert error.details["sign"] == "killed"
    assert "OOM killer" in error.next_step


def test_waiting_for_executors_is_told_where_nothing_else_is() -> None:
    waiting = "[WARN] [TaskSchedulerImpl] Initial job has not accepted any resources; check your cluster UI"
    assert failed(waiting).details["sign"] == "no-resources"
    assert failed(f"{waiting}\n[ERROR] [X] Name node is in safe mode").details["sign"] == "safe-mode"


def test_memory_stays_bounded_whatever_the_log() -> None:
    long = "x" * 2000

    def blocks() -> Iterator[str]:
        for n in range(500):
            yield f"[ERROR] [TaskSchedulerImpl] Lost executor {n} on 10.0.0.{n}: {long}\n"
            yield f'Exception in thread "t-{n}" java.lang.Exception: {n} {long}\n'
            yield f"Caused by: java.lang.Exception: {n} {long}\n\tat a.b.C{n}.d(C.scala:{n}) {long}\n"

    tracemalloc.start()
    log = read_training_log(blocks)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    error = log.failure(1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000
    assert most < 400_000
    assert log.warnings[0].startswith("Spark lost 500 executors")
    assert len(log.warnings[0]) < 3000
    assert error is not None
    assert len(error.cause) < 500


def test_a_line_of_any_form_is_read_in_no_time() -> None:
    began = time.process_time()
    for words in ("cd: ", "a.", "x", "PredictionIO Core Assembly ", "Caused by: a.", "ExecutorLostFailure ", "Models "):
        assert training_log(words * (65_000 // len(words))).failure(1)
    assert time.process_time() - began < 1


def test_a_long_chain_of_causes_keeps_its_end() -> None:
    chain = "\n".join(f"Caused by: java.lang.Exception: {n}" for n in range(50))
    error = failed(f'Exception in thread "main" java.lang.Exception: top\n{chain}')
    assert error.cause == "java.lang.Exception: 49"
    assert len(json.dumps(error.details["exceptions"])) < 1000


def test_the_tables_are_sound() -> None:
    names = [sign.name for sign in (*CERTAIN, *LIKELY)]
    assert len(names) == len(set(names))
    for sign in (*CERTAIN, *LIKELY):
        assert re.compile(sign.pattern).groups == 0
        assert sign.meaning.format(service="HDFS")
        assert sign.next_step
    assert all(re.compile(pattern) for _, pattern in SERVICES)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"plain words", "some plain words here"),
        (r"first \(one\)|second\.one", "the first (one)"),
        (r"first \(one\)|second\.one", "the second.one"),
        (r"colou?r", "a color"),
        (r"no (?:space|room)|(?:disk|file) full", "the disk full"),
        (r"(?:a|b(?:c)d) full", "bcd full"),
        (r"[Cc]onnection|[|]", "a Connection"),
        (r"[Cc]onnection|[|]", "a | b"),
        (r"^\[ERROR\] \[\w+\]|\bcd: ", "[ERROR] [Models]"),
        (r"^\[ERROR\] \[\w+\]|\bcd: ", "bash: cd: no"),
        (r"x*y|z{2}", "y"),
        (r"x*y|z{2}", "zz"),
        (r"\d+ tasks", "17 tasks"),
    ],
)
def test_a_quick_look_misses_no_sign_whatever_its_pattern(pattern: str, line: str) -> None:
    sign = FailurePattern("it", pattern, "", "")
    assert PatternFinder((sign,)).find(line) is sign
    assert PatternFinder((sign,)).find("nothing of that") is None
