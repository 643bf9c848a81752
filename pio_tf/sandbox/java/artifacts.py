"""Pinned Java artefacts, which Maven fetches once into the user's cache.

Maven itself does the download: it knows its repositories, and reads mirrors, proxies and credentials from the user's
settings.xml. It resolves nothing here. ``artifacts.txt`` names every file of a class path and its SHA-256.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as ET

from pio_tf.errors import SandboxError
from pio_tf.user_cache import default_cache, locked

_PINS = Path(__file__).with_name("artifacts.txt")
_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_TIMEOUT_SECONDS = 1800.0
_ERROR_LINES = 5


@dataclass(frozen=True)
class Artifact:
    """A jar in a Maven repository."""

    group: str
    name: str
    version: str
    classifier: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """``group:artifact:version[:classifier]``."""
        parts = (self.group, self.name, self.version, self.classifier)
        return ":".join(part for part in parts if part)

    @property
    def file_name(self) -> str:
        """The name that a Maven repository gives the file."""
        return "-".join(part for part in (self.name, self.version, self.classifier) if part) + ".jar"

    def path(self, cache: Path) -> Path:
        """Return its place in the cache. Two groups may have a file of the same name."""
        return cache / "artifacts" / self.sha256[:16] / self.file_name

    def is_whole(self, path: Path) -> bool:
        """Return whether the file has the pinned checksum."""
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


Fetch: TypeAlias = Callable[[Sequence[Artifact], Path], None]
"""Downloads artefacts into a directory, each under its checksum's name."""


def read_pins(name: str, pins: Path = _PINS) -> tuple[Artifact, ...]:
    """Return the artefacts of a set: ``elasticsearch``, ``storage``, ``spark-2.4``, ``pio`` or ``compiler``."""
    section, found = "", []
    for line in pins.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section == name and line and not line.startswith("#"):
            coordinates, sha256 = line.split()
            group, artifact, version, *classifier = coordinates.split(":")
            found.append(Artifact(group, artifact, version, "".join(classifier), sha256))
    if not found:
        raise ValueError(f"no set of artefacts has the name {name}")
    return tuple(found)


def fetch_artifacts(
    *names: str, cache: Path | None = None, pins: Path = _PINS, fetch: Fetch | None = None
) -> tuple[Path, ...]:
    """Return the jars of these sets, in the order of the class path. Fetch those that are missing or damaged.

    Args:
        names: names of the sets.
        cache: the cache directory; default: :func:`default_cache`.
        pins: the file with the coordinates and checksums.
        fetch: how to download. Default: :func:`fetch_with_maven`.

    Raises:
        SandboxError: an artefact cannot be downloaded, or has another checksum.
    """
    cache = default_cache() if cache is None else cache
    wanted = list(dict.fromkeys(artifact for name in names for artifact in read_pins(name, pins)))
    if any(not artifact.is_whole(artifact.path(cache)) for artifact in wanted):
        with locked(cache / "artifacts"):
            missing = [artifact for artifact in wanted if not artifact.is_whole(artifact.path(cache))]
            if missing:
                _fetch_missing(missing, cache, fetch or fetch_with_maven)
    return tuple(artifact.path(cache) for artifact in wanted)


def _fetch_missing(missing: Sequence[Artifact], cache: Path, fetch: Fetch) -> None:
    with tempfile.TemporaryDirectory(dir=cache / "artifacts", prefix="unfinished-") as directory:
        fetch(missing, Path(directory))
        for artifact in missing:
            downloaded = Path(directory, f"{artifact.sha256}.jar")
            if not artifact.is_whole(downloaded):
                raise SandboxError(
                    f"the downloaded {artifact.coordinates} is not the file that pio-tf knows",
                    cause=f"its SHA-256 is not {artifact.sha256}",
                    next_step="remove it from Maven's local repository, check the mirror in settings.xml, and retry",
                )
            path = artifact.path(cache)
            path.parent.mkdir(exist_ok=True)
            downloaded.replace(path)


def fetch_with_maven(artifacts: Sequence[Artifact], directory: Path, *, maven: str = "mvn") -> None:
    """Download artefacts with the user's Maven.

    Args:
        artifacts: the artefacts.
        directory: where they go, each under the name of its checksum.
        maven: the program.

    Raises:
        SandboxError: Maven is not installed, or a download failed.
    """
    count = f"{len(artifacts)} Java artefact{'' if len(artifacts) == 1 else 's'}"
    program = shutil.which(maven)
    if program is None:
        raise SandboxError(
            "the sandbox's real services need Maven",
            cause=f"there is no {maven} on PATH to download {count}",
            next_step="install Maven (on Debian and Ubuntu: apt install maven)",
        )
    project = directory / "pom.xml"
    project.write_bytes(_render_project(artifacts, directory))
    command = [program, "--batch-mode", "--quiet", "--file", str(project), _GOAL]
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(
            f"Maven did not download {count} within {_TIMEOUT_SECONDS:g} s",
            next_step="check the network, and the mirrors and proxies in Maven's settings.xml; retry resumes",
        ) from error
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise SandboxError(
            f"Maven could not download {count}",
            cause="\n".join(lines[:_ERROR_LINES]) or f"{program} ended with exit code {done.returncode}",
            next_step="check the network, and the mirrors and proxies in Maven's settings.xml",
        )


def _render_project(artifacts: Sequence[Artifact], directory: Path) -> bytes:
    """Return a pom.xml that copies artefacts.

    The plugin's own list of items may hold two versions of one artefact, which dependencies may not.
    """
    group, name, version, _ = _GOAL.split(":")
    project = ET.Element("project", xmlns="http://maven.apache.org/POM/4.0.0")
    _add(project, modelVersion="4.0.0", groupId="pio-tf", artifactId="sandbox", version="1", packaging="pom")
    plugin = ET.SubElement(ET.SubElement(ET.SubElement(project, "build"), "plugins"), "plugin")
    _add(plugin, groupId=group, artifactId=name, version=version)
    configuration = ET.SubElement(plugin, "configuration")
    _add(configuration, outputDirectory=str(directory))
    items = ET.SubElement(configuration, "artifactItems")
    for artifact in artifacts:
        item = ET.SubElement(items, "artifactItem")
        _add(item, groupId=artifact.group, artifactId=artifact.name, version=artifact.version, type="jar")
        _add(item, classifier=artifact.classifier, destFileName=f"{artifact.sha256}.jar")
    return ET.tostring(project)


def _add(parent: ET.Element, **values: str) -> None:
    for tag, value in values.items():
        ET.SubElement(parent, tag).text = value
