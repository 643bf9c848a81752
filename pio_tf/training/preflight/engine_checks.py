"""``engine`` and ``built``: the engine that `pio train` trains."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.engine.sources import needs_no_build
from pio_tf.errors import ConfigError
from pio_tf.pio.engine import read_engine, spark_conf_conflicts
from pio_tf.training.preflight.context import combine, failed, ok, skipped, warning
from pio_tf.training.preflight.probe import variant_path

if TYPE_CHECKING:
    from pio_tf.training.preflight.context import CheckContext, CheckResult


async def check_engine(context: CheckContext) -> CheckResult:
    """Check the engine's directory, its engine.json, and the Spark settings in it that override pio-tf.hcl's."""
    facts, config = await context.driver_facts(), context.config
    path, variant = config.pio.engine_dir, variant_path(config)
    if facts.engine != "directory":
        return failed(
            f"{path} {'does not exist' if facts.engine == 'missing' else 'is not a directory'}",
            "put the engine there on the driver, or set pio.engine_dir in "
            f"{config.where('pio.engine_dir')}: the same path as on the prediction server",
        )
    if facts.half_pushed:
        return failed(
            f"{path} is half of two versions: a push or a restore of it was interrupted",
            "pio-tf engine push, which completes it; after an interrupted restore: pio-tf engine restore --replace",
        )
    if facts.variant in ("missing", "directory"):
        return failed(
            f"{variant} {'does not exist' if facts.variant == 'missing' else 'is a directory'}",
            f"create {variant.rpartition('/')[2]} on the driver, or name another in train.pio_arguments (--variant)",
        )
    try:
        engine = read_engine(facts.variant_text, where=variant)
    except ConfigError as error:
        return failed(error.what, error.next_step)
    conflicts = spark_conf_conflicts(engine, context.settings)
    return combine(
        [
            ok(f"{variant}: {engine.engine_factory}"),
            *((failed if one.fatal else warning)(one.detail, one.next_step) for one in conflicts),
        ]
    )


async def check_built(context: CheckContext) -> CheckResult:
    """Check that `pio build` has left a jar, newer than the sources.

    PredictionIO takes the jars under ``target/scala-<version>``, or those under ``lib`` if there are none
    (Common.jarFilesForScala). Without any, Spark does not find the engine's class.
    """
    facts, config = await context.driver_facts(), context.config
    path, pio = config.pio.engine_dir, config.pio.home
    build = f"pio-tf train --build, or on the driver: cd {path} && {pio}/bin/pio build"
    if needs_no_build(config):
        return skipped("an engine in Python needs no build")
    if facts.engine != "directory":
        return skipped("there is no engine: see engine")
    jar = facts.target_jar or facts.lib_jar
    if jar is None:
        return failed(f"{path} has not been built: there is no target/scala-*/*.jar", build)
    if facts.target_jar is None:
        return warning(f"there is no target/scala-*/*.jar; PredictionIO will take {jar.path} instead", build)
    if facts.stale_build:
        return warning(f"the sources of {path} were pushed after the last build", build)
    if facts.source is not None and facts.source.written > jar.written:
        return warning(f"{facts.source.path} ({_when(facts.source.written)}) is newer than {jar.path}", build)
    return ok(f"{jar.path}, {_when(jar.written)}")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
