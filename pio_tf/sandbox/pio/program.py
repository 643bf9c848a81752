"""The commands that run the Java program, which PIO_HOME has in a sandbox with real services. Standard library only.

Jars, files and class paths are in PredictionIO's order.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONSOLE = "org.apache.predictionio.tools.console.Console"
_WORKFLOW = "org.apache.predictionio.workflow.CreateWorkflow"
_FILES = {
    "PIO_CONF_DIR": "log4j.properties",
    "ES_CONF_DIR": "elasticsearch.yml",
    "HADOOP_CONF_DIR": "core-site.xml",
    "HBASE_CONF_DIR": "hbase-site.xml",
}
"""The files that every executor gets, by the variable of their directory."""
_LOG_FILE = re.compile(r"^log4j\.appender\.\w+\.File=.*pio\.log", re.MULTILINE)
_CLASS_PATH = ("PIO_CONF_DIR", "ES_CONF_DIR", "HADOOP_CONF_DIR", "HBASE_CONF_DIR")


def find_assembly(home: Path) -> Path | None:
    """Return the program's jar; None: this PIO_HOME is for stand-ins of services."""
    return next(home.glob("lib/pio-assembly-*.jar"), None)


def log_file(environ: Mapping[str, str]) -> Path | None:
    """Return pio.log, which PredictionIO creates, if its log4j.properties names it; else None."""
    home = Path(environ["PIO_HOME"])
    if find_assembly(home) is None:
        return None
    path = home / "log" / "pio.log"
    path.touch()
    logging = Path(environ["PIO_CONF_DIR"], "log4j.properties")
    named = logging.is_file() and _LOG_FILE.search(logging.read_text(encoding="utf-8"))
    return path if named else None


def console_command(assembly: Path, words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the command of a part of `pio` that uses the storages."""
    import shutil

    home = environ["PIO_HOME"]
    directories = [environ[name] for name in _CLASS_PATH if environ.get(name)]
    class_path = [*directories, f"{home}/lib/spark/*", str(assembly), f"{environ['SPARK_HOME']}/jars/*"]
    java = f"{environ['JAVA_HOME']}/bin/java" if environ.get("JAVA_HOME") else shutil.which("java") or "java"
    return [java, "-cp", ":".join(class_path), f"-Dpio.log.dir={home}/log", _CONSOLE, *words]


def submission(assembly: Path, spark: Sequence[str], jars: Sequence[Path], environ: Mapping[str, str]) -> list[str]:
    """Return spark-submit with its arguments, up to the program's own.

    Args:
        spark: the user's arguments.
        jars: the engine's.
    """
    home = environ["PIO_HOME"]
    rest, class_path = _take(spark, "--driver-class-path")
    rest, options = _take(rest, "--driver-java-options")
    class_path += [environ[name] for name in _CLASS_PATH if environ.get(name)]
    libraries = [*jars, *sorted(Path(home, "lib", "spark").glob("*.jar"))]
    files = [Path(environ[variable], name) for variable, name in _FILES.items() if environ.get(variable)]
    return [
        f"{environ['SPARK_HOME']}/bin/spark-submit",
        *rest,
        *("--class", _WORKFLOW, "--jars", ",".join(f"file:{jar}" for jar in libraries)),
        *("--files", ",".join(f"file:{file}" for file in files if file.exists())),
        *("--driver-class-path", ":".join(class_path)),
        *("--driver-java-options", " ".join([*options, f"-Dpio.log.dir={home}/log"])),
        f"file:{assembly}",
    ]


def _take(words: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """Return the words without an option, and the option's values."""
    rest, values = list(words), []
    while option in rest:
        at = rest.index(option)
        values += rest[at + 1 : at + 2]
        del rest[at : at + 2]
    return rest, values
