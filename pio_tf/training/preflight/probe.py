"""The small questions to the driver, asked with one SSH command: directories, disks, versions.

One bash program answers them all, because each command of its own would cost a round trip and a login shell.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pio_tf.config.components import find_block
from pio_tf.config.storage import HdfsBlock, JdbcSource, LocalfsSource
from pio_tf.errors import RemoteError
from pio_tf.remote.bash import in_bash, shell_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.remote.commands import CompletedCommand

_MARK = "pio-tf-says"
_FUNCTIONS = r"""
say() { local IFS=$'\t'; printf '%s\t%s\n' pio-tf-says "$*"; }
kind() { if [ -d "$2" ]; then say "$1" directory; elif [ -x "$2" ]; then say "$1" executable
  elif [ -e "$2" ]; then say "$1" file; else say "$1" missing; fi; }
newest() { local name=$1; shift
  say "$name" "$(find -L "$@" -printf '%T@\t%p\n' 2>/dev/null | sort -n | tail -n 1)"; }
jars=(-type f -iname '*.jar' ! -iname '*-sources.jar' ! -iname '*-javadoc.jar')
java_of() { local java=${2:+$2/bin/java}
  java=$(command -v "${java:-java}") || { say "$1" '' ''; return; }
  say "$1" "$java" "$(timeout --foreground -k 1 10 "$java" -version 2>&1 | head -c 1000 | tr '\n\t' '  ')"; }
room() { local at=$1
  until [ -e "$at" ] || [ "$at" = / ]; do at=$(dirname -- "$at"); done
  say room "$1" $(timeout --foreground -k 1 5 df -k --output=avail,iavail,itotal,target -- "$at" | tail -n 1); }
"""
_QUESTIONS = r"""
java_of java "$JAVA_HOME" &
kind engine "$engine"
kind variant "$variant"
[ -f "$variant" ] && say text "$(head -c 4194304 -- "$variant" | base64 -w 0)"
newest target "$engine"/target/scala-* "${jars[@]}"
newest lib "$engine/lib" "${jars[@]}"
newest source "$engine/src" "$engine/build.sbt" -type f
kind pio "$pio"
kind submit "$spark/bin/spark-submit"
say release "$(head -n 1 "$spark/RELEASE" 2>/dev/null | tr '\t' ' ')"
kind hdfs "$hadoop/bin/hdfs"
# Spark reads this file before it starts a JVM of its own.
{ IFS= read -r spark_java; IFS= read -r scratch; } < <(
  export SPARK_HOME=$spark
  [ -f "$spark/conf/spark-env.sh" ] && . "$spark/conf/spark-env.sh" >/dev/null 2>&1
  printf '%s\n' "$JAVA_HOME" "$SPARK_LOCAL_DIRS")
[ "${spark_java:-$JAVA_HOME}" = "$JAVA_HOME" ] || java_of spark_java "$spark_java" &
IFS=, read -r -a scratch <<<"${scratch:-$local_dirs}"
for directory in / "$engine" "$runs" "$basedir" "${scratch[@]}"; do room "$directory"; done
[ -z "$events" ] || kind events "$events"
"""
_END = "wait\nsay end\n"
_JAR = "jar "
_VARIANT_OPTIONS = ("-v", "--variant", "--engine-variant")


@dataclass(frozen=True)
class File:
    """A file on the driver and when it was last written, in seconds since 1970."""

    path: str
    written: float


@dataclass(frozen=True)
class Room:
    """What is free for a directory. Where it does not exist yet, for the directory it would be made in."""

    directory: str
    mount: str
    free_mib: int
    free_inodes: int | None
    """None for a file system that makes them as it needs them."""


@dataclass(frozen=True)
class DriverFacts:
    """The driver's answers. A *kind* is ``directory``, ``executable``, ``file`` or ``missing``."""

    engine: str
    """Kind of ``pio.engine_dir``."""
    variant: str
    """Kind of engine.json, or of the variant that `pio train` is told to use."""
    variant_text: str
    target_jar: File | None
    """The newest jar that `pio build` has left."""
    lib_jar: File | None
    """The newest jar in the engine's lib directory, which PredictionIO takes where there is no other."""
    source: File | None
    """The newest of the engine's own sources."""
    pio: str
    """Kind of PIO_HOME/bin/pio."""
    spark_submit: str
    """Kind of SPARK_HOME/bin/spark-submit."""
    spark_release: str
    """First line of SPARK_HOME/RELEASE: ``Spark 2.4.8 (git revision …) built for Hadoop 2.7.3``."""
    hdfs: str
    """Kind of the `hdfs` client."""
    jdbc_drivers: Mapping[str, str]
    """Kind of each JDBC driver, by its path in pio-tf.hcl."""
    java: tuple[str, str]
    """Path of a login shell's `java`, which PredictionIO starts, and what its -version says. Empty where none is."""
    spark_java: tuple[str, str] | None
    """The same for Spark, where spark-env.sh names another JAVA_HOME."""
    rooms: tuple[Room, ...]
    events: str
    """Kind of the local directory of spark.eventLog.dir; empty where there is none to look at."""


def probe_command(config: Config, settings: Mapping[str, str]) -> str:
    """The command for the driver, in a login shell as `pio train` has it.

    Args:
        settings: Spark's settings that will hold.
    """
    program = _FUNCTIONS + _variables(config, settings) + _QUESTIONS + _about_sources(config) + _END
    return in_bash(program, login=True)


def read_answers(done: CompletedCommand) -> DriverFacts:
    """The facts, out of what the command has written.

    Raises:
        RemoteError: it did not come to its end.
    """
    answers: defaultdict[str, list[list[str]]] = defaultdict(list)
    for line in done.stdout.splitlines():
        mark, _, answer = line.partition("\t")
        if mark == _MARK:  # a login shell's profile may write lines of its own
            name, *values = answer.split("\t")
            answers[name].append(values)
    if "end" not in answers:
        said = done.stderr.strip().splitlines()
        raise _unanswered(said[-1] if said else f"exit status {done.exit_status}")
    try:
        return _facts(answers)
    except (ValueError, LookupError) as error:
        raise _unanswered(f"an answer is not as it should be: {error!r}") from error


def _unanswered(cause: str) -> RemoteError:
    return RemoteError(
        "the driver did not answer all questions",
        cause=cause,
        next_step="log in and look at the profile of its user (~/.profile, ~/.bash_profile): it must not end the "
        "shell, and print no lines that begin as ours",
        details={"kind": "command"},
    )


def variant_path(config: Config) -> str:
    """Path on the driver of the engine.json, or of the variant that ``train.pio_arguments`` name."""
    words = [part for word in config.train.pio_arguments for part in word.split("=", 1)]
    named = [value for option, value in pairwise(words) if option in _VARIANT_OPTIONS]
    path = named[-1] if named else "engine.json"
    return path if path.startswith("/") else f"{config.pio.engine_dir}/{path}"


def hadoop_home(config: Config) -> str:
    """HADOOP_HOME on the driver. Without HDFS, where the guide has it."""
    block = find_block(config, HdfsBlock)
    return block.hadoop_home if block else "/usr/local/hadoop"


def event_log_url(settings: Mapping[str, str]) -> str:
    """Where Spark writes its event log; "" where it writes none. Spark's own default is a local directory."""
    if settings.get("spark.eventLog.enabled", "false").lower() != "true":
        return ""
    return settings.get("spark.eventLog.dir", "file:///tmp/spark-events")


def _variables(config: Config, settings: Mapping[str, str]) -> str:
    event_log = urlsplit(event_log_url(settings))
    local = event_log.scheme in ("", "file")  # Spark takes a path without a scheme for a local one
    paths = {
        "engine": shell_path(config.pio.engine_dir),
        "variant": shell_path(variant_path(config)),
        "pio": shell_path(f"{config.pio.home}/bin/pio"),
        "spark": shell_path(config.spark.home),
        "hadoop": shell_path(hadoop_home(config)),
        "runs": shell_path("~/.pio-tf"),
        "basedir": shell_path(config.pio.fs_basedir),
        "local_dirs": shlex.quote(settings.get("spark.local.dir", "/tmp")),  # noqa: S108 - Spark's default
        "events": shlex.quote(event_log.path if local else ""),
    }
    return "".join(f"{name}={value}\n" for name, value in paths.items())


def _about_sources(config: Config) -> str:
    """Questions for the sources that need something on the driver itself."""
    lines = []
    for block in (source.block for source in config.sources):
        if isinstance(block, JdbcSource):
            lines.append(f"kind {shlex.quote(_JAR + block.driver_jar)} {shell_path(block.driver_jar)}\n")
        if isinstance(block, LocalfsSource):
            lines.append(f"room {shell_path(block.path)}\n")
    return "".join(lines)


def _facts(answers: Mapping[str, list[list[str]]]) -> DriverFacts:
    def one(name: str) -> str:
        return answers[name][0][0] if name in answers else ""

    def java(name: str) -> tuple[str, str]:
        path, says = answers[name][0]
        return path, says

    try:
        text = base64.b64decode(one("text")).decode(errors="replace")
    except binascii.Error:
        text = ""
    return DriverFacts(
        engine=one("engine"),
        variant=one("variant"),
        variant_text=text,
        target_jar=_file(answers["target"]),
        lib_jar=_file(answers["lib"]),
        source=_file(answers["source"]),
        pio=one("pio"),
        spark_submit=one("submit"),
        spark_release=one("release"),
        hdfs=one("hdfs"),
        jdbc_drivers={name.removeprefix(_JAR): one(name) for name in answers if name.startswith(_JAR)},
        java=java("java"),
        spark_java=java("spark_java") if "spark_java" in answers else None,
        rooms=tuple(room for values in answers.get("room", []) if (room := _room(values))),
        events=one("events"),
    )


def _file(answers: list[list[str]]) -> File | None:
    written, *path = answers[0]
    return File("\t".join(path), float(written)) if path else None


def _room(values: list[str]) -> Room | None:
    """None where `df` had no answer for the directory."""
    directory, *numbers = values
    if len(numbers) < 4:
        return None
    free_kib, free_inodes, inodes, *mount = numbers
    if not free_kib.isdigit():
        return None
    has_inodes = inodes.isdigit() and int(inodes) > 0
    return Room(directory, " ".join(mount), int(free_kib) // 1024, int(free_inodes) if has_inodes else None)
