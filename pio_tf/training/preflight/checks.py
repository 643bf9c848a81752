"""The table of checks. All of them run at once; what `pio status` finds counts only if the others find nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from pio_tf.config.environment import hide_secrets
from pio_tf.errors import ConfigError, NotReady, RemoteError
from pio_tf.events import Checked, Reporter, silent
from pio_tf.training.preflight.context import Check, CheckContext, CheckResult, Limits, NoAnswer, failed, skipped
from pio_tf.training.preflight.driver_checks import check_clock, check_disk, check_java, check_pio, check_pio_status
from pio_tf.training.preflight.engine_checks import check_built, check_engine
from pio_tf.training.preflight.hdfs_check import check_hdfs
from pio_tf.training.preflight.model_check import check_model
from pio_tf.training.preflight.service_checks import check_elasticsearch, check_jdbc, check_zookeeper
from pio_tf.training.preflight.spark_checks import check_spark, check_spark_version
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.config.sizing import Sizing
    from pio_tf.model import Outputs
    from pio_tf.pio.secrets import Secrets
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.preflight.context import CheckResult

_AT_ONCE = (
    Check("elasticsearch", check_elasticsearch),
    Check("model", check_model),
    Check("hdfs", check_hdfs),
    Check("zookeeper", check_zookeeper),
    Check("jdbc", check_jdbc),
    Check("spark", check_spark),
    Check("engine", check_engine),
    Check("built", check_built),
    Check("disk", check_disk),
    Check("clock", check_clock),
    Check("java", check_java),
    Check("spark-version", check_spark_version),
    Check("pio", check_pio),
)
_LAST = Check("pio-status", check_pio_status)
CHECKS: tuple[str, ...] = (*(check.name for check in _AT_ONCE), _LAST.name)
"""Every check's name, in the order of results."""
_ENDING = 10.0
"""Seconds for a `pio status` that timed out, between SIGTERM and SIGKILL."""
_NEXT_LINE = "\n       "
"""Aligns with the first word after ``cause:`` and ``next:``."""
_HANGS = (
    "log in to the driver and find what blocks it: a full disk, a dead network file system, the user's profile, or a "
    "service that accepts connections but does not answer"
)


async def run_checks(
    config: Config,
    remote: ClusterConnection,
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
    """Check everything that a training needs.

    Services, programs and the checks together have time limits (:class:`Limits`). A service that does not answer within
    its own is a failed check, with the seconds in its detail.

    Args:
        settings: Spark's settings in force, command-line arguments included.
        skip: names of checks to skip.
        reporter: gets a :class:`~pio_tf.events.Checked` as each check ends.
        now: this computer's time, in seconds since 1970.

    Raises:
        ConfigError: ``skip`` holds an unknown name.
        RemoteError: the connection to the driver was lost.
    """
    check_names(skip)
    context = CheckContext(config, remote, outputs, sizing, secrets, settings, limits or Limits(), now)

    async def judge(check: Check, seconds: float) -> CheckResult:
        if check.name in skip:
            return skipped("skipped by --skip-check")
        result = await _run_in_time(context, check, seconds)
        return replace(result, detail=hide_secrets(result.detail, config.environment_secrets))

    def told(check: Check, result: CheckResult) -> CheckResult:
        reporter(Checked(check.name, result.status, result.detail))
        return replace(result, name=check.name)

    async def run(check: Check) -> CheckResult:
        result = told(check, await judge(check, context.limits.together))
        if result.status == "failed":
            status.cancel()  # it might take minutes, to say the same
        return result

    # It takes longest, so it begins with the others.
    status = asyncio.ensure_future(judge(_LAST, context.limits.pio_status + _ENDING))
    running = [asyncio.ensure_future(run(check)) for check in _AT_ONCE]
    try:
        results = await asyncio.gather(*running)
        if _LAST.name in skip or not any(result.status == "failed" for result in results):
            last = await status
        else:
            last = skipped("not waited for, because another check failed")
        return (*results, told(_LAST, last))
    finally:
        for task in (*running, status):
            task.cancel()
        await asyncio.gather(*running, status, return_exceptions=True)
        await context.close()


def check_names(names: Iterable[str]) -> None:
    """Refuse unknown names of checks.

    Raises:
        ConfigError: with the known names.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ConfigError(
            f"no check is called {', '.join(unknown)}",
            next_step=f"--skip-check takes one of: {', '.join(CHECKS)}",
            details={"unknown": unknown, "checks": list(CHECKS)},
        )


def refuse_failed(results: Iterable[CheckResult]) -> None:
    """Raise an error if a check failed.

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
        + f"{_NEXT_LINE}then run `pio-tf check` again; `--skip-check {bad[0].name}` trains without that check",
        details={"checks": [asdict(result) for result in bad]},
    )


async def _run_in_time(context: CheckContext, check: Check, seconds: float) -> CheckResult:
    try:
        return await wait_for(check.judge(context), timeout=seconds)
    except NoAnswer as error:
        return failed(str(error), _HANGS)
    except asyncio.TimeoutError:
        return failed(str(NoAnswer(seconds)), _HANGS)
    except RemoteError as error:
        if error.details.get("kind") != "command":  # the connection to the driver was lost
            raise
        return failed(f"{error.what}: {error.cause}", error.next_step)
