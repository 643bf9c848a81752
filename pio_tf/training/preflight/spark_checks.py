"""``spark`` and ``spark-version``: the workers have room for the executors, and every machine has the right Spark."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pio_tf.config.components import spark_pair, spark_version
from pio_tf.config.software import COMPATIBILITY, fits_build, line_of
from pio_tf.errors import ConfigError, RemoteError
from pio_tf.pio.command import spark_mib
from pio_tf.pio.engine import read_engine, with_engine
from pio_tf.remote.bash import shell_path
from pio_tf.training.preflight.context import NoAnswer, combine, failed, ok, warning
from pio_tf.training.preflight.service_checks import http_refusal
from pio_tf.training.spark_pages import NotSparkMaster, spark_status
from pio_tf.training.spark_secret import asks_for_secret
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.training.preflight.context import CheckContext, CheckResult
    from pio_tf.training.spark_pages import SparkStatus

SPARK_VERSION = re.compile(r"Spark ((\d+)\.(\d+)\S*)")
"""In the first line of SPARK_HOME/RELEASE: version, major, minor."""


def _without_secret(config: Config) -> CheckResult:
    if config.adopted:
        step = "set spark.authenticate and spark.authenticate.secret in spark-defaults.conf of all machines"
    else:
        step = (
            "run `pio-tf provision`, which gives Spark a secret, and keep spark.authenticate in spark.conf from being "
            "false"
        )
    return warning(
        "Spark runs without authentication: every program that reaches the master runs code on the workers", step
    )


async def check_spark(context: CheckContext) -> CheckResult:
    """Check that every worker is ALIVE and has room for an executor.

    A standalone master gives a worker's memory to executors by their heap alone: it does not count what the JVM needs
    beside it.
    """
    config, master, timeout = context.config, context.outputs.master, context.limits.answer
    at = f"{master.private_ip}:{config.spark.master_ui_port}"
    try:
        status = await spark_status(
            context.remote, master=master.private_ip, port=config.spark.master_ui_port, timeout=timeout
        )
    except NotSparkMaster as error:
        return failed(error.what, error.next_step)
    except RemoteError as error:
        if error.details.get("kind") != "http":
            raise
        return failed(
            f"the master does not answer at {at}: {http_refusal(error, timeout=timeout)}",
            f"look at its log: `journalctl -u pio-tf-spark` on {master.name}",
        )
    missing = {one.private_ip: one.name for one in context.outputs.workers if one.private_ip not in status.alive}
    if missing:
        return failed(
            f"the master lacks {len(missing)} of its workers: {status.states(missing)}",
            f"look at the worker's log: `journalctl -u pio-tf-spark` on {next(iter(missing.values()))}; or restart all "
            "machines: pio-tf down, pio-tf up",
        )
    port = config.spark.master_port
    asks = await asks_for_secret(context.remote, master=master.private_ip, port=port, timeout=timeout)
    workers = _judge_workers(context, await _settings(context), status)
    return combine([workers, _without_secret(config)]) if asks is False else workers


async def _settings(context: CheckContext) -> Mapping[str, str]:
    """Return the settings with engine.json's changes, if it is readable: ``engine`` reports it if not."""
    try:
        return with_engine(context.settings, read_engine((await context.driver_facts()).variant_text))
    except (ConfigError, NoAnswer, RemoteError):
        return context.settings


def _judge_workers(context: CheckContext, settings: Mapping[str, str], status: SparkStatus) -> CheckResult:
    memory = spark_mib(settings.get("spark.executor.memory", context.sizing.executor_memory))
    asked = settings.get("spark.executor.cores", str(context.sizing.executor_cores))
    cores = int(asked) if asked.isdigit() else 1
    workers = {machine.name: status.alive[machine.private_ip] for machine in context.outputs.workers}
    small = [
        f"{name} has {worker.free_mib} of {worker.memory_mib} MiB and {worker.free_cores} of {worker.cores} cores free"
        for name, worker in workers.items()
        if worker.free_mib < memory or worker.free_cores < cores
    ]
    executor = f"{memory:g} MiB and {cores} core{'' if cores == 1 else 's'}"
    if not small:
        many = f"{len(workers)} workers ALIVE, each" if len(workers) != 1 else "1 worker ALIVE,"
        return ok(f"{many} with room for an executor of {executor}")
    detail = f"no room for an executor of {executor}: {', '.join(small)}"
    if status.applications:
        return failed(
            f"{detail}; held by {', '.join(application.name for application in status.applications)}",
            "wait until it ends, or end it: the master's page lists it, with a link to kill it",
        )
    return failed(
        detail,
        "lower spark.executor_memory or spark.executor_cores, or take a larger spark.instance_type: a worker offers "
        "its machine's memory less 1 GiB",
    )


async def check_spark_version(context: CheckContext) -> CheckResult:
    """Check the driver's Spark against its PredictionIO, the master's Spark and the Spark of new machines."""
    facts, config = await context.driver_facts(), context.config
    submit, made_for = f"{config.spark.home}/bin/spark-submit", COMPATIBILITY[config.pio.version].lines("spark")
    if facts.spark_submit != "executable":
        why = "missing" if facts.spark_submit == "missing" else "not executable"
        step = "set spark.home to the directory of Spark on the driver, or install Spark there"
        if not config.adopted:
            step += "; the first boot of a new driver installs it: journalctl -u pio-tf-bootstrap"
        return failed(f"the driver has no Spark: {submit} is {why}", step)
    version = SPARK_VERSION.match(facts.spark_release)
    if not version:
        return warning(
            f"could not read the version of the driver's Spark from {config.spark.home}/RELEASE",
            f"PredictionIO {config.pio.version} needs {made_for}: check it with spark-submit --version",
        )
    minor = (int(version[2]), int(version[3]))
    driver = _judge_build(config, version[1], built=facts.built_for)
    return combine([driver, *await _judge_master(context, version[1], minor)])


def _judge_build(config: Config, version: str, *, built: str | None) -> CheckResult:
    """Judge the driver's Spark by the PredictionIO beside it: by its build, else by the versions that may fit."""
    row, version_of_new = COMPATIBILITY[config.pio.version], spark_version(config)
    if built is not None and not fits_build(version, built=built):
        return failed(
            f"PredictionIO at {config.pio.home} was built for Spark {built}, and does not run on Spark {version}",
            f"install Spark {built} on the machines, or build PredictionIO for Spark {version}"
            if config.adopted
            else f"{spark_pair(config, spark=version, built=built)}; then run `pio-tf provision`",
        )
    if built is None and not row.takes("spark", version):
        return warning(
            f"Spark {version}, but PredictionIO {config.pio.version} was made for {row.lines('spark')}",
            "set spark.version to one of those and install it on the machines, unless you have built PredictionIO for "
            "this one",
        )
    if built is not None and line_of(built) != line_of(version):
        return warning(
            f"Spark {version}, but PredictionIO at {config.pio.home} was built for Spark {built}",
            f"install Spark {built} on the machines"
            if config.adopted
            else f"set spark.version to {built}, and run `pio-tf provision`",
        )
    if not config.adopted and row.takes("spark", version) and line_of(version_of_new) != line_of(version):
        return warning(
            f"Spark {version}, but a new machine would get Spark {version_of_new}",
            f'set spark.version = "{version}" in {config.where("spark")}, so that new workers have the same',
        )
    return ok(f"Spark {version}" if built is None else f"Spark {version}, PredictionIO built for {built}")


async def _judge_master(context: CheckContext, version: str, minor: tuple[int, int]) -> list[CheckResult]:
    """Return nothing if the master has the driver's version, or does not answer: ``spark`` reports that."""
    release = shell_path(f"{context.config.spark.home}/RELEASE")
    try:
        asked = context.remote.run(context.outputs.master.name, f"head -n 1 {release}")
        done = await wait_for(asked, timeout=context.limits.answer)
    except (RemoteError, asyncio.TimeoutError):
        return []
    master = SPARK_VERSION.match(done.stdout)
    if not master or master[1] == version:
        return []
    next_step = "install the same Spark on driver, master and workers"
    detail = f"the driver has Spark {version}, the master {master[1]}"
    if (int(master[2]), int(master[3])) != minor:
        return [failed(f"{detail}: their protocols are incompatible (InvalidClassException)", next_step)]
    return [warning(detail, next_step)]
