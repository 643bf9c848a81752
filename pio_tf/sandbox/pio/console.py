"""The commands of the stand-in's `pio`: `status`, `build`, `train`, `version`. bin/pio has read pio-env.sh.

It prints PredictionIO's lines, on standard output. In a sandbox with real services, :mod:`program` runs what uses them.
Standard library only.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import program  # type: ignore[import-not-found]  # these are beside this file
from jars import find_jars, write_jars  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage import JavaException  # type: ignore[import-not-found]

STAND_IN = "this is pio-tf's sandbox stand-in for Apache PredictionIO, not PredictionIO itself"
VERSION = "0.14.0"
_HELP = f"""\
{STAND_IN}.

  pio status                                      checks conf/pio-env.sh, Spark and the storages
  pio train [options] -- [spark-submit arguments] trains the engine in this directory
  pio build                                       writes the jars that `pio train` requires
  pio app new NAME, pio import --appid ID --input FILE   (with real services) events in HBase
  pio version
"""


def say(source: str, message: str) -> None:
    """Print a line of the console."""
    _print("INFO", source, message)


def fail(source: str, message: str) -> int:
    """Print an error of the console, and return its exit code."""
    _print("ERROR", source, message)
    return 1


def _print(level: str, source: str, message: str) -> None:
    print(f"[{level}] [{source}] {message}", flush=True)
    log = program.log_file(os.environ)
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S,%f} {level:5} {source} [main] - {message}\n")  # noqa: DTZ005


def spark_version() -> str | None:
    """Return the version of the Spark at SPARK_HOME, or None."""
    home = Path(os.environ.get("SPARK_HOME") or "/nowhere")
    release = home / "RELEASE"
    if not os.access(home / "bin" / "spark-submit", os.X_OK) or not release.is_file():
        return None
    return release.read_text(encoding="utf-8").split()[1]


def no_spark(source: str) -> int:
    """Report that there is no Spark, and return the exit code."""
    home = os.environ.get("SPARK_HOME") or "(not set)"
    return fail(source, f"Unable to locate a proper Apache Spark installation at SPARK_HOME={home}. Aborting.")


def status() -> int:
    """Run `pio status`. Like PredictionIO, it contacts neither Spark's master nor HDFS."""
    from storage import JavaException, NotConfigured, find_repository, open_source

    home = os.environ["PIO_HOME"]
    say("Management$", "Inspecting PredictionIO...")
    say("Management$", f"PredictionIO {VERSION} is installed at {home} ({STAND_IN})")
    settings = Path(os.environ["PIO_CONF_DIR"], "pio-env.sh")
    if not settings.is_file():
        return fail("Management$", f"{settings} is missing. Aborting.")
    say("Management$", "Inspecting Apache Spark...")
    version = spark_version()
    if version is None:
        return no_spark("Management$")
    say("Management$", f"Apache Spark is installed at {os.environ['SPARK_HOME']}")
    say("Management$", f"Apache Spark {version} detected (meets minimum requirement of 2.0.2)")
    say("Management$", "Inspecting storage backend connections...")
    assembly = program.find_assembly(Path(home))
    if assembly is not None:
        return become(program.console_command(assembly, ["status"], os.environ))
    opened: dict[str, str] = {}
    try:
        for identifier in ("METADATA", "MODELDATA", "EVENTDATA"):
            repository = find_repository(identifier, os.environ)
            source = repository.source
            say("Storage$", f"Verifying {repository.label} Backend (Source: {source.name})...")
            opened[source.name] = source.description
            if source.type == "hbase":
                # Its client connects at once. If it cannot, there is no source to describe.
                opened[source.name] = f"Source Name: {source.name}; Type: (error); Configuration: (error)"
            open_source(repository, os.environ)
            opened[source.name] = source.description
    except NotConfigured as error:
        return fail("Storage$", str(error))
    except JavaException as error:
        return storage_failed(error, opened)
    say("Storage$", "Test writing to Event Store (App Id 0)...")
    say("Management$", "Your system is all ready to go.")
    return 0


def storage_failed(error: JavaException, opened: dict[str, str]) -> int:
    """Print PredictionIO's error, with the configuration of every source so far, passwords included."""
    said = f"{error} ({error.kind})"
    if error.kind.endswith("ZooKeeperConnectionException"):
        name = next(reversed(opened))
        fail(
            "StorageClient",
            f"Cannot connect to ZooKeeper (ZooKeeper ensemble: {error}). Please make sure that the configuration is "
            "pointing at the correct ZooKeeper ensemble. By default, HBase manages its own ZooKeeper, so if you have "
            "not configured HBase to use an external ZooKeeper, that means your HBase is not started or configured "
            "properly.",
        )
        fail("Storage$", f"Error initializing storage client for source {name}.")
        kind = "org.apache.predictionio.data.storage.StorageClientException"
        said = f"Data source {name} was not properly initialized. ({kind})"
    lines = [
        "Unable to connect to all storage backends successfully.",
        "The following shows the error message from the storage backend.",
        "",
        said,
        "",
        "Dumping configuration of initialized storage backend sources.",
        "Please make sure they are correct.",
        "",
        *opened.values(),
    ]
    return fail("Management$", "\n".join(lines))


def build() -> int:
    """Run `pio build`."""
    engine = Path.cwd()
    if not (engine / "engine.json").is_file():
        return fail("Engine$", f"{engine}/engine.json does not exist. Aborting.")
    say("Engine$", f"Using command 'sbt' at {engine} to build.")
    say("Engine$", "If the path above is incorrect, this process will fail.")
    say("Engine$", f"Uber JAR disabled. Making sure lib/pio-assembly-{VERSION}.jar is absent.")
    say(
        "Engine$", f"Going to run: sbt  package assemblyPackageDependency in {engine} ({STAND_IN}: it compiles nothing)"
    )
    classes = Path(os.environ["PIO_HOME"], "lib", "engine.jar")
    jars = write_jars(engine, name=engine.name, classes=classes if classes.is_file() else None)
    say("Engine$", "Compilation finished successfully.")
    say("Engine$", "Looking for an engine...")
    for jar in jars:
        say("Engine$", f"Found {jar.name}")
    say("Engine$", "Build finished successfully.")
    say("Pio$", "Your engine is ready for training.")
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with 1, as PredictionIO does."""
        sys.stderr.write(f"Error: {message}\nTry --help for more information.\n")
        sys.exit(1)


def parse_train(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the options of `pio train` before the ``--``."""
    parser = _Parser(prog="pio train", allow_abbrev=False)
    parser.add_argument("-v", "--variant", "--engine-variant", type=Path, default=Path("engine.json"))
    for name in ("--batch", "--engine-factory", "--engine-params-key", "--scratch-uri"):
        parser.add_argument(name, default="")
    parser.add_argument("--json-extractor", default="Both")
    parser.add_argument("--verbosity", default="0")
    for name in ("--stop-after-read", "--stop-after-prepare", "--skip-sanity-check", "--verbose"):
        parser.add_argument(name, action="store_true")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"Unknown option {unknown[0]}")
    return options


def train(arguments: Sequence[str]) -> int:
    """Run `pio train`: check the arguments, and become spark-submit."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options, spark = parse_train(arguments[:end]), list(arguments[end + 1 :])
    options.variant = options.variant.absolute()
    if not options.variant.is_file():
        return fail("Engine$", f"{options.variant} does not exist. Aborting.")
    if spark_version() is None:
        return no_spark("Runner$")
    if ("--deploy-mode", "cluster") in pairwise(spark):
        return fail("Runner$", "Using cluster deploy mode with Spark standalone cluster is not supported. Aborting.")
    try:
        factory = json.loads(options.variant.read_text(encoding="utf-8"))["engineFactory"]
    except (ValueError, LookupError, TypeError):
        return fail("Console$", f"Unable to read engine factory class name from {options.variant}. Aborting.")
    os.environ.setdefault("PIO_FS_BASEDIR", f"{os.environ['HOME']}/.pio_store")
    command = submission(options, spark, factory=factory)
    say("Runner$", f"Submission command: {' '.join(command)}")
    return become(command)


def become(command: list[str]) -> NoReturn:
    """Replace this process by another program."""
    os.execv(command[0], command)  # noqa: S606 - no shell is needed


def submission(options: argparse.Namespace, spark: Sequence[str], *, factory: str) -> list[str]:
    """Return the spark-submit command, with every PIO_ variable, passwords included, as PredictionIO does."""
    jars = find_jars(Path.cwd())
    # PredictionIO identifies an engine by its factory and the path of its directory.
    version = hashlib.sha1(os.path.realpath(Path.cwd()).encode(), usedforsecurity=False).hexdigest()
    flags = [f"--{name.replace('_', '-')}" for name, value in vars(options).items() if value is True]
    assembly = program.find_assembly(Path(os.environ["PIO_HOME"]))
    submit = [
        f"{os.environ['SPARK_HOME']}/bin/spark-submit",
        *spark,
        *(["--jars", ",".join(f"file:{jar}" for jar in jars)] if jars else []),
        f"{os.environ['PIO_HOME']}/lib/train.py",
    ]
    return [
        *(program.submission(assembly, spark, jars, os.environ) if assembly is not None else submit),
        *("--engine-id", factory, "--engine-version", version, "--engine-variant", f"file:{options.variant}"),
        *(["--batch", options.batch] if options.batch else []),
        *flags,
        *("--json-extractor", options.json_extractor, "--verbosity", options.verbosity),
        *("--env", ",".join(f"{key}={value}" for key, value in os.environ.items() if key.startswith("PIO_"))),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    command, *rest = arguments or ["help"]
    if command == "status":
        return status()
    if command == "train":
        return train(rest)
    if command == "build":
        return build()
    assembly = program.find_assembly(Path(os.environ["PIO_HOME"]))
    if command in ("app", "import") and assembly is not None:
        return become(program.console_command(assembly, arguments, os.environ))
    if command == "version":
        print(f"{VERSION}\n({STAND_IN})")
        return 0
    if command in ("help", "--help"):
        print(_HELP, end="")
        return 0
    sys.stderr.write(f"Error: Unknown command {command}\nTry `pio help` for more information.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
