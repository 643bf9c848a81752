"""Readiness for a training: every machine answers over SSH, and Spark's master counts every worker ALIVE."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from msgspec.structs import replace

from pio_tf.errors import AwsError, NotReady, PioTfError, RemoteError
from pio_tf.events import Done, MachineProgress, Reporter, silent
from pio_tf.machines.health import examine
from pio_tf.machines.inventory import find_powered_off
from pio_tf.remote.bash import shell_path
from pio_tf.remote.connect import RetryPolicy
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.training.boot_watch import BootWatch
from pio_tf.training.spark_pages import spark_status
from pio_tf.waiting import in_background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine
    from pio_tf.remote.host_keys import ConsoleKeys
    from pio_tf.remote.target import SshTarget
    from pio_tf.training.deadline_watch import DeadlineWatch
    from pio_tf.training.spark_pages import SparkStatus

FIRST_POLL, LONGEST_POLL = 0.2, 3.0
"""Seconds between two questions: short at first, half as long again each time. A worker that started before its master
retries after some 10 s, so that asking more often than every few seconds gains nothing."""
_BOOTING = frozenset({"unreachable", "connection-lost"})
"""Kinds of :class:`RemoteError` that a machine causes while it boots."""
POWER_SECONDS = 10.0
"""Seconds between two questions to EC2 whether machines power themselves off meanwhile."""
_NEXT_LINE = "\n       "
_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def ready_cluster(
    config: Config,
    targets: Sequence[SshTarget],
    *,
    timeout: float | None = None,
    reporter: Reporter = silent,
    patience: RetryPolicy | None = None,
    console_keys: ConsoleKeys | None = None,
    attended: bool = False,
    watch: BootWatch | None = None,
    before_spark: Callable[[ClusterConnection], Awaitable[None]] | None = None,
    meanwhile: Callable[[ClusterConnection], Coroutine[Any, Any, None]] | None = None,
) -> AsyncIterator[tuple[ClusterConnection, SparkStatus]]:
    """Wait until every target answers over SSH and Spark counts every worker among them ALIVE; stay connected.

    Args:
        targets: driver, master and workers.
        timeout: seconds without progress; default: ``cluster.start_timeout``. A first boot that still downloads or
            unpacks makes progress.
        patience: for one machine's SSH, within ``timeout``.
        console_keys, attended: see :class:`pio_tf.remote.ssh.ClusterConnection`.
        watch: of the machines' first boots; default: one with ``timeout``.
        before_spark: called when all machines answer over SSH: Spark may wait for its secret.
        meanwhile: runs from then on until Spark is ready.

    Raises:
        NotReady: nothing has moved for ``timeout``; the error names what is missing, the last answer and the logs, or
            the download that has stopped. A failed bootstrap raises it at once.
        RemoteError: waiting longer would not help: a refused key, a changed or unknown host key.
    """
    limit = config.cluster.start_timeout if timeout is None else timeout
    watch = watch or BootWatch(limit=limit, reporter=reporter, every=LONGEST_POLL)
    reached = False
    async with contextlib.AsyncExitStack() as connections:
        while True:
            left = replace(patience or RetryPolicy(), timeout=max(0.1, watch.left))
            try:
                remote = await connections.enter_async_context(
                    ClusterConnection(
                        config, targets, reporter=reporter, retry=left, console_keys=console_keys, attended=attended
                    )
                )
                await remote.reach(target.name for target in targets)
                if not reached:  # machines that restart again and again make no progress
                    reached = True
                    watch.moved()
                if before_spark is not None:
                    await before_spark(remote)
                async with contextlib.AsyncExitStack() as work:
                    if meanwhile is not None:
                        await work.enter_async_context(in_background(meanwhile(remote)))
                    client = _wait_for_client(remote, config, watch, reporter=reporter)
                    installed = await work.enter_async_context(in_background(client))
                    status = await _wait_for_spark(remote, config, targets, watch, reporter=reporter)
                    await installed
                break
            except RemoteError as error:
                # A machine that restarts during its first boot breaks the connections.
                if error.details.get("kind") not in _BOOTING:
                    raise
                if watch.left <= LONGEST_POLL:
                    raise NotReady(
                        error.what, cause=error.cause, next_step=error.next_step, details=error.details
                    ) from error
                await connections.aclose()
            await asyncio.sleep(FIRST_POLL)
        yield remote, status


class PoweredOff(NotReady):
    """Machines have powered themselves off while a client waited for them: their driver was not used before."""


async def while_powered(
    ready: Awaitable[_T],
    ec2: EC2Client,
    machines: Sequence[Machine],
    *,
    deadline: DeadlineWatch | None = None,
    every: float = POWER_SECONDS,
) -> _T:
    """Wait for ``ready``, unless some of the machines power themselves off, or AWS stops them at the deadline.

    Args:
        deadline: when AWS stops the machines; None: it does not.
        every: seconds between two questions to EC2.

    Raises:
        PoweredOff: they have, or are about to.
        NotReady: the deadline has come.
    """
    names = {machine.instance_id: machine.name for machine in machines}

    async def look() -> NoReturn:
        while True:
            known = deadline.at if deadline else None
            await asyncio.sleep(every)
            if deadline is not None and await deadline.has_passed(known):
                raise NotReady(
                    f"AWS stops the machines at the deadline, {known:%H:%M} UTC, and they are not ready yet",
                    cause="their first boot took longer than that",
                    next_step="`pio-tf up --for 8h`: the machines continue where they were. A mirror is nearer "
                    "(`pio-tf mirror push`)",
                )
            with contextlib.suppress(AwsError):  # it is asked again
                if ids := await asyncio.to_thread(find_powered_off, ec2, list(names)):
                    which = ", ".join(sorted(names[one] for one in ids))
                    raise PoweredOff(
                        f"{which} powered off after the last training",
                        cause="nothing had used the driver",
                        next_step="try again",
                    )

    waiting, looking = asyncio.ensure_future(ready), asyncio.ensure_future(look())
    both: list[asyncio.Future[Any]] = [waiting, looking]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return (waiting if waiting.done() else looking).result()
    finally:
        for one in both:
            one.cancel()
        await asyncio.wait(both)


class _Polling:
    """Growing pauses between questions, for as long as machines make progress."""

    def __init__(self, watch: BootWatch) -> None:
        self._watch = watch
        self._delay = FIRST_POLL

    async def pause(self) -> bool:
        """Wait, and return True; return False at once if the time without progress would be over meanwhile."""
        if self._delay > self._watch.left:
            return False
        await asyncio.sleep(self._delay)
        self._delay = min(LONGEST_POLL, self._delay * 1.5)
        return True


async def _wait_for_spark(
    remote: ClusterConnection,
    config: Config,
    targets: Sequence[SshTarget],
    watch: BootWatch,
    *,
    reporter: Reporter,
) -> SparkStatus:
    master = next(target for target in targets if target.role == "master")
    missing = {target.private_ip: target.name for target in targets if target.role == "worker"}
    workers, port = len(missing), config.spark.master_ui_port
    status: SparkStatus | None = None
    failure: RemoteError | None = None
    reported = ""
    polling = _Polling(watch)
    while True:
        timeout = max(0.1, min(10.0, watch.left))
        try:
            status = await spark_status(remote, master=master.private_ip, port=port, timeout=timeout)
            failure, detail = None, "Spark master answers"
        except RemoteError as error:
            if error.details.get("kind") != "http":
                raise
            failure, detail = error, f"waiting for Spark: {error.cause}"
        if detail != reported:
            reporter(MachineProgress(master.name, detail, ready=failure is None))
            reported = detail
            if failure is None:
                watch.moved()
        if failure is None and status is not None:
            for host in missing.keys() & status.alive.keys():
                reporter(MachineProgress(missing.pop(host), "Spark worker ALIVE", ready=True))
                watch.moved()
            if not missing:
                gib = status.memory_mib / 1024
                named = "1 worker" if workers == 1 else f"{workers} of {workers} workers"
                summary = f"{named}: {status.cores} cores, {gib:.1f} GiB for executors"
                reporter(Done(f"Spark has {summary}"))
                return status
        # The master first: without it, workers stay invisible.
        awaited = [*([master.name] if failure else []), *missing.values()]
        await watch.look(remote, awaited)
        if not await polling.pause():
            watch.refuse_stalled(awaited)
            raise _spark_not_ready(config, master, missing, status, failure)


async def _wait_for_client(remote: ClusterConnection, config: Config, watch: BootWatch, *, reporter: Reporter) -> None:
    """Wait until the driver has Spark's client: at its first boot it may still install it, while the master runs."""
    driver, submit = remote.driver.name, f"{config.spark.home}/bin/spark-submit"
    polling = _Polling(watch)
    waited = False
    while (await remote.run(driver, f"test -x {shell_path(submit)}")).exit_status != 0:
        if not waited:
            reporter(MachineProgress(driver, "waiting for Spark to be installed"))
        waited = True
        await watch.look(remote, [driver])
        if not await polling.pause():
            watch.refuse_stalled([driver])
            raise NotReady(
                f"the driver has no Spark: {submit} does not exist",
                cause="its first boot has not installed it yet, or failed to",
                next_step=f"look at its log, /var/log/pio-tf.log on {driver}; if Spark is elsewhere there, set "
                "spark.home",
                details={"machine": driver, "path": submit},
            )
    if waited:
        await watch.look(remote, [driver])  # its downloads have ended
        reporter(MachineProgress(driver, "Spark is installed", ready=True))


def _spark_not_ready(
    config: Config,
    master: SshTarget,
    missing: dict[str, str],
    status: SparkStatus | None,
    failure: RemoteError | None,
) -> NotReady:
    at = f"{master.private_ip}:{config.spark.master_ui_port}"
    if failure is not None or status is None:
        return NotReady(
            f"Spark's master on {master.name} does not answer at {at}",
            cause=failure.cause if failure else "there was no time left to ask it",
            next_step=f"look at its log: {_spark_log(config)} on {master.name} ({master.private_ip})",
            details={"machine": master.name, "address": at},
        )
    names = list(missing.values())
    others = sorted(status.alive.keys() - missing.keys())
    return NotReady(
        f"Spark's master lacks {len(names)} of its workers: {', '.join(names)}",
        cause=f"{status.states(missing)}; ALIVE: {', '.join(others) or 'none'}",
        next_step=f"look at the worker's log: {_spark_log(config)} on {names[0]}; it must reach "
        f"{master.private_ip}:{config.spark.master_port} (the security group)",
        details={"missing": names, "alive": others},
    )


def _spark_log(config: Config) -> str:
    """Return where master and workers log. Spark's own scripts write to SPARK_LOG_DIR, by default ``logs``."""
    if not config.adopted:
        return "`journalctl -u pio-tf-spark`"
    hint = "" if config.spark.start_command else " (if no unit starts Spark there, set spark.start_command)"
    return f"{config.spark.home}/logs{hint}"


def diagnose(error: PioTfError, ec2: EC2Client, machines: Sequence[Machine]) -> None:
    """Add to an error how AWS sees each machine that it is about, or that fails AWS's checks, with its console's end.

    If AWS does not answer, the error only gains that fact.

    Args:
        error: of :func:`ready_cluster`; its details name one ``machine``, or those ``missing``.
    """
    missing = error.details.get("missing")
    suspects = {str(name) for name in missing} if isinstance(missing, list) else set()
    suspects |= {str(error.details["machine"])} if error.details.get("machine") else set()
    lines = [error.cause] if error.cause else []
    try:
        examined = examine(ec2, machines, suspects=suspects)
    except PioTfError as unknown:
        error.details["diagnosis"] = []
        error.cause = _NEXT_LINE.join([*lines, f"AWS did not report the machines' status: {unknown.what}"])
        return
    found = [one for one in examined if one.machine.name in suspects or not one.is_well]
    for one in found:
        lines.append(one.diagnosis)
        if one.console:
            lines += [f"the end of {one.machine.name}'s console:", *(f"  {line}" for line in one.console)]
    error.cause = _NEXT_LINE.join(lines)
    error.details["diagnosis"] = [
        {
            "machine": one.machine.name,
            "id": one.machine.instance_id,
            "state": one.state,
            "system_status": one.system,
            "instance_status": one.instance,
            "diagnosis": one.diagnosis,
            "console": list(one.console),
        }
        for one in found
    ]
