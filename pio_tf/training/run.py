"""One training on the driver: start it, follow it, judge it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.events import Done, OutputLine, Reporter, Step, Warned, silent
from pio_tf.training.redact import Redactor
from pio_tf.training.verdict import NO_RESOURCES, TrainingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pio_tf.remote.ssh import Remote


@dataclass(frozen=True)
class TrainingResult:
    """A training that ended with a model."""

    exit_status: int
    seconds: float
    """From its start on the driver to its end."""
    success_line_seen: bool
    last_lines: tuple[str, ...]
    """The end of its output, without secrets."""


class AttachedRun:
    """A training that lives and dies with our connection: the one place that starts the command.

    When the caller is cancelled, the command on the driver is ended, too.
    """

    def __init__(self, remote: Remote, command: str) -> None:
        self._remote = remote
        self._command = command

    async def follow(self, on_line: Callable[[str], None]) -> int:
        """Start it and hand out its lines; its exit status.

        Raises:
            RemoteError: the connection was lost.
        """
        # A login shell: JAVA_HOME and PATH stand in the user's profile.
        return await self._remote.stream(self._remote.driver.name, self._command, on_line, login=True)


async def run_training(
    remote: Remote,
    command: str,
    *,
    reporter: Reporter = silent,
    secrets: Iterable[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> TrainingResult:
    """Run ``command`` (of :func:`pio_tf.pio.command.train_command`) on the driver and prove that there is a model.

    Args:
        secrets: values to hide in its output, besides those that are named like secrets.

    Raises:
        TrainingFailed: it ended without a model; the cause quotes the first error that it printed.
        RemoteError: the connection was lost, so that nobody knows.
    """
    redactor, log = Redactor(secrets), TrainingLog()
    reporter(Step(f"Training: {redactor.redact(command)}"))

    def on_line(line: str) -> None:
        shown = redactor.redact(line)
        if NO_RESOURCES in shown and not log.no_resources:
            reporter(
                Warned("Spark has no executor for this job yet: too little memory free, or the driver is shut off")
            )
        log.add(shown)
        reporter(OutputLine(shown, source=remote.driver.name))

    started = clock()
    exit_status = await AttachedRun(remote, command).follow(on_line)
    seconds = clock() - started
    failure = log.failure(exit_status)
    if failure:
        failure.details["seconds"] = round(seconds, 3)
        raise failure
    reporter(Done(f"Trained in {seconds:.0f} s"))
    return TrainingResult(exit_status, seconds, log.success, tuple(log.last_lines))
