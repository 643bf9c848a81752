"""How runs end: followed to their end, interrupted, cancelled, or collected once they have ended by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pio_tf.aws.session import aws_errors
from pio_tf.errors import Interrupted, PioTfError, RemoteError
from pio_tf.events import Done, Warned
from pio_tf.remote.limit import at_most
from pio_tf.training.preparation import Preparing
from pio_tf.training.progress import watch
from pio_tf.training.proof import Before, Proof, Traces, prove
from pio_tf.training.readiness import active_applications
from pio_tf.training.run import RunFollower
from pio_tf.training.runs.on_driver import DriverRuns
from pio_tf.training.runs.record import ENDED, RunRecord

if TYPE_CHECKING:
    from pio_tf.remote.ssh import Remote

INTERRUPTED_SECONDS = 2
"""What an interrupted training has to end before it is killed. GitHub's runner kills a cancelled job 10 s after its
first signal (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-cancellation), and by then the
machines must be stopping."""
ANSWER_SECONDS = 2
"""What it has besides, for the driver to answer and to hand over the rest of the log."""
EXECUTORS_GONE_SECONDS = 30.0
"""How long a cancelled run's application may stay on Spark's master before that is worth a warning."""


class Ending(Preparing):
    """Runs that come to their end."""

    async def _see(self, remote: Remote, run: str, *, stop_after: bool) -> RunRecord:
        finish = self._finish(remote)
        following = asyncio.ensure_future(finish.follow(run, watch=lambda record: self._watch(remote, record)))

        async def end() -> None:
            following.cancel()
            await asyncio.wait([following])
            await finish.cancel(run, who=str(self.client), patience=INTERRUPTED_SECONDS)

        try:
            return await asyncio.shield(following)
        except (asyncio.CancelledError, Interrupted, OSError):  # Ctrl-C, SIGTERM; a log that is not read, or kept
            then = "then the machines stop; Ctrl-C again stops them now" if stop_after else "the machines go on running"
            self.reporter(Warned(f"interrupted: run {run} is ended, {then}"))
            try:
                await at_most(INTERRUPTED_SECONDS + ANSWER_SECONDS, end(), remote)
            except RemoteError:  # it ends with the driver's power, and its log stays there
                until = "it ends when the machines stop" if stop_after else f"`pio-tf cancel {run}` ends it"
                self.reporter(Warned(f"run {run} is not seen to its end: {until}"))
            raise

    async def _watch(self, remote: Remote, record: RunRecord) -> None:
        spark = self._watch_spark(remote, record)
        await (asyncio.gather(spark, self.deadline.watch()) if self.deadline else spark)

    async def _watch_spark(self, remote: Remote, record: RunRecord) -> None:
        by_role = {machine.role: machine.private_ip for machine in self.machines}
        if record.started is None or record.state in ENDED or not record.ui_port:
            return
        await watch(
            remote,
            run=record.id,
            started=record.started,
            driver_ip=by_role["driver"],
            ui_port=record.ui_port,
            master_ip=by_role["master"],
            master_ui_port=self.config.spark.master_ui_port,
            deadline=lambda: self.deadline.at if self.deadline else None,
            reporter=self.reporter,
        )

    async def _cancel(self, remote: Remote, run: str) -> RunRecord:
        record = await self._finish(remote).cancel(run, who=str(self.client))
        master = next((machine.private_ip for machine in self.machines if machine.role == "master"), "")
        left = await self._left_on_master(remote, master, since=record.started or 0.0)
        if left:
            self.reporter(Warned(f"Spark's master still has {', '.join(left)}: look at its page, `pio-tf ui`"))
        else:
            self.reporter(Done(f"run {run} has ended, and its executors are gone"))
        return record

    async def _left_on_master(self, remote: Remote, master: str, *, since: float) -> tuple[str, ...]:
        """Applications that Spark's master still has of a run; none where it cannot be asked."""
        left: tuple[str, ...] = ()
        for _ in range(int(EXECUTORS_GONE_SECONDS * 2)):
            try:
                left = await active_applications(
                    remote, master=master, port=self.config.spark.master_ui_port, since=since
                )
            except RemoteError:
                return ()
            if not left:
                return ()
            await asyncio.sleep(0.5)
        return left

    async def _collect(self, remote: Remote) -> None:
        """Copy the logs and records of runs that have ended, and that this computer has not yet."""
        finish = self._finish(remote)
        for run in (await DriverRuns(remote).state()).runs:
            kept = self.archive.load(run.id)
            if run.state == "running" or (kept is not None and kept.state in ENDED):
                continue
            record = await finish.collect(run.id)
            self.reporter(Done(f"run {run.id} {record.state}: its log and record are in {self.archive.log(run.id)}"))

    def _finish(self, remote: Remote) -> RunFollower:
        async def prove_it(record: RunRecord, success_line_seen: bool) -> tuple[Proof, ...]:
            said_so = record.exit_status == 0 and success_line_seen
            return await prove(
                self._elasticsearch(remote) if said_so else None,
                Traces(**{**record.traces, "aliases": tuple(record.traces.get("aliases", ()))}),
                Before(**record.before),
                started=record.started or 0.0,
                exit_status=record.exit_status,
                success_line_seen=success_line_seen,
            )

        return RunFollower(
            remote,
            archive=self.archive,
            prove=prove_it,
            power_is_on=self._power_is_on,
            upload=lambda record: self.upload(url) if (url := self.upload_to or record.upload) else None,
            shared=self.shared,
            reporter=self.reporter,
        )

    async def _power_is_on(self) -> bool:
        """Whether the driver runs; where AWS cannot be asked, nothing is known, and it may."""
        driver = next(machine.instance_id for machine in self.machines if machine.role == "driver")

        def ask() -> str:
            with aws_errors():
                found = self.ec2.describe_instances(InstanceIds=[driver])
            return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

        try:
            return await asyncio.to_thread(ask) in ("pending", "running")
        except (PioTfError, LookupError):
            return True
