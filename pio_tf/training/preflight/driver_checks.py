"""``clock``, ``disk``, ``java``, ``pio`` and ``pio-status``: the driver itself."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pio_tf.config.software import JAVA
from pio_tf.remote.bash import in_bash, shell_path
from pio_tf.training.preflight.context import combine, failed, ok, warning
from pio_tf.training.preflight.probe import event_log_url
from pio_tf.training.preflight.spark_checks import SPARK_VERSION
from pio_tf.training.redact import Redactor

if TYPE_CHECKING:
    from pio_tf.training.preflight.context import CheckContext, CheckResult
    from pio_tf.training.preflight.probe import Room

READY = "Your system is all ready to go."
_FIX_CLOCK = (
    "find out which clock is wrong, this computer's or the driver's (timedatectl); chrony corrects the driver's from "
    "EC2's time service, 169.254.169.123"
)
_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')
_JAVA_8_UPDATE = re.compile(r'version "1\.8\.0_(\d+)')
FIRST_SUPPORTED_UPDATE = 362
"""Of January 2023. Spark's documentation deprecates older ones (SPARK-40303), which lack all security fixes since."""
_CLASS_READER = re.compile(r"xbean-asm\d+-shaded-(\d+)\.(\d+)")
_JAVA_11 = 11
_FIRST_FOR_JAVA_11 = (4, 10)
"""The version of xbean-asm-shaded that reads classes of Java 11. Spark 2.4 comes with 4.8."""
_ERROR = re.compile(r"\[ERROR\]\s*(?:\[[^\]]*\]\s*)?(.+)")
_STORAGE = ("error message from the storage backend.", "Dumping configuration")
"""The storage's error is between these two lines; its configuration with passwords follows the second one."""
_QUOTED = 3
"""Lines: the first errors name the cause, the others follow from them."""


async def check_clock(context: CheckContext) -> CheckResult:
    """Compare the driver's time with this computer's, halfway between question and answer."""
    remote, limits = context.remote, context.limits
    await remote.connection(remote.driver.name)  # so that only the question takes time
    asked = context.now()
    done = await context.ask("date +%s.%N", timeout=limits.driver)
    answered = context.now()
    try:
        driver = float(done.stdout)
    except ValueError:
        return warning(f"could not read the driver's clock: {done.stderr.strip()[:200]}", _FIX_CLOCK)
    ahead = driver - (asked + answered) / 2
    # The driver may have answered at any moment between question and answer.
    off = max(0.0, abs(ahead) - (answered - asked) / 2)
    detail = f"the driver is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this computer"
    if off > limits.clock_failed:
        return failed(f"{detail}: AWS refuses requests that are more than 5 minutes off", _FIX_CLOCK)
    if off > limits.clock_warning:
        return warning(detail, _FIX_CLOCK)
    return ok(f"{abs(ahead):.1f} s off")


async def check_disk(context: CheckContext) -> CheckResult:
    """Check space and inodes of each file system that the run's log, the engine, PredictionIO or Spark writes to."""
    facts = await context.driver_facts()
    if not facts.rooms:
        return warning("df failed on the driver", "log in and try it: df -h")
    by_mount: dict[str, list[Room]] = {}
    for room in facts.rooms:
        by_mount.setdefault(room.mount, []).append(room)
    results = [_judge_room(context, rooms) for rooms in by_mount.values()]
    if facts.events not in ("", "directory"):
        url = event_log_url(context.settings)
        results.append(
            failed(
                f"the directory of Spark's event log is missing on the driver: {url}",
                f"create it (mkdir -p) or set another in spark.eventLog.dir: Spark does not start without {url}",
            )
        )
    return combine(results)


def _judge_room(context: CheckContext, rooms: list[Room]) -> CheckResult:
    """Judge one file system by the directories on it."""
    room, where, limits = rooms[0], rooms[0].mount, context.limits
    size = (
        "driver.scratch_volume.gib"
        if context.config.driver.scratch_volume and where != "/"
        else "driver.root_volume_gib"
    )
    next_step = (
        "make room: old logs in ~/.pio-tf, the spark-* and blockmgr-* directories of killed trainings; or set a larger "
        f"{size} and run `pio-tf apply`"
    )
    others = [one.directory for one in rooms if one.directory != where]
    named = f"{where} ({', '.join(dict.fromkeys(others))})" if others else where
    free = f"{room.free_mib / 1024:.1f} GiB free on {where}"
    inodes = room.free_inodes
    for judge, least_mib, least_inodes in (
        (failed, limits.disk_failed_mib, limits.inodes_failed),
        (warning, limits.disk_warning_mib, limits.inodes_warning),
    ):
        if room.free_mib < least_mib:
            return judge(f"{free}, less than {least_mib / 1024:g} GiB: {named}", next_step)
        if inodes is not None and inodes < least_inodes:
            return judge(f"{inodes} inodes free, less than {least_inodes}: {named}", next_step)
    return ok(free)


async def check_java(context: CheckContext) -> CheckResult:
    """Check the Java of a login shell, and Spark's own if spark-env.sh names another."""
    facts = await context.driver_facts()
    spark = SPARK_VERSION.match(facts.spark_release)
    spark_major = int(spark[2]) if spark else 0
    reader = _CLASS_READER.match(facts.class_reader)
    reads_java_11 = reader is not None and (int(reader[1]), int(reader[2])) >= _FIRST_FOR_JAVA_11
    judge = partial(_judge_java, context, spark_major=spark_major, reads_java_11=reads_java_11)
    results = [judge(*facts.java, of="a login shell")]
    if facts.spark_java is not None:
        results.append(judge(*facts.spark_java, of="spark-env.sh"))
    return combine(results)


def _judge_java(
    context: CheckContext, path: str, output: str, *, of: str, spark_major: int, reads_java_11: bool
) -> CheckResult:
    """Judge a Java by the ``output`` of `java -version`. A Spark 2 with another class reader also runs on Java 11."""
    adopted = context.config.adopted
    if not path:
        return failed(
            f"no Java: neither JAVA_HOME nor PATH of {of} names one",
            "on the driver: sudo apt-get install openjdk-8-jre-headless, or set JAVA_HOME in ~/.profile"
            + ("" if adopted else "; or add `java {}` to the software block and run `pio-tf provision`"),
        )
    version = _JAVA_VERSION.search(output)
    if not version:
        return failed(f"{path} does not run: {output.strip()[:200] or 'no output'}", f"try it: {path} -version")
    major = int(version[1])
    update = _JAVA_8_UPDATE.search(output)
    if update and int(update[1]) < FIRST_SUPPORTED_UPDATE:
        return warning(
            f"Java 8u{update[1]} ({path}) is older than 8u{FIRST_SUPPORTED_UPDATE}: it lacks the security fixes since "
            "January 2023, and Spark deprecates it",
            "update the driver's Java"
            + (
                ""
                if adopted
                else "; or add `java {}` to the software block, for Eclipse Temurin's, and run `pio-tf provision`"
            ),
        )
    if major == JAVA:
        return ok(f"Java {major} ({path})")
    detail = f"Java {major} ({path}), but PredictionIO {context.config.pio.version} was made for {JAVA}"
    next_step = f"install Java {JAVA} on the driver (openjdk-8-jre-headless) and set JAVA_HOME of {of} to it"
    if major < JAVA:
        return failed(f"{detail}: an older Java cannot load classes compiled for {JAVA}", next_step)
    if spark_major == 2 and not (major == _JAVA_11 and reads_java_11):
        return failed(f"{detail}: Spark 2 runs on Java 8 only; Spark 3 also on newer ones", next_step)
    return warning(detail, next_step)


async def check_pio(context: CheckContext) -> CheckResult:
    """Check that PIO_HOME/bin/pio is executable."""
    path = f"{context.config.pio.home}/bin/pio"
    kind = (await context.driver_facts()).pio
    if kind == "executable":
        return ok(path)
    if kind == "missing":
        return failed(
            f"{path} does not exist",
            f"install PredictionIO {context.config.pio.version} on the driver (its disk stays), or correct pio.home in "
            f"{context.config.where('pio.home')}",
        )
    return failed(f"{path} is not executable", f"on the driver: chmod +x {path}")


async def check_pio_status(context: CheckContext) -> CheckResult:
    """Run `pio status`, which opens every storage. It asks neither Spark's master nor its workers."""
    pio = f"{context.config.pio.home}/bin/pio"
    command = in_bash(f"{shell_path(pio)} status 2>&1", login=True)
    done = await context.ask(command, timeout=context.limits.pio_status)
    if done.exit_status == 0 and READY in done.stdout:
        return ok(READY)
    redactor = Redactor(context.secrets.values)
    lines = [redactor.redact(line.strip()) for line in done.stdout.splitlines() if line.strip()]
    return failed(
        f"pio status ended with {done.exit_status}: {'; '.join(_errors(lines) or lines[-1:]) or 'no output'}",
        f"run it on the driver: {pio} status; `pio-tf config push` writes its pio-env.sh",
    )


def _errors(lines: list[str]) -> list[str]:
    """Return the first errors, each with the storage's message."""
    quoted: list[str] = []
    storage = False
    for line in lines:
        if match := _ERROR.match(line):
            quoted.append(match[1])
        if _STORAGE[1] in line:
            storage = False
        elif storage:
            quoted.append(line)
        if _STORAGE[0] in line:
            storage = True
    return quoted[:_QUOTED]
