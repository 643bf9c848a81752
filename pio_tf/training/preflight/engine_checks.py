"""``engine`` and ``built``: the engine that `pio train` trains. `pio build`, before a training."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError, NotReady
from pio_tf.events import Done, OutputLine, Reporter, Step, silent
from pio_tf.pio.engine import read_engine, spark_conf_conflicts
from pio_tf.remote.bash import shell_path
from pio_tf.training.preflight.context import combine, failed, ok, skipped, warning
from pio_tf.training.preflight.probe import variant_path
from pio_tf.training.redact import Redactor
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.config.schema import Config
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.preflight.context import CheckContext, CheckResult

_ERROR = re.compile(r"\[error\]\s*(?:\[[^\]]*\]\s*)*(.*\S)", re.IGNORECASE)
_NOT_COMPILED = re.compile(r"Return code of build command: .* is \d+|Exception during compilation")
"""After a failed compilation, PIO finds the jars of the one before it, and ends with status 0."""


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
    if facts.source is not None and facts.source.written > jar.written:
        return warning(f"{facts.source.path} ({_when(facts.source.written)}) is newer than {jar.path}", build)
    return ok(f"{jar.path}, {_when(jar.written)}")


def needs_no_build(config: Config) -> bool:
    """Return whether the engine is one in Python."""
    return any(word.split("=")[0] == "--main-py-file" for word in config.train.pio_arguments)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


async def build_engine(
    config: Config,
    remote: ClusterConnection,
    *,
    reporter: Reporter = silent,
    secrets: Iterable[str] = (),
    timeout: float = 3600.0,
) -> None:
    """Run `pio build` in the engine's directory on the driver.

    Args:
        secrets: values to hide in its output, besides those with a secret's name.
        timeout: seconds. The first build fetches sbt, Scala and all libraries.

    Raises:
        NotReady: it failed, with the first error that it printed; or it did not end within ``timeout``.
        RemoteError: the connection was lost.
    """
    redactor = Redactor(secrets)
    errors: list[str] = []
    printed: list[str] = []

    def on_line(line: str) -> None:
        shown = redactor.redact(line)
        reporter(OutputLine(shown, source=remote.driver.name))
        printed[:] = [shown.strip()] if shown.strip() else printed
        if match := _ERROR.search(shown):
            errors.append(match[1])

    def refusal(what: str, **details: object) -> NotReady:
        last = f"the last line was: {printed[0]}" if printed else "no output"
        return NotReady(
            what,
            cause=errors[0] if errors and "exit_status" in details else last,
            next_step=f"read its output from the first error; on the driver: cd {config.pio.engine_dir} && pio build",
            details=details,
        )

    engine, pio = shell_path(config.pio.engine_dir), shell_path(f"{config.pio.home}/bin/pio")
    reporter(Step(f"Building the engine in {config.pio.engine_dir}", "some minutes"))
    running = remote.stream(remote.driver.name, f"cd {engine} && {pio} build", on_line, login=True)
    try:
        status = await wait_for(running, timeout=timeout)
    except asyncio.TimeoutError as error:
        raise refusal(f"pio build did not end within {timeout:g} s", timeout=timeout) from error
    if status != 0 or any(_NOT_COMPILED.search(error) for error in errors):
        what = f"pio build failed with exit status {status}" if status else "pio build compiled nothing"
        raise refusal(what, exit_status=status, errors=errors[:20])
    reporter(Done("built the engine"))
