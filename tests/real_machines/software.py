"""The content of a mirror: the real Spark, out of pyspark, and the layout of the other software."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark

import pio_tf.sandbox.pio
from pio_tf.config.components import archive_path
from pio_tf.config.software import COMPATIBILITY
from pio_tf.sandbox.class_archive import QUICK
from pio_tf.sandbox.pio.jars import write_jars
from pio_tf.sandbox.sample import make_events

if TYPE_CHECKING:
    from collections.abc import Mapping

PIO = "0.14.0"
VERSIONS: Mapping[str, str] = {"pio": PIO, **COMPATIBILITY[PIO].defaults}
"""What pio-tf.hcl asks for. Spark's is not what is in its archive: the Spark that goes with PredictionIO needs Java 8,
which Debian 12 has not. pyspark's runs on its Java 17, and does not differ in what machines have to do with it."""
SHORT_LIVED = " ".join((*QUICK, "-XX:+UseSerialGC"))
"""Options of JVMs that live for seconds: on two cores, compiling well takes longer than the work."""
_ENVIRONMENT = f"""
export SPARK_DAEMON_JAVA_OPTS="$SPARK_DAEMON_JAVA_OPTS {SHORT_LIVED}"
export SPARK_LAUNCHER_OPTS="$SPARK_LAUNCHER_OPTS {SHORT_LIVED}"
"""
"""The options for JVMs that no property of Spark reaches, which the archive's own script adds to those of the machine.
A master or a worker starts with a quarter less CPU time."""
_PYSPARK = Path(pyspark.__file__).parent
_UNUSED = (
    *("breeze", "datanucleus-", "derby", "hive-", "kubernetes-", "mesos-", "rocksdbjni", "spark-mllib_", "spire_"),
    # Spark SQL and what it reads, and linear algebra. Tink must stay: it encrypts what Spark sends.
    *("arpack_", "arrow-", "algebra_", "cats-kernel_", "datasketches-", "janino-", "JTransforms-", "lapack-", "orc-"),
    *("parquet-", "scala-compiler-", "spark-catalyst_", "spark-hive", "spark-sql", "spark-streaming_"),
)
"""Jars that a job on a standalone cluster does not load, more than half of all bytes. Machines unpack ten copies."""
HADOOP: Mapping[str, bytes] = {
    "bin/hadoop": b'#!/bin/sh\necho "hadoop $*"\n',
    "etc/hadoop/core-site.xml": b"<configuration/>\n",
}
"""The layout of a client."""
_EVENTS = 300
_STAND_IN = Path(pio_tf.sandbox.pio.__file__).parent


@dataclass(frozen=True)
class Archive:
    """One file of a mirror: its path below the base address."""

    path: str
    sha512: str


def fill_mirror(directory: Path) -> dict[str, Archive]:
    """Make all archives that a driver downloads; return them by the components' names."""
    contents: dict[str, Mapping[str, Path | bytes]] = {
        "spark": spark_files(VERSIONS["spark"]),
        "hadoop": HADOOP,
        "hbase": {"bin/hbase": b'#!/bin/sh\necho "hbase $*"\n', "conf/hbase-site.xml": b"<configuration/>\n"},
        "pio": _pio_files(),
    }
    return {
        name: write_archive(directory, archive_path(name, VERSIONS[name]), files) for name, files in contents.items()
    }


def spark_files(version: str) -> dict[str, Path | bytes]:
    """Return Spark's directory, which says that it is this version."""
    files: dict[str, Path | bytes] = {"RELEASE": f"Spark {version} built for Hadoop 2.7.3\n".encode()}
    for part in ("bin", "sbin", "jars", "python"):
        for file in sorted((_PYSPARK / part).rglob("*")):
            if file.is_file() and not file.name.startswith(_UNUSED) and file.suffix not in (".cmd", ".pyc"):
                files[str(file.relative_to(_PYSPARK))] = file
    script = "bin/load-spark-env.sh"
    files[script] = (_PYSPARK / script).read_bytes() + _ENVIRONMENT.encode()
    return {**files, "conf/spark-defaults.conf.template": b""}


def _pio_files() -> dict[str, Path | bytes]:
    """Return the sandbox's stand-in for PredictionIO."""
    scripts = {f"lib/{file.name}": file for file in _STAND_IN.glob("[!_]*.py")}
    return {"bin/pio": _STAND_IN / "bin" / "pio", "lib/python": b'#!/bin/sh\nexec python3 "$@"\n', **scripts}


def engine_files(scratch: Path) -> dict[str, Path | bytes]:
    """Return the sandbox's sample engine, built, with its first events."""
    engine = scratch / "engine"
    shutil.copytree(_STAND_IN / "engine", engine)
    lines = (json.dumps(event) for event in islice(make_events(), _EVENTS))
    (engine / "events.jsonl").write_text("\n".join(lines) + "\n")
    write_jars(engine, name="engine")
    return {str(file.relative_to(engine)): file for file in engine.rglob("*") if file.is_file()}


def write_archive(directory: Path, path: str, files: Mapping[str, Path | bytes]) -> Archive:
    """Write a .tgz with one directory, hardly compressed: that would take longer than all else."""
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    top = target.name.removesuffix(".tgz").removesuffix(".tar.gz")
    with gzip.open(target, "wb", compresslevel=0) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for name, source in files.items():
            data = source if isinstance(source, bytes) else source.read_bytes()
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.mode = 0o755 if name.startswith(("bin/", "sbin/")) or data.startswith(b"#!") else 0o644
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    digest = hashlib.sha512()
    with target.open("rb") as written:
        while block := written.read(1 << 20):
            digest.update(block)
    return Archive(path, digest.hexdigest())
