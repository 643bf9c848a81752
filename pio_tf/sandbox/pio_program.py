"""The Java program of the stand-in for PredictionIO, for a sandbox with real services.

It uses the clients that PredictionIO uses, and Spark 2.4, whose Python workers do not run on Python 3.8 and later
(SPARK-29536). It is compiled at its first use.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from pio_tf.sandbox.java.artifacts import fetch_artifacts
from pio_tf.sandbox.java.compiler import compile_java

_STAND_IN = Path(__file__).parent / "pio"
ASSEMBLY = "pio-assembly-0.14.0.jar"
"""In PIO_HOME/lib, as in PredictionIO. pio-tf's checks read the Spark that it was built for there."""
ENGINE = "engine.jar"
"""In PIO_HOME/lib: the classes of the sample engine, which `pio build` puts into the engine's jar."""
_JAR_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PioProgram:
    """The compiled program."""

    classes: Path
    """Its directory of classes: packages ``org`` (PredictionIO's) and ``com`` (the engine's)."""
    libraries: tuple[Path, ...]
    """The jars of the clients, which Spark does not have."""


def prepare_program(cache: Path | None = None) -> PioProgram:
    """Fetch the libraries and compile the program, unless the cache has them.

    Args:
        cache: the cache directory; default: :func:`pio_tf.user_cache.default_cache`.

    Raises:
        SandboxError: something cannot be fetched.
    """
    libraries, spark = (fetch_artifacts(name, cache=cache) for name in ("pio", "spark-2.4"))
    sources = sorted((_STAND_IN / "java").glob("*.java"))
    return PioProgram(compile_java(sources, class_path=(*libraries, *spark), cache=cache), libraries)


def lay_out_program(home: Path, program: PioProgram) -> None:
    """Write the program into a PIO_HOME. PredictionIO's own log4j.properties goes there at the first boot only."""
    _write_jar(home / "lib" / ASSEMBLY, program.classes, "org")
    _write_jar(home / "lib" / ENGINE, program.classes, "com")
    libraries = home / "lib" / "spark"
    libraries.mkdir(exist_ok=True)
    names = {path.name for path in program.libraries}
    for old in libraries.iterdir():
        if old.name not in names:
            old.unlink()
    for path in program.libraries:
        link = libraries / path.name
        if not link.is_symlink() or link.readlink() != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    (home / "log").mkdir(exist_ok=True)
    logging = home / "conf" / "log4j.properties"
    if not logging.exists():
        logging.write_bytes((_STAND_IN / "log4j.properties").read_bytes())


def _write_jar(path: Path, classes: Path, package: str) -> None:
    """Write a jar with a package and those in it. The same classes give the same bytes."""
    unfinished = path.with_suffix(".unfinished")
    with zipfile.ZipFile(unfinished, "w") as jar:
        for file in sorted((classes / package).rglob("*.class")):
            jar.writestr(zipfile.ZipInfo(file.relative_to(classes).as_posix(), _JAR_TIME), file.read_bytes())
    unfinished.replace(path)
