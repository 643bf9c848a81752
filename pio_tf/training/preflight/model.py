"""What a check is given and what it gives back; how long each may take, and where it draws its lines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pio_tf.errors import RemoteError
from pio_tf.training.preflight.probe import probe_command, read_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.process import Completed
    from pio_tf.remote.ssh import Remote
    from pio_tf.training.preflight.probe import DriverFacts

Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
_WORSE: tuple[Status, ...] = ("skipped", "ok", "warning", "failed")


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it."""

    status: Status
    detail: str
    next_step: str = ""


@dataclass(frozen=True)
class CheckResult:
    """A check that has ended."""

    name: str
    status: Status
    detail: str
    """What was found, in one line."""
    next_step: str = ""
    """What to do; empty where there is nothing to do."""


@dataclass(frozen=True)
class Limits:
    """Where a check draws its lines. Times in seconds."""

    connect: float = 5.0
    """For a TCP connection. Within a VPC it takes milliseconds; a security group that drops packets never answers."""
    answer: float = 10.0
    """For a service's answers over HTTP, all together."""
    driver: float = 20.0
    """For the questions to the driver itself: `java -version`, directories, disks."""
    hdfs: float = 40.0
    """For the `hdfs` client: a JVM, and Hadoop's own retries of a name node that does not answer."""
    pio_status: float = 180.0
    """`pio status` starts a JVM and opens every storage. HBase's client alone may try for a minute."""

    disk_failed_mib: int = 1024
    """Free space under which a training cannot be expected to end: its log, Spark's jars and shuffle files."""
    disk_warning_mib: int = 5 * 1024
    inodes_failed: int = 10_000
    """Free inodes: a shuffle makes two files a map task, and a busy one tens of thousands of them."""
    inodes_warning: int = 50_000
    clock_warning: float = 5.0
    """Times in logs, in events and in Elasticsearch that do not fit together."""
    clock_failed: float = 300.0
    """AWS refuses a request whose time differs by more than five minutes (IAM User Guide, "Signature Version 4"; S3
    allows 15, RequestTimeTooSkewed)."""

    def longest(self, check: str) -> float:
        """Seconds that a check may take in all, with all that it asks and with ending what did not answer."""
        asked = {
            "elasticsearch": self.answer,
            "hdfs": self.connect + self.driver + self.hdfs,
            "spark": self.answer + self.driver,
            "spark-version": self.driver + self.answer,
            "pio-status": self.pio_status,
        }
        return asked.get(check, max(self.connect, self.driver)) + _ENDING


_ENDING = 10.0
"""Seconds. A command that is given up has some between SIGTERM and SIGKILL."""


class NoAnswer(Exception):
    """Something did not answer within so many seconds. Ends a check, and never leaves this package."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


class Preflight:
    """What the checks share: the parts of a cluster, and the driver's answers, which are asked for once."""

    def __init__(
        self,
        config: Config,
        remote: Remote,
        *,
        outputs: Outputs,
        sizing: Sizing,
        secrets: Secrets,
        settings: Mapping[str, str],
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self.config = config
        self.remote = remote
        self.outputs = outputs
        self.sizing = sizing
        self.secrets = secrets
        self.settings = settings
        self.limits = limits
        self.now = now
        self._probe: asyncio.Task[DriverFacts] | None = None

    async def ask(self, command: str, *, timeout: float) -> Completed:
        """Run a bash command on the driver.

        Raises:
            NoAnswer: it did not end within ``timeout`` seconds.
            RemoteError: the driver was lost.
        """
        try:
            return await self.remote.run(self.remote.driver.name, command, timeout=timeout)
        except RemoteError as error:
            if error.details.get("kind") == "timeout":
                raise NoAnswer(timeout) from error
            raise

    async def driver_facts(self) -> DriverFacts:
        """What the driver says of itself. The first who asks sends the question, the others wait for its answer.

        Raises what :meth:`ask` does; also a RemoteError for an answer that is not the question's.
        """
        if self._probe is None:
            self._probe = asyncio.ensure_future(self._ask_driver())
        return await asyncio.shield(self._probe)

    async def _ask_driver(self) -> DriverFacts:
        command = probe_command(self.config, self.settings)
        return read_answers(await self.ask(command, timeout=self.limits.driver))

    async def close(self) -> None:
        """End a question that nobody waits for any more."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)


def ok(detail: str) -> Finding:
    """A finding that stops nothing."""
    return Finding("ok", detail)


def warning(detail: str, next_step: str) -> Finding:
    """A finding that a user should know of; a training may still end well."""
    return Finding("warning", detail, next_step)


def failed(detail: str, next_step: str) -> Finding:
    """A finding with which a training cannot end well."""
    return Finding("failed", detail, next_step)


def skipped(detail: str) -> Finding:
    """Nothing to look at."""
    return Finding("skipped", detail)


def together(findings: Iterable[Finding]) -> Finding:
    """One finding out of several: the worst status, with the details and next steps of those that have it."""
    all_of_them = tuple(findings)
    worst = max((finding.status for finding in all_of_them), key=_WORSE.index)
    counted = [finding for finding in all_of_them if finding.status == worst]
    return Finding(
        worst,
        "; ".join(dict.fromkeys(finding.detail for finding in counted)),
        "; ".join(dict.fromkeys(finding.next_step for finding in counted if finding.next_step)),
    )
