"""The parts of a check: its context, its time and other limits, its result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from pio_tf.errors import RemoteError
from pio_tf.training.preflight.probe import probe_command, read_answers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.commands import CompletedCommand
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.preflight.probe import DriverFacts

Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
_WORSE: tuple[Status, ...] = ("skipped", "ok", "warning", "failed")


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    name: str
    """The check's name, which :func:`~pio_tf.training.preflight.run_checks` adds."""
    status: Status
    detail: str
    """The finding, in one line."""
    next_step: str = ""
    """The next step; empty if there is none."""


class Limits(Struct, frozen=True):
    """The limits of the checks. Times are in seconds."""

    connect: float = 5.0
    """Limit for a TCP connection and, from ZooKeeper and name nodes, an answer: milliseconds within a VPC. A security
    group that drops packets never answers."""
    answer: float = 10.0
    """Limit for all answers of a service over HTTP."""
    driver: float = 12.0
    """Limit for the questions to the driver itself: `java -version`, directories, disks."""
    hdfs: float = 12.0
    """Limit for the `hdfs` client: it starts a JVM. A name node that hangs has shown that before."""
    together: float = 14.0
    """Limit for all checks but `pio-status`. A command that hangs then has the seconds of
    :data:`~pio_tf.remote.commands.ENDINGS`: 20 in all."""
    pio_status: float = 180.0
    """`pio status` starts a JVM and opens every storage. HBase's client alone may retry for a minute."""

    disk_failed_mib: int = 1024
    """Minimum free space for a training's log, Spark's jars and shuffle files."""
    disk_warning_mib: int = 5 * 1024
    inodes_failed: int = 10_000
    """Free inodes: a shuffle makes two files a map task, and a busy one tens of thousands of them."""
    inodes_warning: int = 50_000
    clock_warning: float = 5.0
    """Enough to put logs, events and indices out of order."""
    clock_failed: float = 300.0
    """AWS refuses a request whose time differs by more than five minutes (IAM User Guide, "Signature Version 4"; S3
    allows 15, RequestTimeTooSkewed)."""


class Check(Struct, frozen=True):
    """One check."""

    name: str
    judge: Callable[[CheckContext], Awaitable[CheckResult]]


class NoAnswer(Exception):
    """A program or service did not answer in time. It fails a check, and never leaves this package."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


@dataclass
class CheckContext:
    """The cluster, as all checks see it, with the driver's answers to one probe."""

    config: Config
    remote: ClusterConnection
    outputs: Outputs
    sizing: Sizing
    secrets: Secrets
    settings: Mapping[str, str]
    limits: Limits
    now: Callable[[], float]
    _probe: asyncio.Task[DriverFacts] | None = field(default=None, init=False)

    async def ask(self, command: str, *, timeout: float) -> CompletedCommand:
        """Run a bash command on the driver.

        Raises:
            NoAnswer: it did not end within ``timeout`` seconds.
            RemoteError: the connection to the driver was lost.
        """
        try:
            return await self.remote.run(self.remote.driver.name, command, timeout=timeout)
        except RemoteError as error:
            if error.details.get("kind") == "timeout":
                raise NoAnswer(timeout) from error
            raise

    async def driver_facts(self) -> DriverFacts:
        """Return the driver's answers to the probe, which runs once for all checks.

        Raises what :meth:`ask` does, and RemoteError for an invalid answer.
        """
        if self._probe is None:
            self._probe = asyncio.ensure_future(self._ask_driver())
        return await asyncio.shield(self._probe)

    async def _ask_driver(self) -> DriverFacts:
        command = probe_command(self.config, self.settings)
        return read_answers(await self.ask(command, timeout=self.limits.driver))

    async def close(self) -> None:
        """Cancel a probe whose answer is not needed any more."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)


def ok(detail: str) -> CheckResult:
    """Return the result of a check that passed."""
    return CheckResult("", "ok", detail)


def warning(detail: str, next_step: str) -> CheckResult:
    """Return a result with which a training may still succeed."""
    return CheckResult("", "warning", detail, next_step)


def failed(detail: str, next_step: str) -> CheckResult:
    """Return a result with which a training cannot succeed."""
    return CheckResult("", "failed", detail, next_step)


def skipped(detail: str) -> CheckResult:
    """Return the result of a check that has nothing to check."""
    return CheckResult("", "skipped", detail)


def unused(context: CheckContext, why: str) -> CheckResult:
    """Return the result for a service that pio-tf.hcl does not name. With ``pio.keep_files``, it need not."""
    known = context.config.pio.keep_files
    return skipped(f"{context.config.path.name} names none, and pio-env.sh is not pio-tf's" if known else why)


def combine(results: Iterable[CheckResult]) -> CheckResult:
    """Return one result for several: the worst status, with the details and next steps of those that have it."""
    every = tuple(results)
    worst = max((result.status for result in every), key=_WORSE.index)
    counted = [result for result in every if result.status == worst]
    return CheckResult(
        "",
        worst,
        "; ".join(dict.fromkeys(result.detail for result in counted)),
        "; ".join(dict.fromkeys(result.next_step for result in counted if result.next_step)),
    )
