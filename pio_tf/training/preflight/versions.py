"""``java`` and ``spark-version``: what runs PredictionIO, against what PredictionIO was made for."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pio_tf.config.components import COMPATIBILITY, JAVA
from pio_tf.errors import RemoteError
from pio_tf.remote.paths import shell_path
from pio_tf.training.preflight.model import Finding, failed, ok, together, warning

if TYPE_CHECKING:
    from pio_tf.training.preflight.model import Preflight


_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')
_SPARK_VERSION = re.compile(r"Spark ((\d+)\.(\d+)\S*)")


async def check_java(preflight: Preflight) -> Finding:
    """Which Java a login shell has, and Spark's own where spark-env.sh names another."""
    facts = await preflight.driver_facts()
    spark = _SPARK_VERSION.match(facts.spark_release)
    spark_major = int(spark[2]) if spark else 0
    found = [_about_java(preflight, *facts.java, of="a login shell", spark_major=spark_major)]
    if facts.spark_java is not None:
        found.append(_about_java(preflight, *facts.spark_java, of="spark-env.sh", spark_major=spark_major))
    return together(found)


async def check_spark_version(preflight: Preflight) -> Finding:
    """Which Spark the driver has, and whether the master has the same."""
    facts, config = await preflight.driver_facts(), preflight.config
    submit = f"{config.spark.home}/bin/spark-submit"
    if facts.spark_submit != "executable":
        return failed(
            f"the driver has no Spark: {submit} is {_not_executable(facts.spark_submit)}",
            "set spark.home to where Spark is on the driver, or install it there; on a new driver, its first boot "
            "does: journalctl -u pio-tf-bootstrap",
        )
    version = _SPARK_VERSION.match(facts.spark_release)
    if not version:
        return warning(
            f"the driver's Spark does not say which version it is ({config.spark.home}/RELEASE)",
            f"PredictionIO {config.pio.version} needs {_range(config.pio.version)}: look yourself with "
            "spark-submit --version",
        )
    first, last = COMPATIBILITY[config.pio.version].spark
    at = (int(version[2]), int(version[3]))
    driver = (
        ok(f"Spark {version[1]}")
        if first <= at <= last
        else warning(
            f"Spark {version[1]}, and PredictionIO {config.pio.version} was made for {_range(config.pio.version)}",
            "set spark.version to one of those and install it on the machines, unless you have built PredictionIO for "
            "this one",
        )
    )
    return together([driver, *await _about_master(preflight, version[1], at)])


async def _about_master(preflight: Preflight, version: str, at: tuple[int, int]) -> list[Finding]:
    """Nothing where the master has the driver's version, or cannot be asked: ``spark`` tells whether it answers."""
    name = preflight.outputs.master.name
    release = shell_path(f"{preflight.config.spark.home}/RELEASE")
    try:
        asked = preflight.remote.run(name, f"head -n 1 {release}")
        done = await asyncio.wait_for(asked, timeout=preflight.limits.answer)
    except (RemoteError, asyncio.TimeoutError):
        return []
    master = _SPARK_VERSION.match(done.stdout)
    if not master or master[1] == version:
        return []
    next_step = "install the same Spark on driver, master and workers"
    detail = f"the driver has Spark {version}, the master {master[1]}"
    if (int(master[2]), int(master[3])) != at:
        return [failed(f"{detail}: their messages do not fit together (InvalidClassException)", next_step)]
    return [warning(detail, next_step)]


def _about_java(preflight: Preflight, path: str, says: str, *, of: str, spark_major: int) -> Finding:
    pio = preflight.config.pio.version
    if not path:
        return failed(
            f"no Java: neither JAVA_HOME nor PATH of {of} names one",
            "on the driver: sudo apt-get install openjdk-8-jre-headless, or set JAVA_HOME in ~/.profile",
        )
    version = _JAVA_VERSION.search(says)
    if not version:
        return failed(f"{path} does not run: {says.strip()[:200] or 'it says nothing'}", f"try it: {path} -version")
    major = int(version[1])
    if major == JAVA:
        return ok(f"Java {major} ({path})")
    detail = f"Java {major} ({path}), and PredictionIO {pio} was made for {JAVA}"
    next_step = f"install Java {JAVA} on the driver (openjdk-8-jre-headless) and let JAVA_HOME of {of} name it"
    if major < JAVA:
        return failed(f"{detail}: it is compiled for {JAVA}, and an older Java cannot load it", next_step)
    if spark_major == 2:
        return failed(f"{detail}: Spark 2 runs on Java 8 only; newer ones are from Spark 3 on", next_step)
    return warning(detail, next_step)


def _range(pio: str) -> str:
    return COMPATIBILITY[pio].lines("spark")


def _not_executable(kind: str) -> str:
    return "missing" if kind == "missing" else "not executable"
