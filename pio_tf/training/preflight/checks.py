"""All checks at once, and `pio status` after them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from pio_tf.errors import ConfigError, NotReady, RemoteError
from pio_tf.events import Checked, Reporter, silent
from pio_tf.training.preflight.clock import check_clock
from pio_tf.training.preflight.disk import check_disk
from pio_tf.training.preflight.elasticsearch import check_elasticsearch
from pio_tf.training.preflight.engine import check_built, check_engine
from pio_tf.training.preflight.hdfs import check_hdfs
from pio_tf.training.preflight.jdbc import check_jdbc
from pio_tf.training.preflight.model import (
    CheckResult,
    Finding,
    Limits,
    NoAnswer,
    Preflight,
    failed,
    skipped,
)
from pio_tf.training.preflight.pio import check_pio, check_pio_status
from pio_tf.training.preflight.spark import check_spark
from pio_tf.training.preflight.versions import check_java, check_spark_version
from pio_tf.training.preflight.zookeeper import check_zookeeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.ssh import Remote

_Check: TypeAlias = "Callable[[Preflight], Awaitable[Finding]]"

_AT_ONCE: dict[str, _Check] = {
    "elasticsearch": check_elasticsearch,
    "hdfs": check_hdfs,
    "zookeeper": check_zookeeper,
    "jdbc": check_jdbc,
    "spark": check_spark,
    "engine": check_engine,
    "built": check_built,
    "disk": check_disk,
    "clock": check_clock,
    "java": check_java,
    "spark-version": check_spark_version,
    "pio": check_pio,
}
_LAST = "pio-status"
CHECKS: tuple[str, ...] = (*_AT_ONCE, _LAST)
"""Every check's name, in the order of results."""


async def run_checks(
    config: Config,
    remote: Remote,
    *,
    outputs: Outputs,
    sizing: Sizing,
    secrets: Secrets,
    settings: Mapping[str, str],
    skip: Collection[str] = (),
    reporter: Reporter = silent,
    limits: Limits | None = None,
    now: Callable[[], float] = time.time,
) -> tuple[CheckResult, ...]:
    """Look at everything that a training needs, in seconds: it costs hours to find out otherwise.

    Every check ends within its own time: what does not answer is a failed check, with those seconds in its detail.

    Args:
        settings: Spark's settings that will hold, arguments included.
        skip: names of checks to leave out.
        reporter: gets a :class:`~pio_tf.events.Checked` as each check ends.
        now: this computer's time, in seconds since 1970.

    Raises:
        ConfigError: ``skip`` has a name that is no check's.
        RemoteError: the driver itself was lost.
    """
    check_names(skip)
    limits = limits or Limits()
    preflight = Preflight(
        config, remote, outputs=outputs, sizing=sizing, secrets=secrets, settings=settings, limits=limits, now=now
    )

    async def run(name: str, check: _Check) -> CheckResult:
        finding = skipped("left out by --skip-check") if name in skip else await _bounded(preflight, name, check)
        reporter(Checked(name, finding.status, finding.detail))
        return CheckResult(name, finding.status, finding.detail, finding.next_step)

    running = [asyncio.ensure_future(run(name, check)) for name, check in _AT_ONCE.items()]
    try:
        results = await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await preflight.close()
    return (*results, await run(_LAST, check_pio_status if _may_ask_pio(results) else _not_asked))


def check_names(names: Iterable[str]) -> None:
    """Refuse names of checks that there are not.

    Raises:
        ConfigError: with the names that there are.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ConfigError(
            f"no check is called {', '.join(unknown)}",
            next_step=f"--skip-check takes one of: {', '.join(CHECKS)}",
            details={"unknown": unknown, "checks": list(CHECKS)},
        )


def refuse_failed(results: Iterable[CheckResult]) -> None:
    """End with an error if a check has failed.

    Raises:
        NotReady: naming every failed check, what it found and what to do.
    """
    bad = [result for result in results if result.status == "failed"]
    if not bad:
        return
    raise NotReady(
        f"not ready to train, {len(bad)} check{'s' if len(bad) > 1 else ''} failed: "
        + ", ".join(result.name for result in bad),
        cause=_NEXT_LINE.join(f"{result.name}: {result.detail}" for result in bad),
        next_step=_NEXT_LINE.join(f"{result.name}: {result.next_step}" for result in bad)
        + f"{_NEXT_LINE}then `pio-tf check` looks again; `--skip-check {bad[0].name}` trains all the same",
        details={"checks": [asdict(result) for result in bad]},
    )


_NEXT_LINE = "\n       "
"""Under the first word after ``cause:`` and ``next:``."""


async def _bounded(preflight: Preflight, name: str, check: _Check) -> Finding:
    """A check's finding, or a failed one for what did not answer in time or could not be asked."""
    seconds = preflight.limits.longest(name)
    try:
        return await asyncio.wait_for(check(preflight), timeout=seconds)
    except NoAnswer as error:
        return failed(str(error), _HANGS)
    except asyncio.TimeoutError:
        return failed(str(NoAnswer(seconds)), _HANGS)
    except RemoteError as error:
        if error.details.get("kind") != "command":  # the driver itself was lost: there is nobody to ask
            raise
        return failed(f"{error.what}: {error.cause}", error.next_step)


_HANGS = (
    "log in to the driver and look what holds it up: a full disk, a dead network file system, its user's profile, a "
    "service that accepts connections and says nothing"
)


def _may_ask_pio(results: Iterable[CheckResult]) -> bool:
    return not any(result.status == "failed" for result in results)


async def _not_asked(_preflight: Preflight) -> Finding:
    return skipped("not asked, because another check failed")
