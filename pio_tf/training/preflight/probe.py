"""The driver's facts, from one SSH command: directories, disks, versions.

One bash program (``probe.sh``) collects them all: each command of its own would cost a round trip and a login shell.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections import defaultdict
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from pio_tf.config.components import find_block
from pio_tf.config.storage import HdfsBlock, JdbcSource, LocalfsSource
from pio_tf.engine import driver_engine
from pio_tf.errors import RemoteError
from pio_tf.pio.build_info import BUILD_INFO, spark_of_build
from pio_tf.remote.bash import in_bash, shell_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.remote.commands import CompletedCommand

_MARK = "pio-tf-says"
_JAR = "jar "
_VARIANT_OPTIONS = ("-v", "--variant", "--engine-variant")


class File(Struct, frozen=True):
    """A file on the driver, with the time of its last change in seconds since 1970."""

    path: str
    written: float


class Room(Struct, frozen=True):
    """Free space for a directory, or for its parent if it does not exist yet."""

    directory: str
    mount: str
    free_mib: int
    free_inodes: int | None
    """None for a file system without a fixed number of inodes."""


class DriverFacts(Struct, frozen=True):
    """The driver's answers. A *kind* is ``directory``, ``executable``, ``file`` or ``missing``."""

    engine: str
    """Kind of ``pio.engine_dir``."""
    variant: str
    """Kind of engine.json, or of the variant that `pio train` uses."""
    variant_text: str
    target_jar: File | None
    """The newest jar of `pio build`."""
    half_pushed: bool
    """Whether a push or a restore of the engine was interrupted while it put files into place."""
    stale_build: bool
    """Whether sources were pushed after the last build."""
    lib_jar: File | None
    """The newest jar in the engine's lib directory, which PredictionIO takes if there is no other."""
    source: File | None
    """The newest source of the engine."""
    pio: str
    """Kind of PIO_HOME/bin/pio."""
    spark_submit: str
    """Kind of SPARK_HOME/bin/spark-submit."""
    spark_release: str
    """First line of SPARK_HOME/RELEASE: ``Spark 2.4.8 (git revision …) built for Hadoop 2.7.3``."""
    class_reader: str
    """The jar with which Spark reads classes: ``xbean-asm6-shaded-4.8.jar``. Empty: unknown."""
    built_for: str | None
    """The version of Spark that PIO_HOME/lib/pio-assembly-*.jar was built for; None if it does not say so."""
    hdfs: str
    """Kind of the `hdfs` client."""
    jdbc_drivers: Mapping[str, str]
    """Kind of each JDBC driver, by its path in pio-tf.hcl."""
    java: tuple[str, str]
    """Path of a login shell's `java`, which PredictionIO starts, and its -version output. Empty if there is none."""
    spark_java: tuple[str, str] | None
    """The same for Spark, if spark-env.sh sets another JAVA_HOME."""
    rooms: tuple[Room, ...]
    events: str
    """Kind of the local directory of spark.eventLog.dir; empty if it has none."""


def probe_command(config: Config, settings: Mapping[str, str]) -> str:
    """Return the command for the driver, in a login shell like that of `pio train`.

    Args:
        settings: Spark's settings in force.
    """
    text = resources.files(__package__).joinpath("probe.sh").read_text(encoding="utf-8")
    return in_bash(_variables(config, settings) + _about_sources(config) + driver_engine.text() + text, login=True)


def read_answers(done: CompletedCommand) -> DriverFacts:
    """Read the facts from the command's output.

    Raises:
        RemoteError: the command did not complete, or its output is invalid.
    """
    answers: defaultdict[str, list[list[str]]] = defaultdict(list)
    for line in done.stdout.splitlines():
        mark, _, answer = line.partition("\t")
        if mark == _MARK:  # a login shell's profile may print lines of its own
            name, *values = answer.split("\t")
            answers[name].append(values)
    cause = (done.stderr.strip().splitlines() or [f"exit status {done.exit_status}"])[-1]
    if "end" in answers:
        try:
            return _facts(answers)
        except (ValueError, LookupError) as error:
            cause = f"invalid answer: {error!r}"
    raise RemoteError(
        "the driver did not answer all questions",
        cause=cause,
        next_step="log in and look at its user's profile (~/.profile, ~/.bash_profile): it must neither end the shell "
        f"nor print lines that begin with {_MARK}",
        details={"kind": "command"},
    )


def variant_path(config: Config) -> str:
    """Return the path on the driver of engine.json, or of the variant in ``train.pio_arguments``."""
    words = [part for word in config.train.pio_arguments for part in word.split("=", 1)]
    named = [value for option, value in pairwise(words) if option in _VARIANT_OPTIONS]
    path = named[-1] if named else "engine.json"
    return path if path.startswith("/") else f"{config.pio.engine_dir}/{path}"


def hadoop_home(config: Config) -> str:
    """Return HADOOP_HOME on the driver; without HDFS, the guide's."""
    block = find_block(config, HdfsBlock)
    return block.hadoop_home if block else "/usr/local/hadoop"


def event_log_url(settings: Mapping[str, str]) -> str:
    """Return the address of Spark's event log; "" if it writes none. Spark's default is a local directory."""
    if settings.get("spark.eventLog.enabled", "false").lower() != "true":
        return ""
    return settings.get("spark.eventLog.dir", "file:///tmp/spark-events")


def _variables(config: Config, settings: Mapping[str, str]) -> str:
    event_log = urlsplit(event_log_url(settings))
    local = event_log.scheme in ("", "file")  # for Spark, a path without a scheme is local
    paths = {
        "engine": shell_path(config.pio.engine_dir),
        "variant": shell_path(variant_path(config)),
        "pio": shell_path(f"{config.pio.home}/bin/pio"),
        "build_info": shlex.quote(BUILD_INFO),
        "spark": shell_path(config.spark.home),
        "hadoop": shell_path(hadoop_home(config)),
        "runs": shell_path("~/.pio-tf"),
        "basedir": shell_path(config.pio.fs_basedir),
        "local_dirs": shlex.quote(settings.get("spark.local.dir", "/tmp")),  # noqa: S108 - Spark's default
        "events": shlex.quote(event_log.path if local else ""),
    }
    return "".join(f"{name}={value}\n" for name, value in paths.items())


def _about_sources(config: Config) -> str:
    """Return the function with the questions for sources that need a file or a directory on the driver."""
    lines = [":"]
    for block in (source.block for source in config.sources):
        if isinstance(block, JdbcSource):
            lines.append(f"kind {shlex.quote(_JAR + block.driver_jar)} {shell_path(block.driver_jar)}")
        if isinstance(block, LocalfsSource):
            lines.append(f"room {shell_path(block.path)}")
    return "\n".join(["about_sources() {", *lines, "}\n"])


def _facts(answers: Mapping[str, list[list[str]]]) -> DriverFacts:
    def one(name: str) -> str:
        return answers[name][0][0] if name in answers else ""

    def java(name: str) -> tuple[str, str]:
        path, says = answers[name][0]
        return path, says

    def decoded(name: str) -> bytes:
        try:
            return base64.b64decode(one(name))
        except binascii.Error:
            return b""

    return DriverFacts(
        engine=one("engine"),
        variant=one("variant"),
        variant_text=decoded("text").decode(errors="replace"),
        target_jar=_file(answers["target"]),
        half_pushed=one("half") == "yes",
        stale_build=one("stale") == "yes",
        lib_jar=_file(answers["lib"]),
        source=_file(answers["source"]),
        pio=one("pio"),
        spark_submit=one("submit"),
        spark_release=one("release"),
        class_reader=one("class_reader"),
        built_for=spark_of_build(decoded("build_info")),
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
    """Return None if `df` has no answer for the directory."""
    directory, *numbers = values
    if len(numbers) < 4:
        return None
    free_kib, free_inodes, inodes, *mount = numbers
    if not free_kib.isdigit():
        return None
    has_inodes = inodes.isdigit() and int(inodes) > 0
    return Room(directory, " ".join(mount), int(free_kib) // 1024, int(free_inodes) if has_inodes else None)
