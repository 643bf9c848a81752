"""``engine`` and ``built``: what `pio train` is to train."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError
from pio_tf.pio.engine import read_engine, spark_conf_conflicts
from pio_tf.training.preflight.model import Finding, failed, ok, skipped, together, warning
from pio_tf.training.preflight.probe import variant_path

if TYPE_CHECKING:
    from pio_tf.training.preflight.model import Preflight

_BUILD = "pio-tf train --build, or on the driver: cd {engine} && {pio}/bin/pio build"


async def check_engine(preflight: Preflight) -> Finding:
    """The engine's directory, its engine.json, and the Spark settings in it that win over pio-tf.hcl's."""
    facts, config = await preflight.driver_facts(), preflight.config
    path, variant = config.pio.engine_dir, variant_path(config)
    name = variant.rpartition("/")[2]
    if facts.engine != "directory":
        return failed(
            f"{path} {'is not there' if facts.engine == 'missing' else 'is not a directory'}",
            "put the engine there on the driver, or set pio.engine_dir in "
            f"{config.where('pio.engine_dir')}: the same path as on the prediction server",
        )
    if facts.variant in ("missing", "directory"):
        return failed(
            f"{variant} {'is not there' if facts.variant == 'missing' else 'is a directory'}",
            f"write {name} on the driver, or let train.pio_arguments name another with --variant",
        )
    try:
        engine = read_engine(facts.variant_text, where=variant)
    except ConfigError as error:
        return failed(error.what, error.next_step)
    conflicts = spark_conf_conflicts(engine, preflight.settings)
    return together(
        [
            ok(f"{variant}: {engine.engine_factory}"),
            *((failed if one.fatal else warning)(one.detail, one.next_step) for one in conflicts),
        ]
    )


async def check_built(preflight: Preflight) -> Finding:
    """Whether `pio build` has left a jar, newer than the sources.

    PredictionIO takes the jars under ``target/scala-<version>``, and those under ``lib`` where there are none
    (Common.jarFilesForScala); without any, Spark does not find the engine's class.
    """
    facts, config = await preflight.driver_facts(), preflight.config
    build = _BUILD.format(engine=config.pio.engine_dir, pio=config.pio.home)
    if any(word.split("=")[0] == "--main-py-file" for word in config.train.pio_arguments):
        return skipped("an engine in Python has nothing to build")
    if facts.engine != "directory":
        return skipped("there is no engine: see engine")
    jar = facts.target_jar or facts.lib_jar
    if jar is None:
        return failed(f"{config.pio.engine_dir} has not been built: there is no target/scala-*/*.jar", build)
    if facts.target_jar is None:
        return warning(f"there is no target/scala-*/*.jar; PredictionIO will take {jar.path} instead", build)
    if facts.source is not None and facts.source.written > jar.written:
        return warning(f"{facts.source.path} ({_when(facts.source.written)}) is newer than {jar.path}", build)
    return ok(f"{jar.path}, {_when(jar.written)}")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
