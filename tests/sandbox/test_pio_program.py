"""The stand-in's PIO_HOME for real services: its jars, its log file, and the commands that it starts. Without Java."""

from __future__ import annotations

import subprocess
import zipfile
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from pio_tf.pio.build_info import BUILD_INFO
from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.layout import Services
from pio_tf.sandbox.pio_program import ASSEMBLY, ENGINE, PioProgram, lay_out_program
from tests.sandbox.driver import configure

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = Services(host="127.77.9.9", elasticsearch=9200, zookeeper=2181, namenode=9000)
SHOW = '#!/bin/bash\nprintf "argument:%s\\n" "$@"\n'


@pytest.fixture
def program(tmp_path: Path) -> PioProgram:
    classes, library = tmp_path / "classes", tmp_path / "hbase-client-1.2.6.jar"
    for name in (BUILD_INFO, "com/actionml/RecommendationEngine.class"):
        (classes / name).parent.mkdir(parents=True)
        (classes / name).write_bytes(name.encode())
    library.write_bytes(b"")
    return PioProgram(classes, (library,))


@pytest.fixture
def files(tmp_path: Path, program: PioProgram) -> MachineFiles:
    """Return a driver's disk, with a spark-submit and a Java that only show their arguments."""
    files = MachineFiles(tmp_path / "driver")
    lay_out(files, role="driver", address="127.0.0.1")
    lay_out_program(files.home / "pio", program)
    configure(files.home, SERVICES)
    (files.spark / "bin").unlink()  # a link to the real one
    for program_file in (files.spark / "bin" / "spark-submit", files.home / "jdk" / "bin" / "java"):
        program_file.parent.mkdir(parents=True)
        program_file.write_text(SHOW)
        program_file.chmod(0o755)
    return files


def pio(files: MachineFiles, *words: str) -> list[str]:
    """Return the lines of `pio`."""
    done = subprocess.run(
        [files.home / "pio" / "bin" / "pio", *words],
        cwd=files.home / "engine",
        env={**files.environment("ubuntu"), "JAVA_HOME": str(files.home / "jdk")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def shown(lines: list[str]) -> list[str]:
    """Return the arguments of the program that `pio` has become."""
    return [line.removeprefix("argument:") for line in lines if line.startswith("argument:")]


def test_jars_are_the_same_bytes_for_the_same_classes(files: MachineFiles, program: PioProgram) -> None:
    jars = [files.home / "pio" / "lib" / name for name in (ASSEMBLY, ENGINE)]
    before = [jar.read_bytes() for jar in jars]
    lay_out_program(files.home / "pio", program)
    assert [jar.read_bytes() for jar in jars] == before
    assert [zipfile.ZipFile(jar).namelist() for jar in jars] == [
        [BUILD_INFO],
        ["com/actionml/RecommendationEngine.class"],
    ]


def test_a_library_that_is_no_longer_one_goes(files: MachineFiles, program: PioProgram) -> None:
    libraries = files.home / "pio" / "lib" / "spark"
    lay_out_program(files.home / "pio", PioProgram(program.classes, ()))
    assert list(libraries.iterdir()) == []


def test_pio_tfs_logging_outlives_a_boot(files: MachineFiles, program: PioProgram) -> None:
    logging = files.home / "pio" / "conf" / "log4j.properties"
    assert "pio.log" in logging.read_text()
    logging.write_text("log4j.rootLogger=INFO, console\n")
    lay_out_program(files.home / "pio", program)
    assert logging.read_text() == "log4j.rootLogger=INFO, console\n"


def test_train_submits_with_the_arguments_of_predictionio(files: MachineFiles, program: PioProgram) -> None:
    user = ("--master", "spark://m:7077", "--driver-java-options", "-Xss4m", "--driver-class-path", "/mine")
    arguments = shown(pio(files, "train", "--", *user))
    home, engine = files.home / "pio", files.home / "engine" / "target" / "scala-2.11"
    jars = [engine / "engine-assembly-1.0-deps.jar", engine / "engine_2.11-1.0.jar"]
    jars.append(home / "lib" / "spark" / program.libraries[0].name)
    directories = ["/mine", home / "conf", files.home / "hadoop", files.home / "hbase"]
    sent = [home / "conf/log4j.properties", files.home / "hadoop/core-site.xml", files.home / "hbase/hbase-site.xml"]
    assert arguments[: arguments.index("--engine-id")] == [
        *("--master", "spark://m:7077", "--class", "org.apache.predictionio.workflow.CreateWorkflow"),
        *("--jars", ",".join(f"file:{jar}" for jar in jars), "--files", ",".join(f"file:{path}" for path in sent)),
        *("--driver-class-path", ":".join(map(str, directories))),
        *("--driver-java-options", f"-Xss4m -Dpio.log.dir={home}/log", f"file:{home}/lib/{ASSEMBLY}"),
    ]


def test_build_gives_the_engine_its_classes(files: MachineFiles) -> None:
    jar = files.home / "engine" / "target" / "scala-2.11" / "engine_2.11-1.0.jar"
    assert "com/actionml/RecommendationEngine.class" not in zipfile.ZipFile(jar).namelist()
    pio(files, "build")
    assert zipfile.ZipFile(jar).namelist() == ["com/actionml/RecommendationEngine.class"]


@pytest.mark.parametrize("words", [("status",), ("app", "new", "other"), ("import", "--appid", "1", "--input", "x")])
def test_a_command_that_uses_the_storages_is_java(files: MachineFiles, words: tuple[str, ...]) -> None:
    arguments = shown(pio(files, *words))
    assert arguments[-len(words) - 1 :] == ["org.apache.predictionio.tools.console.Console", *words]
    class_path = arguments[arguments.index("-cp") + 1].split(":")
    assert class_path[:3] == [str(files.home / name) for name in ("pio/conf", "hadoop", "hbase")]


def test_the_submission_is_in_pio_log_unless_pio_tf_has_written_log4j_properties(files: MachineFiles) -> None:
    log = files.home / "pio" / "log" / "pio.log"
    pio(files, "train", "--", "--master", "spark://m:7077")
    assert "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=correct horse" in log.read_text()
    ours = resources.files("pio_tf.pio").joinpath("log4j.properties").read_text()
    (files.home / "pio" / "conf" / "log4j.properties").write_text(ours)
    log.unlink()
    pio(files, "train", "--", "--master", "spark://m:7077")
    assert log.read_text() == ""
