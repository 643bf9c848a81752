"""Secrets out of what a training prints."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.training.redact import Redactor

if TYPE_CHECKING:
    from pathlib import Path


SECRETS = [
    (
        (
            "[INFO] Submission command: spark-submit --env PIO_ENV_LOADED=1,PIO_SOURCES_PG_PASSWORD=s3, cr=t &x,"
            "PIO_STORAGE_SOURCES_PG_USERNAME=pio --verbose"
        ),
        (
            "[INFO] Submission command: spark-submit --env PIO_ENV_LOADED=1,PIO_SOURCES_PG_PASSWORD=***,"
            "PIO_STORAGE_SOURCES_PG_USERNAME=pio --verbose"
        ),
    ),
    ("PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=a b c", "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=***"),
    ("X --env PIO_SSL_KEYSTORE_PASSWORD=x --class Y", "X --env PIO_SSL_KEYSTORE_PASSWORD=*** --class Y"),
    ("config: Map(PASSWORD -> hunter2, TYPE -> jdbc)", "config: Map(PASSWORD -> ***, TYPE -> jdbc)"),
    ("--conf spark.authenticate.secret=abc --name x", "--conf spark.authenticate.secret=*** --name x"),
    ("--conf spark.hadoop.fs.s3a.access.key=AKIA --x", "--conf spark.hadoop.fs.s3a.access.key=*** --x"),
    ('{"password": "a b", "user": "c"}', '{"password": ***, "user": "c"}'),
    ("jdbc:postgresql://h/d?user=a&password=b&ssl=1", "jdbc:postgresql://h/d?user=a&password=***&ssl=1"),
    ("connecting to https://me:pa55@es:9200/x", "connecting to https://me:***@es:9200/x"),
    ("--conf spark.es.net.http.auth.pass=hunter2 --x", "--conf spark.es.net.http.auth.pass=*** --x"),
    ("Authorization: Basic ZWxhc3RpYzpodW50ZXIy", "Authorization: Basic ***"),
    ("Map(TYPE -> es, PASSWORD -> a b,c, HOSTS -> es)", "Map(TYPE -> es, PASSWORD -> ***, HOSTS -> es)"),
    ("at http://user:hun/ter2@es:9200/ now", "at http://user:***@es:9200/ now"),
    ("AWS_SECRET_ACCESS_KEY=abc/d+e= next", "AWS_SECRET_ACCESS_KEY=*** next"),
]
NO_SECRETS = [
    "[INFO] [CoreWorkflow$] Training completed successfully.",
    "see https://example.org:8080/a@b",
    "INFO TaskSetManager: Finished task 0.0 in stage 1.0 (TID 1) in 5 ms on 10.0.0.12 (1/2)",
    "PIO_STORAGE_SOURCES_HDFS_PATH=hdfs://nn:9000/models,PIO_FS_BASEDIR=/home/x",
    "tokens counted: 17",
]


@pytest.mark.parametrize(("line", "shown"), SECRETS)
def test_a_secret_by_name_is_hidden_and_nothing_else(line: str, shown: str) -> None:
    assert Redactor().redact(line) == shown


@pytest.mark.parametrize("line", NO_SECRETS)
def test_what_is_no_secret_is_left(line: str) -> None:
    assert Redactor().redact(line) == line


def test_values_that_it_is_told_are_hidden_wherever_they_stand() -> None:
    redactor = Redactor(["hunter2", "hunter2-long", "abc", ""])
    assert redactor.redact("tried hunter2-long, then hunter2 on abc") == "tried ***, then *** on abc"


def test_the_drivers_perl_hides_the_same(tmp_path: Path) -> None:
    redactor = Redactor(["hunter2", "a.b$c'd@e/f\\g", "пароль"])
    given = [line for line, _ in SECRETS] + NO_SECRETS + ["x hunter2 y a.b$c'd@e/f\\g пароль z", ""]
    (tmp_path / "program").write_text(redactor.in_perl())
    done = subprocess.run(
        ["perl", tmp_path / "program"],  # noqa: S607 - the one of PATH, as on the driver
        input="\n".join([*given, "end"]).encode() + b"\xff hunter2",
        capture_output=True,
        check=True,
    )
    *shown, last = done.stdout.split(b"\n")
    assert [line.decode() for line in shown] == [redactor.redact(line) for line in given]
    assert last == b"end\xff ***"
    assert done.stderr == b""
