"""The sample engine's events in HBase, in PredictionIO's layout. With real services, `pio train` reads them there."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

from pio_tf.errors import SandboxError
from pio_tf.sandbox.class_archive import QUICK
from pio_tf.sandbox.processes import MARK, die_with_parent
from pio_tf.sandbox.real.service_files import write_properties
from pio_tf.sandbox.sample import write_events

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.layout import Services
    from pio_tf.sandbox.pio_program import PioProgram

APP = "sample"
"""The app of the sample engine."""
_CONSOLE = "org.apache.predictionio.tools.console.Console"
_ERROR_LINES = 10


async def import_sample(
    where: Services, program: PioProgram, *, java: Path, spark_jars: Path, directory: Path, mark: Path
) -> None:
    """Make the app of the sample engine and import its events, with the program of `pio app new` and `pio import`.

    Args:
        where: the services.
        program: the stand-in for PredictionIO.
        java: JAVA_HOME.
        spark_jars: Spark's jars, which have Hadoop's client.
        directory: for its files; created.
        mark: the sandbox's directory, which marks its processes.

    Raises:
        SandboxError: a service refuses.
    """
    directory.mkdir(parents=True, exist_ok=True)
    events = directory / "events.jsonl"
    write_events(events)
    quorum = {"hbase.zookeeper.quorum": where.host, "hbase.zookeeper.property.clientPort": where.zookeeper}
    write_properties(directory / "hbase-site.xml", quorum)
    class_path = [directory, *program.libraries, program.classes, f"{spark_jars}/*"]
    libraries = os.pathsep.join(str(path) for path in class_path)
    process = await asyncio.create_subprocess_exec(
        *(str(java / "bin" / "java"), *QUICK, "-XX:+UseSerialGC", "-cp", libraries, _CONSOLE),
        *("sample", APP, str(events)),
        cwd=directory,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(directory), MARK: str(mark), **_storage(where)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        end = "\n".join(output.decode(errors="replace").splitlines()[-_ERROR_LINES:])
        raise SandboxError("could not import the sample events into HBase", cause=end)


def _storage(where: Services) -> dict[str, str]:
    """Return PredictionIO's variables for the services."""
    prefix = "PIO_STORAGE_SOURCES_ELASTICSEARCH"
    variables = {
        "PIO_STORAGE_REPOSITORIES_METADATA_NAME": "pio_meta",
        "PIO_STORAGE_REPOSITORIES_METADATA_SOURCE": "ELASTICSEARCH",
        "PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME": "pio_event",
        "PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE": "HBASE",
        "PIO_STORAGE_SOURCES_HBASE_TYPE": "hbase",
        f"{prefix}_TYPE": "elasticsearch",
        f"{prefix}_HOSTS": where.host,
        f"{prefix}_PORTS": str(where.elasticsearch),
    }
    if where.elasticsearch_password_file is not None:
        variables[f"{prefix}_USERNAME"] = where.elasticsearch_user or ""
        variables[f"{prefix}_PASSWORD"] = where.elasticsearch_password_file.read_text(encoding="ascii")
    return variables
