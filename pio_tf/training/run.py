"""One run on the driver: started, followed to its end or ended, judged, and kept with its log."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict, replace

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import Interrupted, PioTfError, RemoteError, TrainingFailed
from pio_tf.events import Done, OutputLines, Reporter, Step, Warned, silent
from pio_tf.training.custody.custodian import next_step_after
from pio_tf.training.custody.model_checks import is_unfit, refuse_unfit
from pio_tf.training.proof import contradiction
from pio_tf.training.runs.driver_runs import TERM_SECONDS, DriverRuns
from pio_tf.training.runs.run_log import follow_log, read_log
from pio_tf.training.verdict import TrainingLog
from pio_tf.waiting import in_background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path
    from typing import Any, TypeAlias

    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.custody.custodian import Custodian
    from pio_tf.training.proof import Proof
    from pio_tf.training.redact import Redactor
    from pio_tf.training.runs.driver_lock import DriverLock
    from pio_tf.training.runs.driver_runs import DriverRun
    from pio_tf.training.runs.record import RunRecord, RunState
    from pio_tf.training.runs.run_copies import Archive, RunBucket, Upload

    Prove: TypeAlias = Callable[[RunRecord, bool], Awaitable[tuple[Proof, ...]]]
    """The record, and whether PIO said its success line -> the proofs that there is a model."""
    Watch: TypeAlias = Callable[[RunRecord], Coroutine[Any, Any, None]]
    """Reports a run's progress until it is cancelled."""

INTERRUPTED_SECONDS = 2
"""Seconds that an interrupted training has to end before it is killed. GitHub's runner kills a cancelled job 10 s after
its first signal (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-cancellation), and by then
the machines must be stopping."""
ANSWER_SECONDS = 2
"""Seconds more for the driver to answer and to hand over the rest of the log."""


async def start_run(
    remote: ClusterConnection,
    lock: DriverLock,
    record: RunRecord,
    *,
    command: str,
    redactor: Redactor,
    archive: Archive,
    after: Mapping[str, str] | None = None,
) -> RunRecord:
    """Start ``command`` (of :func:`pio_tf.pio.command.train_command`) on the driver, where it outlives this client.

    Args:
        after: as of :meth:`DriverRuns.prepare`.

    Returns:
        The record, with the time of the start by the driver's clock.

    Raises:
        Locked: the run's directory exists already.
        PioTfError: the driver could not start it.
        RemoteError: the connection was lost, and the run had not started.
    """
    runs = DriverRuns(remote)
    await runs.prepare(record, command=command, redactor=redactor.in_perl(), after=after)
    archive.save(record)  # before it starts: this computer then knows the run, even if this client dies now
    try:
        started: float | None = await lock.start(record.id)
    except RemoteError:
        started = (await runs.one(record.id)).started
        if started is None:
            raise
    record = record.with_(state="running", started=started)
    archive.save(record)
    return record


class RunFollower(Struct, frozen=True, kw_only=True):
    """Follows runs to their end: copies their logs, and writes their verdicts here and on the driver."""

    remote: ClusterConnection
    archive: Archive
    """Where the copies are kept."""
    prove: Prove
    """Returns the proofs that a run has left a model."""
    custodian: Custodian | None = None
    """Checks the new model, and puts the one before back; None: nothing does."""
    power_is_on: Callable[[], Awaitable[bool]]
    """Returns whether the driver's power is on; asked after a lost connection."""
    upload: Callable[[RunRecord], Upload | None] = lambda _record: None
    """Returns where a run's log and record are uploaded, besides."""
    shared: RunBucket | None = None
    """Where every client finds them."""
    report: Reporter = silent
    tells: bool = False
    """Whether the client sends a message about the end of a run that it follows."""

    @property
    def _runs(self) -> DriverRuns:
        return DriverRuns(self.remote)

    async def follow(self, run: str, *, watch: Watch | None = None, begun: RunRecord | None = None) -> RunRecord:
        """Show a run's log to its end, and judge whether there is a model.

        Args:
            watch: reports its progress meanwhile.
            begun: its record, for ``watch``; None: the driver is asked.

        Raises:
            TrainingFailed: the run ended without a model, was cancelled, or its end is unknown. Its record is kept.
            RemoteError: the driver was unreachable for too long: the run may continue.
        """
        source = self.remote.driver.name
        log = self._training_log(run)

        def on_text(text: str) -> None:
            had = log.no_resources
            log.add(text)
            if log.no_resources and not had:
                self.report(
                    Warned("Spark has no executor for this job yet: too little memory free, or the driver is shut off")
                )
            self.report(OutputLines(text, source=source))

        async with contextlib.AsyncExitStack() as meanwhile:
            if watch:
                watching = watch(begun or (await self._runs.one(run)).to_record())
                await meanwhile.enter_async_context(in_background(watching))
            facts = await self.copy(run, on_text)
        if self.tells:
            with contextlib.suppress(RemoteError):
                facts = replace(facts, told_by=await self._runs.claim(run))
        record, failure = await self._conclude(facts, log)
        if failure:
            raise failure
        self.report(Done(f"Trained in {record.seconds or 0:.0f} s"))
        return record

    async def follow_or_end(
        self, run: str, *, client: str, watch: Watch, stop_after: bool, begun: RunRecord | None = None
    ) -> RunRecord:
        """Follow a run as :meth:`follow` does; end it if this client is interrupted.

        Only messages depend on ``stop_after``: whether the machines stop then.
        """
        following = asyncio.ensure_future(self.follow(run, watch=watch, begun=begun))

        async def end() -> None:
            try:
                await self._end(run, who=client, patience=INTERRUPTED_SECONDS)
                await asyncio.wait([following])  # it copies the rest of the log, and judges the run
                if not isinstance(following.exception(), TrainingFailed | None):
                    await self.collect(run)
            finally:
                following.cancel()
                await asyncio.wait([following])

        try:
            return await asyncio.shield(following)
        except (asyncio.CancelledError, Interrupted, OSError):  # Ctrl-C, SIGTERM; a log that is not read, or kept
            then = "then the machines stop; Ctrl-C again stops them now" if stop_after else "the machines keep running"
            self.report(Warned(f"interrupted: ending run {run}; {then}"))
            try:
                await self.remote.await_or_abort(end(), timeout=INTERRUPTED_SECONDS + ANSWER_SECONDS)
            except RemoteError:  # it ends with the driver's power, and its log stays there
                until = "it ends when the machines stop" if stop_after else f"`pio-tf cancel {run}` ends it"
                self.report(Warned(f"stopped waiting for run {run}: {until}"))
            raise

    async def collect(self, run: str) -> RunRecord:
        """Copy an ended run's log and judge it, without showing it."""
        log = self._training_log(run)
        record, _ = await self._conclude(await self.copy(run, log.add), log)
        return record

    async def cancel(self, run: str, *, who: str, patience: int = TERM_SECONDS) -> RunRecord:
        """End a run, and every process of it, by force after ``patience`` seconds; then keep its log and record."""
        await self._end(run, who=who, patience=patience)
        return await self.collect(run)

    async def _end(self, run: str, *, who: str, patience: int) -> None:
        self.report(Step(f"Ending run {run}"))
        if await self._runs.cancel(run, who=who, patience=patience) == "killed":
            self.report(Warned(f"killed run {run}: it did not end {patience} s after SIGTERM"))

    def _training_log(self, run: str) -> TrainingLog:
        return TrainingLog(partial(read_log, self.archive.log(run)))

    async def copy(self, run: str, on_text: Callable[[str], None], *, once: bool = False) -> DriverRun:
        """Copy a run's log and hand out its lines in blocks, to the run's end; ``once``: only what there is now."""
        return await follow_log(
            self._runs,
            run,
            copy=self.archive.log(run),
            on_text=on_text,
            reporter=self.report,
            runs_still=self.power_is_on,
            once=once,
        )

    async def _conclude(self, facts: DriverRun, log: TrainingLog) -> tuple[RunRecord, TrainingFailed | None]:
        record = facts.to_record()
        failure = _failure(facts, log)
        if facts.result is None:
            proofs = await self.prove(record, log.success)
            failure = failure or contradiction(proofs)
            if failure is None and self.custodian is not None:
                proofs += await self.custodian.judge(record)
                failure = refuse_unfit(proofs)
            record = record.with_(
                state=_state(facts, failure),
                cause=_sentence(failure),
                sign=str(failure.details.get("sign", "")) if failure else "",
                proofs=tuple(asdict(proof) for proof in proofs),
                model=next((proof.model for proof in reversed(proofs) if proof.model), ""),
            )
            with contextlib.suppress(RemoteError):  # it is kept here in any case
                await self._runs.keep(record)
            record = await self._look_after_models(record, proofs, failure)
        elif record.state != "succeeded" and failure is None:
            failure = TrainingFailed(f"run {record.id} ended without a model", cause=record.cause)
        directory = self.archive.save(record).parent
        if facts.on_success is not None:
            await self._show_on_success(facts)
        if facts.untold:
            self.report(Warned(f"the driver could not send the message about run {record.id}: {facts.untold}"))
        await self._send(record, directory)
        for warning in log.warnings if failure is None else ():
            self.report(Warned(warning))
        if failure:
            failure.details |= {"run": record.id, "seconds": record.seconds, "log": str(self.archive.log(record.id))}
        return record, failure

    async def _look_after_models(
        self, record: RunRecord, proofs: tuple[Proof, ...], failure: TrainingFailed | None
    ) -> RunRecord:
        """Put the model before back if the new one is unfit. The verdict is kept already: this may be interrupted."""
        if self.custodian is None:
            return record
        concluded = await self.custodian.conclude(record, proofs)
        if concluded != record:
            with contextlib.suppress(RemoteError):
                await self._runs.keep(concluded)
        if failure and is_unfit(proofs):
            failure.next_step = next_step_after(concluded)
        return concluded

    async def _show_on_success(self, facts: DriverRun) -> None:
        """Copy the output of the commands after a success, and warn if they failed."""
        with contextlib.suppress(RemoteError):
            output = await self._runs.on_success_log(facts.id)
            write_atomically(self.archive.on_success_log(facts.id), output)
            if facts.on_success:
                last = (output.strip().splitlines() or ["no output"])[-1]
                self.report(
                    Warned(
                        f"a command of train.on_success failed with exit status {facts.on_success}: {last}\n"
                        f"the training succeeded; `pio-tf logs {facts.id}` shows the whole output"
                    )
                )

    async def _send(self, record: RunRecord, directory: Path) -> None:
        for place in (self.shared, self.upload(record)):
            if place is None:
                continue
            try:
                self.report(Done(f"log and record are at {await asyncio.to_thread(place.put, record, directory)}"))
            except PioTfError as error:  # neither the model nor the machines' stop depends on it, and nothing is lost
                self.report(Warned(f"could not upload log and record, which are kept in {directory}: {error}"))


def _failure(facts: DriverRun, log: TrainingLog) -> TrainingFailed | None:
    if facts.result is not None and facts.started is None:
        return TrainingFailed(
            f"run {facts.id} did not begin", cause=facts.result.cause, next_step="`pio-tf train` starts a new one"
        )
    if facts.cancelled_by:
        return TrainingFailed(
            f"run {facts.id} was cancelled by {facts.cancelled_by}", next_step="`pio-tf train` starts a new one"
        )
    if facts.ending is None:
        why = "the driver has restarted since" if facts.booted_since else "it was killed, or the driver restarted"
        return log.failure(None, why=f"its process disappeared: {why}")
    if not facts.ending.log_whole:
        return TrainingFailed(
            f"the log of run {facts.id} could not be written to its end: pio-tf can't tell whether there is a model",
            cause=f"{facts.ending.free_bytes // 2**20} MiB are free on the driver's disk",
            next_step="free space on the driver (pio-tf ssh; its disk is kept for years), then train again",
            details={"exit_status": facts.ending.exit_status},
        )
    return log.failure(facts.ending.exit_status)


def _state(facts: DriverRun, failure: TrainingFailed | None) -> RunState:
    if failure is None:
        return "succeeded"
    return "cancelled" if facts.cancelled_by else "lost" if facts.ending is None else "failed"


def _sentence(failure: PioTfError | None) -> str:
    if failure is None:
        return ""
    return f"{failure.what}: {failure.cause}" if failure.cause else failure.what
