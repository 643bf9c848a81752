"""Ready to train: every machine answers over SSH, and Spark's master counts every worker ALIVE.

`pio status` looks at neither the master nor the workers, so Spark's own count is asked for: the JSON of the master's
web page. It is asked through the driver, which is the one that must reach the master.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import Done, MachineProgress, Reporter, silent
from pio_tf.remote.bash import shell_path
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.ssh import ClusterConnection, connect_cluster
from pio_tf.training.provisioning import STATE, refuse_failed
from pio_tf.training.spark_master import spark_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.host_keys import ConsoleKeys
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.spark_master import SparkStatus

FIRST_POLL, LONGEST_POLL = 0.2, 3.0
"""Seconds between two questions to the master: short at first, half as long again each time. A worker that started
before its master tries again after some 10 s, so that asking more often than every few seconds gains nothing."""
_AGAIN = frozenset({"unreachable", "connection-lost"})
"""Kinds of :class:`RemoteError` that a machine in the middle of its boot causes."""


@contextlib.asynccontextmanager
async def ready_cluster(
    config: Config,
    targets: Sequence[SshTarget],
    *,
    timeout: float | None = None,
    reporter: Reporter = silent,
    patience: RetryPolicy | None = None,
    console_keys: ConsoleKeys | None = None,
    boot_state: str = STATE,
) -> AsyncIterator[tuple[ClusterConnection, SparkStatus]]:
    """Wait until every target answers over SSH and Spark counts every worker among them ALIVE; stay connected.

    Args:
        targets: driver, master and workers.
        timeout: seconds in all; default: ``cluster.start_timeout``.
        patience: for one machine's SSH, within ``timeout``.
        console_keys: as :func:`pio_tf.remote.ssh.connect_cluster` has it.
        boot_state: where a machine says that it could not prepare itself.

    Raises:
        NotReady: not within ``timeout``; it names what is missing, the last answer, and where the logs are. At once
            where a machine could not prepare itself.
        RemoteError: waiting longer would not help: a refused key, a changed host key.
    """
    deadline = time.monotonic() + (config.cluster.start_timeout if timeout is None else timeout)
    async with contextlib.AsyncExitStack() as connections:
        while True:
            asked = replace(patience or RetryPolicy(), timeout=max(0.1, deadline - time.monotonic()))
            try:
                remote = await connections.enter_async_context(
                    connect_cluster(config, targets, reporter=reporter, retry=asked, console_keys=console_keys)
                )
                await remote.reach(target.name for target in targets)
                boot = _Boot(remote, boot_state)
                status = await _wait_for_spark(remote, config, targets, boot, deadline=deadline, reporter=reporter)
                await _wait_for_client(remote, config, boot, deadline=deadline, reporter=reporter)
                break
            except RemoteError as error:
                # A machine that restarts in the middle of its first boot takes the connections with it.
                again = error.details.get("kind") in _AGAIN
                if not again:
                    raise
                if time.monotonic() + LONGEST_POLL >= deadline:
                    raise _not_ready(error) from error
                await connections.aclose()
            await asyncio.sleep(FIRST_POLL)
        yield remote, status


async def wait_until_ready(
    config: Config,
    targets: Sequence[SshTarget],
    *,
    timeout: float | None = None,
    reporter: Reporter = silent,
    patience: RetryPolicy | None = None,
    boot_state: str = STATE,
) -> SparkStatus:
    """As :func:`ready_cluster`, without staying connected."""
    async with ready_cluster(
        config, targets, timeout=timeout, reporter=reporter, patience=patience, boot_state=boot_state
    ) as (_, status):
        return status


class _Boot:
    """Asks machines that are waited for whether they have given up; now and then, not at every poll."""

    def __init__(self, remote: ClusterConnection, state: str) -> None:
        self._remote = remote
        self._state = state
        self._next = time.monotonic()

    async def refuse_failed(self, machines: Sequence[str]) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LONGEST_POLL
            await refuse_failed(self._remote, machines, state=self._state)


async def _wait_for_spark(
    remote: ClusterConnection,
    config: Config,
    targets: Sequence[SshTarget],
    boot: _Boot,
    *,
    deadline: float,
    reporter: Reporter,
) -> SparkStatus:
    master = next(target for target in targets if target.role == "master")
    workers = {target.private_ip: target for target in targets if target.role == "worker"}
    port = config.spark.master_ui_port
    missing = dict(workers)
    status: SparkStatus | None = None
    last_error: RemoteError | None = None
    said = ""
    delay = FIRST_POLL
    while True:
        left = deadline - time.monotonic()
        try:
            status = await spark_status(remote, master=master.private_ip, port=port, timeout=max(0.1, min(10.0, left)))
        except RemoteError as error:
            if error.details.get("kind") != "http":
                raise
            last_error, detail = error, f"waiting for Spark: {error.cause}"
        else:
            last_error, detail = None, "Spark master answers"
        if detail != said:
            reporter(MachineProgress(master.name, detail, ready=last_error is None))
            said = detail
        if last_error is None and status is not None:
            _report_alive(status, missing, reporter)
            if not missing:
                reporter(Done(_summary(status, workers)))
                return status
        # The master first: without it, workers cannot be seen.
        unheard = [] if last_error is None else [master.name]
        await boot.refuse_failed([*unheard, *(target.name for target in missing.values())])
        if time.monotonic() + delay > deadline:
            raise _spark_not_ready(config, master, missing, status, last_error)
        await asyncio.sleep(delay)
        delay = min(LONGEST_POLL, delay * 1.5)


async def _wait_for_client(
    remote: ClusterConnection, config: Config, boot: _Boot, *, deadline: float, reporter: Reporter
) -> None:
    """Until the driver has Spark's client: at its first boot it may be installing it still, while the master runs."""
    driver, delay = remote.driver.name, FIRST_POLL
    submit = f"{config.spark.home}/bin/spark-submit"
    while (await remote.run(driver, f"test -x {shell_path(submit)}")).exit_status != 0:
        await boot.refuse_failed([driver])
        if time.monotonic() + delay > deadline:
            raise NotReady(
                f"the driver has no Spark: {submit} is not there",
                cause="its first boot has not installed it yet, or could not",
                next_step=f"look at its log: /var/log/pio-tf.log on {driver}; where Spark is somewhere else there, set "
                "spark.home",
                details={"machine": driver, "path": submit},
            )
        reporter(MachineProgress(driver, "waiting for Spark to be installed"))
        await asyncio.sleep(delay)
        delay = min(LONGEST_POLL, delay * 1.5)


def _report_alive(status: SparkStatus, missing: dict[str, SshTarget], reporter: Reporter) -> None:
    for host in [host for host in missing if host in status.alive_hosts]:
        reporter(MachineProgress(missing.pop(host).name, "Spark worker ALIVE", ready=True))


def _summary(status: SparkStatus, workers: dict[str, SshTarget]) -> str:
    gib = status.memory_mib / 1024
    return f"Spark has {len(workers)} of {len(workers)} workers: {status.cores} cores, {gib:.1f} GiB for executors"


def _spark_not_ready(
    config: Config,
    master: SshTarget,
    missing: dict[str, SshTarget],
    status: SparkStatus | None,
    last_error: RemoteError | None,
) -> NotReady:
    at = f"{master.private_ip}:{config.spark.master_ui_port}"
    if last_error is not None or status is None:
        return NotReady(
            f"Spark's master on {master.name} does not answer at {at}",
            cause=last_error.cause if last_error else "it was not asked in time",
            next_step=f"look at its log: `journalctl -u pio-tf-spark` on {master.name} ({master.private_ip})",
            details={"machine": master.name, "address": at},
        )
    names = [target.name for target in missing.values()]
    seen = status.states({host: target.name for host, target in missing.items()})
    others = sorted(status.alive_hosts - missing.keys())
    return NotReady(
        f"Spark's master lacks {len(names)} of its workers: {', '.join(names)}",
        cause=f"{seen}; ALIVE: {', '.join(others) or 'none'}",
        next_step=f"look at the worker's log: `journalctl -u pio-tf-spark` on {names[0]}; it must reach "
        f"{master.private_ip}:{config.spark.master_port} (the security group)",
        details={"missing": names, "alive": others},
    )


def _not_ready(error: RemoteError) -> NotReady:
    return NotReady(error.what, cause=error.cause, next_step=error.next_step, details=error.details)
