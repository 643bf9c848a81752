"""The stand-in's `pio` program: what it reads, says and ends with, up to the point where it calls spark-submit."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.services import LocalServices
from tests.sandbox.driver import CLOSED_PORT, ask, configure, pio_env

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.sandbox.layout import Services


class Driver:
    """A driver's disk, with a spark-submit that only shows its arguments and environment."""

    def __init__(self, root: Path, services: Services) -> None:
        self.services = services
        self.files = MachineFiles(root)
        lay_out(self.files, role="driver", address="127.0.0.1")
        self.home = self.files.home
        configure(self.home, services)
        (self.files.spark / "bin").unlink()  # a link to the real one
        submit = self.files.spark / "bin" / "spark-submit"
        submit.parent.mkdir()
        submit.write_text('#!/bin/bash\nprintf "argument:%s\\n" "$@"\necho "basedir:$PIO_FS_BASEDIR"\nexit 5\n')
        submit.chmod(0o755)

    def change_env(self, old: str, new: str) -> None:
        """Change pio-env.sh."""
        text = pio_env(self.services)
        assert old in text
        (self.home / "pio" / "conf" / "pio-env.sh").write_text(text.replace(old, new))

    def pio(self, *arguments: str, where: str = "engine", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.home / "pio" / "bin" / "pio", *arguments],
            cwd=self.home / where,
            env={**self.files.environment("ubuntu"), **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with LocalServices() as services:
        yield Driver(tmp_path / "driver", services.where)


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout.splitlines()[-1]


def test_status_is_ready_when_it_is_configured(driver: Driver) -> None:
    result = driver.pio("status")
    assert last_line(result).endswith("Your system is all ready to go.")
    assert (result.returncode, result.stderr) == (0, "")
    assert "stand-in for Apache PredictionIO, not PredictionIO itself" in result.stdout


def test_version_says_that_it_is_a_stand_in(driver: Driver) -> None:
    result = driver.pio("version")
    assert result.stdout.startswith("0.14.0\n")
    assert "stand-in" in result.stdout


def test_status_makes_the_metadata_indices(driver: Driver) -> None:
    driver.pio("status")
    assert sorted(ask(driver.services, "/_alias")) == [
        f"pio_meta_{kind}"
        for kind in ("accesskeys", "apps", "channels", "engine_instances", "evaluation_instances", "sequences")
    ]


def test_status_without_pio_env_fails(driver: Driver) -> None:
    (driver.home / "pio" / "conf" / "pio-env.sh").unlink()
    result = driver.pio("status")
    assert last_line(result).endswith("pio-env.sh is missing. Aborting.")
    assert result.returncode == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("$HOME/spark", "/nowhere", "SPARK_HOME=/nowhere"),
        ("SPARK_HOME", "OTHER", "SPARK_HOME=(not set)"),
        ("PIO_STORAGE_SOURCES_HDFS_TYPE", "OTHER", "Undefined storage source HDFS"),
        ("PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE", "OTHER", "EVENTDATA_SOURCE is not set"),
        ("PIO_STORAGE_REPOSITORIES_METADATA_NAME", "OTHER", "METADATA_NAME is not set"),
    ],
)
def test_status_says_what_is_missing_and_fails(driver: Driver, old: str, new: str, said: str) -> None:
    driver.change_env(old, new)
    result = driver.pio("status")
    assert said in last_line(result)
    assert last_line(result).endswith("Aborting.")
    assert result.returncode == 1


def test_status_without_elasticsearch_dumps_its_configuration_with_the_password(driver: Driver) -> None:
    configure(driver.home, replace(driver.services, elasticsearch=CLOSED_PORT))
    result = driver.pio("status")
    assert "\nConnection refused (java.net.ConnectException)\n" in result.stdout
    assert last_line(result).startswith("Source Name: ELASTICSEARCH; Type: elasticsearch; Configuration: ")
    assert "PASSWORD -> correct horse" in last_line(result)
    assert result.returncode == 1


def test_status_without_zookeeper_fails(driver: Driver) -> None:
    configure(driver.home, replace(driver.services, zookeeper=CLOSED_PORT))
    result = driver.pio("status")
    assert f"Cannot connect to ZooKeeper (ZooKeeper ensemble: {driver.services.host})" in result.stdout
    assert "\nData source HBASE was not properly initialized. (org.apache" in result.stdout
    assert "Source Name: HBASE; Type: (error); Configuration: (error)" in result.stdout
    assert result.returncode == 1


def test_status_does_not_notice_a_name_node_that_is_gone_as_in_predictionio(driver: Driver) -> None:
    configure(driver.home, replace(driver.services, namenode=CLOSED_PORT))
    assert driver.pio("status").returncode == 0


def test_the_next_node_of_elasticsearch_is_asked_where_the_first_does_not_answer(driver: Driver) -> None:
    host, port = driver.services.host, driver.services.elasticsearch
    driver.change_env(f"HOSTS={host}", f"HOSTS={host},{host}")
    assert driver.pio("status").returncode == 0
    text = (driver.home / "pio" / "conf" / "pio-env.sh").read_text()
    text = text.replace(f"PORTS={port}", f"PORTS={CLOSED_PORT},{port}").replace("SCHEMES=http", "SCHEMES=http,http")
    (driver.home / "pio" / "conf" / "pio-env.sh").write_text(text)
    assert driver.pio("status").returncode == 0
    # One scheme for two hosts: the second one does not count.
    (driver.home / "pio" / "conf" / "pio-env.sh").write_text(text.replace("SCHEMES=http,http", "SCHEMES=http"))
    assert driver.pio("status").returncode == 1


def test_the_environment_is_not_read_again_when_it_is_loaded(driver: Driver) -> None:
    assert driver.pio("status", PIO_ENV_LOADED="1").returncode == 1


def test_train_submits_what_it_is_given(driver: Driver) -> None:
    result = driver.pio("train", "-v", "engine.json", "--", "--master", "spark://h:7077", "--driver-memory", "1g")
    lines = result.stdout.splitlines()
    arguments = [line.removeprefix("argument:") for line in lines if line.startswith("argument:")]
    assert lines[0].startswith("[INFO] [Runner$] Submission command: ")
    assert arguments[:4] == ["--master", "spark://h:7077", "--driver-memory", "1g"]
    assert arguments[6] == f"{driver.home}/pio/lib/train.py"
    options = dict(zip(arguments[7::2], arguments[8::2], strict=True))
    assert options["--engine-id"] == "com.actionml.RecommendationEngine"
    assert options["--engine-version"] == hashlib.sha1(bytes(driver.home / "engine"), usedforsecurity=False).hexdigest()
    assert options["--engine-variant"] == f"file:{driver.home}/engine/engine.json"
    assert lines[-1] == f"basedir:{driver.home}/.pio_store"
    assert result.returncode == 5


def test_train_prints_and_passes_every_variable_with_its_password(driver: Driver) -> None:
    result = driver.pio("train", "--", "--master", "spark://h:7077")
    submitted, *arguments = result.stdout.splitlines()
    assert "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=correct horse," in submitted
    (env,) = (line.removeprefix("argument:") for line in arguments if line.startswith("argument:PIO_"))
    assert env in submitted
    assert {pair.partition("=")[0] for pair in env.split(",")} >= {"PIO_HOME", "PIO_ENV_LOADED", "PIO_FS_BASEDIR"}


def test_train_takes_the_jars_of_the_build_along(driver: Driver) -> None:
    target = driver.home / "engine" / "target" / "scala-2.11"
    jars = sorted(target.iterdir())
    assert [jar.name for jar in jars] == ["engine-assembly-1.0-deps.jar", "engine_2.11-1.0.jar"]
    assert f"--jars\nargument:file:{jars[0]},file:{jars[1]}\n" in driver.pio("train").stdout
    shutil.rmtree(target)
    assert "--jars" not in driver.pio("train").stdout
    built = driver.pio("build")
    assert "[INFO] [Engine$] Build finished successfully." in built.stdout
    assert last_line(built).endswith("Your engine is ready for training.")
    assert sorted(target.iterdir()) == jars
    assert zipfile.ZipFile(jars[1]).testzip() is None


def test_a_value_with_a_space_splits_as_in_predictionio(driver: Driver) -> None:
    result = driver.pio("train", "--", "--conf", "a=b c")
    assert "argument:a=b\nargument:c\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "where", "said"),
    [
        (("train",), "pio", "/pio/engine.json does not exist. Aborting."),
        (("train", "-v", "other.json"), "engine", "other.json does not exist. Aborting."),
        (("train", "--", "--deploy-mode", "cluster"), "engine", "is not supported. Aborting."),
        (("train", "--master", "spark://h:7077"), "engine", "Unknown option --master"),
        (("trian",), "engine", "Unknown command trian"),
    ],
)
def test_a_mistake_is_refused(driver: Driver, arguments: tuple[str, ...], where: str, said: str) -> None:
    result = driver.pio(*arguments, where=where)
    assert said in result.stdout + result.stderr
    assert result.returncode == 1


def test_train_without_spark_is_refused(driver: Driver) -> None:
    driver.change_env("$HOME/spark", "/nowhere")
    result = driver.pio("train", "--", "--master", "spark://h:7077")
    assert "Unable to locate a proper Apache Spark installation" in last_line(result)
    assert result.returncode == 1


def test_build_needs_an_engine(driver: Driver) -> None:
    assert driver.pio("build", where="pio").returncode == 1


def test_what_a_user_changes_is_there_after_the_next_boot(driver: Driver) -> None:
    engine = driver.home / "engine" / "engine.json"
    engine.write_text("{}")
    (driver.files.spark / "conf" / "spark-defaults.conf").write_text("spark.x 1\n")
    (driver.files.temporary / "scratch").touch()
    shutil.rmtree(driver.files.spark / "bin")  # this test's own
    lay_out(driver.files, role="driver", address="127.0.0.1")
    assert engine.read_text() == "{}"
    assert (driver.files.spark / "conf" / "spark-defaults.conf").read_text() == "spark.x 1\n"
    assert (driver.home / "pio" / "conf" / "pio-env.sh").read_text() == pio_env(driver.services)
    assert list(driver.files.temporary.iterdir()) == []


def test_the_sample_is_the_same_every_time_and_names_the_indicators(driver: Driver, tmp_path: Path) -> None:
    other = MachineFiles(tmp_path / "other")
    lay_out(other, role="driver", address="127.0.0.1")
    events = (driver.home / "engine" / "events.jsonl").read_text()
    assert events == (other.home / "engine" / "events.jsonl").read_text()
    names = {json.loads(line)["event"] for line in events.splitlines()}
    engine = json.loads((driver.home / "engine" / "engine.json").read_text())
    assert names == {indicator["name"] for indicator in engine["algorithms"][0]["params"]["indicators"]}
    assert 5_000 < len(events.splitlines()) < 20_000
