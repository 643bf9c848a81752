"""`pio build`, before a training."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pio_tf.errors import NotReady
from pio_tf.events import Done, OutputLine, Reporter, Step, silent
from pio_tf.remote.paths import shell_path
from pio_tf.training.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.config.schema import Config
    from pio_tf.remote.ssh import Remote

_ERROR = re.compile(r"\[error\]\s*(?:\[[^\]]*\]\s*)*(.*\S)", re.IGNORECASE)
_NOT_COMPILED = re.compile(r"Return code of build command: .* is \d+|Exception during compilation")
"""PIO goes on after a compilation that failed, finds the jars of the one before it, and ends with status 0."""


async def build_engine(
    config: Config,
    remote: Remote,
    *,
    reporter: Reporter = silent,
    secrets: Iterable[str] = (),
    timeout: float = 3600.0,
) -> None:
    """Run `pio build` in the engine's directory on the driver.

    Args:
        secrets: values to hide in its output, besides those that are named like secrets.
        timeout: seconds. The first build fetches sbt, Scala and all libraries.

    Raises:
        NotReady: it failed, with the first error that it printed; or it did not end within ``timeout``.
        RemoteError: the connection was lost.
    """
    redactor = Redactor(secrets)
    errors: list[str] = []
    last = ""

    def on_line(line: str) -> None:
        nonlocal last
        shown = redactor.redact(line)
        reporter(OutputLine(shown, source=remote.driver.name))
        last = shown.strip() or last
        if match := _ERROR.search(shown):
            errors.append(match[1])

    engine, pio = shell_path(config.pio.engine_dir), shell_path(f"{config.pio.home}/bin/pio")
    reporter(Step(f"Building the engine in {config.pio.engine_dir}"))
    running = remote.stream(remote.driver.name, f"cd {engine} && {pio} build", on_line, login=True)
    next_step = f"read its output from the first error on; on the driver: cd {config.pio.engine_dir} && pio build"
    try:
        exit_status = await asyncio.wait_for(running, timeout=timeout)
    except asyncio.TimeoutError as error:
        raise NotReady(
            f"pio build did not end within {timeout:g} s",
            cause=f"the last line was: {last}" if last else "it printed nothing",
            next_step=next_step,
            details={"timeout": timeout},
        ) from error
    if exit_status != 0 or any(_NOT_COMPILED.search(error) for error in errors):
        raise NotReady(
            f"pio build failed with exit status {exit_status}" if exit_status else "pio build compiled nothing",
            cause=errors[0] if errors else f"the last line was: {last}" if last else "it printed nothing",
            next_step=next_step,
            details={"exit_status": exit_status, "errors": errors[:20]},
        )
    reporter(Done("the engine is built"))
