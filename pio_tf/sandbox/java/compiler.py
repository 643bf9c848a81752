"""Compiles small Java programs at their first use, with Eclipse's compiler: a Java without a JDK is enough."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.errors import SandboxError
from pio_tf.sandbox.java.artifacts import fetch_artifacts
from pio_tf.sandbox.java.runtime import VERSION, find_java
from pio_tf.user_cache import default_cache, locked

if TYPE_CHECKING:
    from collections.abc import Sequence

_RELEASE = VERSION.partition(".")[0]
_OPTIONS = ("-source", _RELEASE, "-target", _RELEASE, "-encoding", "UTF-8", "-g", "-nowarn", "-proc:none")


def compile_java(sources: Sequence[Path], *, class_path: Sequence[Path], cache: Path | None = None) -> Path:
    """Return the directory with the classes of a program, which is compiled unless the cache has it.

    Args:
        sources: all of the program's source files.
        class_path: its libraries, from :func:`pio_tf.sandbox.java.artifacts.fetch_artifacts`: their paths tell their
            content.
        cache: the cache directory; default: :func:`default_cache`.

    Raises:
        SandboxError: the sources have errors, or Java or the compiler cannot be fetched.
    """
    cache = default_cache() if cache is None else cache
    digest = hashlib.sha256(repr((_OPTIONS, VERSION, [str(path) for path in class_path])).encode())
    for source in sorted(sources):
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    classes = cache / "classes-java" / digest.hexdigest()[:16]
    if not classes.is_dir():
        java, (compiler,) = find_java(cache), fetch_artifacts("compiler", cache=cache)
        with locked(classes.parent):
            if not classes.is_dir():
                _compile(sources, class_path, java=java, compiler=compiler, classes=classes)
    return classes


def _compile(sources: Sequence[Path], class_path: Sequence[Path], *, java: Path, compiler: Path, classes: Path) -> None:
    with tempfile.TemporaryDirectory(dir=classes.parent, prefix="unfinished-") as directory:
        target = Path(directory, "classes")
        libraries = os.pathsep.join(str(path) for path in class_path)
        command = [str(java / "bin" / "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar", str(compiler)]
        command += [*_OPTIONS, "-classpath", libraries, "-d", str(target), *(str(source) for source in sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            names = ", ".join(source.name for source in sources)
            raise SandboxError(f"could not compile {names}", cause=(done.stdout + done.stderr).strip())
        target.rename(classes)
