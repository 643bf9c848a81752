"""The jars that `pio build` writes to an engine's directory and `pio train` looks for. Standard library only.

`pio train` imports this, and imports nothing that it does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TARGET = ("target", "scala-2.11")
"""sbt's directory of jars for the Scala of PredictionIO 0.14.0."""
_NOT_FOR_SPARK = ("-javadoc.jar", "-sources.jar")


def write_jars(engine: Path, *, name: str, classes: Path | None = None) -> list[Path]:
    """Write the jars of ``sbt package assemblyPackageDependency``: the engine's and its libraries'.

    Args:
        engine: the engine's directory.
        name: sbt's name of the project.
        classes: a jar with the engine's classes; None: there are none.
    """
    import shutil
    import zipfile

    target = engine.joinpath(*TARGET)
    target.mkdir(parents=True, exist_ok=True)
    jars = [target / f"{name}_2.11-1.0.jar", target / f"{name}-assembly-1.0-deps.jar"]
    for jar in jars:
        unfinished = jar.with_suffix(".unfinished")
        if jar is jars[0] and classes is not None:
            shutil.copyfile(classes, unfinished)
            unfinished.replace(jar)
            continue
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\nImplementation-Title: {jar.stem}\r\n\r\n"
            )
        unfinished.replace(jar)
    return jars


def find_jars(engine: Path) -> list[Path]:
    """Return the jars that PredictionIO uses: those under target, or if there are none, those under lib."""
    for directory in (engine.joinpath(*TARGET), engine / "lib"):
        jars = [path for path in sorted(directory.rglob("*.jar")) if not path.name.lower().endswith(_NOT_FOR_SPARK)]
        if jars:
            return jars
    return []
