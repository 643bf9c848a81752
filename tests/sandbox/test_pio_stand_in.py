"""The stand-in's `pio` program: what it reads, says and ends with, up to the point where it calls spark-submit."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.home import MachineFiles, lay_out

if TYPE_CHECKING:
    from pathlib import Path

ENV = """\
SPARK_HOME=$HOME/spark
PIO_FS_BASEDIR=$HOME/.pio_store
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=ELASTICSEARCH
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE=HBASE
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE=HDFS
PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch
PIO_STORAGE_SOURCES_HBASE_TYPE=hbase
PIO_STORAGE_SOURCES_HDFS_TYPE=hdfs
"""


class Driver:
    """A driver's disk, with a spark-submit that only shows its arguments and environment."""

    def __init__(self, root: Path) -> None:
        self.files = MachineFiles(root)
        lay_out(self.files, role="driver", address="127.0.0.1")
        self.home = self.files.home
        self.configure(ENV)
        (self.files.spark / "bin").unlink()  # a link to the real one
        submit = self.files.spark / "bin" / "spark-submit"
        submit.parent.mkdir()
        submit.write_text('#!/bin/bash\nprintf "argument:%s\\n" "$@"\necho "basedir:$PIO_FS_BASEDIR"\nexit 5\n')
        submit.chmod(0o755)

    def configure(self, text: str) -> None:
        (self.home / "pio" / "conf" / "pio-env.sh").write_text(text)

    def pio(self, *arguments: str, where: str = "engine", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.home / "pio" / "bin" / "pio", *arguments],
            cwd=self.home / where,
            env={**self.files.environment("ubuntu"), **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path / "driver")


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


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (None, "pio-env.sh is missing"),
        (ENV.replace("$HOME/spark", "/nowhere"), "SPARK_HOME=/nowhere"),
        (ENV.replace("SPARK_HOME", "OTHER"), "SPARK_HOME=(not set)"),
        (ENV.replace("PIO_STORAGE_SOURCES_HDFS_TYPE", "OTHER"), "Undefined storage source HDFS"),
        (ENV.replace("PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE", "OTHER"), "EVENTDATA_SOURCE is not set"),
    ],
)
def test_status_says_what_is_missing_and_fails(driver: Driver, env: str | None, said: str) -> None:
    if env is None:
        (driver.home / "pio" / "conf" / "pio-env.sh").unlink()
    else:
        driver.configure(env)
    result = driver.pio("status")
    assert said in last_line(result)
    assert last_line(result).endswith("Aborting.")
    assert result.returncode == 1


def test_the_environment_is_not_read_again_when_it_is_loaded(driver: Driver) -> None:
    assert driver.pio("status", PIO_ENV_LOADED="1").returncode == 1


def test_train_submits_what_it_is_given(driver: Driver) -> None:
    result = driver.pio("train", "-v", "engine.json", "--", "--master", "spark://h:7077", "--driver-memory", "1g")
    lines = result.stdout.splitlines()
    arguments = [line.removeprefix("argument:") for line in lines if line.startswith("argument:")]
    assert lines[0].startswith("[INFO] [Runner$] Submission command: ")
    assert arguments[2:6] == ["--master", "spark://h:7077", "--driver-memory", "1g"]
    assert arguments[6:] == [f"{driver.home}/pio/lib/train.py", "--engine-variant", "engine.json"]
    assert lines[-1] == f"basedir:{driver.home}/.pio_store"
    assert result.returncode == 5


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
    driver.configure(ENV.replace("$HOME/spark", "/nowhere"))
    result = driver.pio("train", "--", "--master", "spark://h:7077")
    assert "Unable to locate a proper Apache Spark installation" in last_line(result)
    assert result.returncode == 1


def test_build_needs_an_engine(driver: Driver) -> None:
    assert "Your engine is ready for training." in driver.pio("build").stdout
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
    assert (driver.home / "pio" / "conf" / "pio-env.sh").read_text() == ENV
    assert list(driver.files.temporary.iterdir()) == []


def test_the_sample_is_the_same_every_time_and_names_the_indicators(driver: Driver, tmp_path: Path) -> None:
    other = MachineFiles(tmp_path / "other")
    lay_out(other, role="driver", address="127.0.0.1")
    events = (driver.home / "engine" / "events.jsonl").read_text()
    assert events == (other.home / "engine" / "events.jsonl").read_text()
    names = {json.loads(line)["event"] for line in events.splitlines()}
    engine = json.loads((driver.home / "engine" / "engine.json").read_text())
    assert names == {indicator["name"] for indicator in engine["algorithms"][0]["params"]["indicators"]}
    assert 20_000 < len(events.splitlines()) < 50_000
