"""`pio build` on the driver, and its log."""

from __future__ import annotations

import asyncio
import os
import re
from importlib import resources
from typing import TYPE_CHECKING

from pio_tf.engine.driver_engine import note_build
from pio_tf.errors import NotReady
from pio_tf.events import Done, OutputLine, Reporter, Step, silent
from pio_tf.remote.bash import shell_path
from pio_tf.remote.lines import LineSplitter
from pio_tf.training.runs.record import new_run_id
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.redact import Redactor

_ERROR = re.compile(r"\[error\]\s*(?:\[[^\]]*\]\s*)*(.*\S)", re.IGNORECASE)
_NOT_COMPILED = re.compile(r"Return code of build command: .* is \d+|Exception during compilation")
"""After a failed compilation, PIO finds the jars of the one before it, and ends with status 0."""


async def build_engine(
    config: Config,
    remote: ClusterConnection,
    *,
    redactor: Redactor,
    reporter: Reporter = silent,
    timeout: float = 3600.0,
) -> Path:
    """Run `pio build` in the engine's directory on the driver. Return the path of its log.

    Its log is ``builds/ID/log`` beside the runs, here and in ``~/.pio-tf`` on the driver. Like that of a run, it has
    mode 0600, and the driver hides secrets before they reach its disk. The driver keeps those of 30 builds.

    Args:
        timeout: seconds. The first build fetches sbt, Scala and all libraries.

    Raises:
        NotReady: it failed, with the first error that it printed; or it did not end within ``timeout``.
        RemoteError: the connection was lost.
    """
    build = new_run_id()
    path = config.work_dir / "builds" / build / "log"
    path.parent.mkdir(parents=True, mode=0o700)
    errors: list[str] = []
    last = ""
    splitter = LineSplitter()

    def on_line(line: str) -> None:
        nonlocal last
        reporter(OutputLine(line, source=remote.driver.name))
        last = line.strip() or last
        if match := _ERROR.search(line):
            errors.append(match[1])

    def refusal(what: str, **details: object) -> NotReady:
        said = f"the last line was: {last}" if last else "no output"
        return NotReady(
            what,
            cause=errors[0] if errors and "exit_status" in details else said,
            next_step=f"read {path} from the first error; on the driver: cd {config.pio.engine_dir} && pio build",
            details={**details, "log": str(path)},
        )

    reporter(Step(f"Building the engine in {config.pio.engine_dir}", "some minutes"))
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as log:  # noqa: PTH123 - with a mode

        def on_data(data: bytes) -> None:
            log.write(data)
            for line in splitter.feed(data):
                on_line(line)

        running = remote.transfer(
            remote.driver.name, _program(config, build), content=[redactor.in_perl().encode()], on_data=on_data
        )
        try:
            done = await wait_for(running, timeout=timeout)
        except asyncio.TimeoutError as error:
            raise refusal(f"pio build did not end within {timeout:g} s", timeout=timeout) from error
        finally:
            for line in splitter.end():
                on_line(line)
    for line in done.stderr.splitlines():  # of the shell around it: without a log, for example
        on_line(redactor.redact(line))
    if done.exit_status != 0 or any(_NOT_COMPILED.search(error) for error in errors):
        failed = f"pio build failed with exit status {done.exit_status}"
        what = failed if done.exit_status else "pio build compiled nothing"
        raise refusal(what, exit_status=done.exit_status, errors=errors[:20])
    await note_build(remote, config)
    reporter(Done(f"built the engine; its log is {path}"))
    return path


def _program(config: Config, build: str) -> str:
    names = {"build": build, "engine": config.pio.engine_dir, "pio": f"{config.pio.home}/bin/pio"}
    text = resources.files(__package__).joinpath("build.sh").read_text(encoding="utf-8")
    return "".join(f"{name}={shell_path(value)}\n" for name, value in names.items()) + text
