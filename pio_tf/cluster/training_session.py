"""One `train` or `attach`: machines are started, a run is followed, and the machines stop whatever happens."""

from __future__ import annotations

import contextlib
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import asdict, replace

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.cluster.messages import names, short
from pio_tf.cluster.worker_choice import check_workers
from pio_tf.durations import duration
from pio_tf.errors import Interrupted, Locked, MachinesMayBeRunning, PioTfError, RemoteError, TrainingFailed
from pio_tf.events import Warned
from pio_tf.training.runs.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.cluster.fleet import FleetView
    from pio_tf.cluster.objects import ClusterObjects
    from pio_tf.model import Outputs
    from pio_tf.training.driver_session import DriverSession, TrainingRequest

_T = TypeVar("_T", bound="RunRecord | None")
INTERRUPTED_SECONDS = 2.0
"""How long an interrupted training waits for the driver before the machines stop: a cancelled job is killed 10 s after
its first signal, and gets a second one after 7.5 s (GitHub's runner; others give it more)."""
LAST_SECONDS = 0.75
"""The same after a second signal."""
_HOW_TO_STOP = "run `pio-tf down` now, and look at `pio-tf status`: running machines are billed"


class Phase(Enum):
    """How far a session has come: it decides how the machines stop if the session ends there."""

    LOOKING = "looking"
    """The run to attach to is looked for. Nothing is stopped for an id that does not exist."""
    STARTING = "starting"
    """The machines are being started."""
    PREPARING = "preparing"
    """The machines run, and the driver is configured and checked. No run has begun."""
    RUNNING = "running"
    """The run has begun, and is followed."""
    OUT_OF_SIGHT = "out of sight"
    """The driver was unreachable for too long: the run may continue."""
    STOPPING = "stopping"
    """The machines are being stopped."""


class TrainingSession:
    """One training from the start of the machines to their stop. It leaves none running unless it says so.

    Args:
        keep_up: leave the machines running; None: ``train.keep_up``.
    """

    def __init__(self, objects: ClusterObjects, *, keep_up: bool | None) -> None:
        self._objects = objects
        self._power = objects.power  # imported before hours of a run, so that an upgrade meanwhile can't break the stop
        self._report = objects.context.report
        self._keep_up = objects.context.config.train.keep_up if keep_up is None else keep_up
        self.phase = Phase.STARTING
        self.run = ""
        """The id of the run; empty: it is not known yet, or there is none."""

    def train(
        self,
        request: TrainingRequest,
        *,
        upload: str | None,
        apply: bool,
        duration: float | None,
        deadline: bool,
        workers: int | None = None,
    ) -> RunRecord:
        """Check, start the machines, train, and stop the machines. Arguments as of :meth:`Cluster.train`."""
        from pio_tf.engine.sources import check_source
        from pio_tf.pio.command import check_arguments, limit_cores
        from pio_tf.training.preflight import check_names

        objects = self._objects
        started: list[tuple[FleetView, Outputs]] = []
        check_names(request.skip_checks)
        check_arguments(objects.context.config, extra=request.extra)
        check_source(objects.context.config)
        check_workers(objects.context.config, workers)
        self._power.check_before_start()
        upload = objects.storage.checked_upload(upload)
        until = objects.deadline.after(duration) if deadline else None

        def work() -> RunRecord:
            ((view, whole),) = started
            outputs = view.at_work(whole)
            absent = tuple(one.name for one in whole.workers if one not in outputs.workers)
            sizing = objects.fleet.sizing(view.running)
            final = replace(request, absent=absent, stop_after=not self._keep_up)
            if workers is not None:
                extra = limit_cores(objects.context.config, outputs, sizing, extra=request.extra)
                final = replace(final, extra=extra, whole=len(outputs.workers) == objects.context.config.spark.workers)
            return objects.driver.session(
                view, lambda session: session.train(outputs, sizing, final, self.begin), wait=True, upload=upload
            )

        def play() -> RunRecord:
            def start() -> None:
                started.append(self._power.start(until, apply=apply, workers=workers))

            return self.play(start, work, run=request.run)

        lock = objects.storage.lock
        with self._advising():
            return lock.around(request.run, play) if lock else play()

    def attach(self, run: str, *, upload: str | None) -> RunRecord:
        """Follow a run, the latest if ``run`` is empty, to its end; then stop the machines."""
        objects = self._objects
        upload = objects.storage.checked_upload(upload)
        view, _ = objects.driver.running(objects.created.outputs(), strict=False)
        self.phase = Phase.LOOKING

        async def follow(session: DriverSession) -> RunRecord:
            self.run = await session.find(run)
            self.begin()
            return await session.follow(self.run, stop_after=not self._keep_up)

        with self._advising():
            return self.play(lambda: None, lambda: objects.driver.session(view, follow, upload=upload))

    @contextlib.contextmanager
    def _advising(self) -> Iterator[None]:
        """Add to a failed training which size of machines would do, if memory was its cause. They have stopped then."""
        from pio_tf.cluster.size_advice import advise

        try:
            yield
        except TrainingFailed as error:
            record = self._objects.storage.archive.load(self.run)
            with contextlib.suppress(PioTfError):  # the failure matters more
                if record is not None and (advice := advise(self._objects.context, record)):
                    error.next_step = "; ".join([error.next_step, *map(str, advice)])
                    error.details["size_advice"] = [asdict(one) for one in advice]
            raise

    def rehearse(self) -> None:
        """Start the machines, configure and check the driver as before a training, and stop the machines.

        Raises:
            NotReady: a check failed.
        """
        objects = self._objects
        self._power.check_before_start()
        until = objects.deadline.after(None)
        started: list[tuple[FleetView, Outputs]] = []

        def work() -> None:
            ((view, whole),) = started
            outputs = view.at_work(whole)
            sizing = objects.fleet.sizing(view.running)
            objects.driver.session(view, lambda session: session.rehearse(outputs, sizing), wait=True)

        with objects.driver.claimed():
            self.play(lambda: started.append(self._power.start(until, apply=False)), work, run="")

    def begin(self) -> None:
        """Note that the run begins: from now on, it may be active."""
        self.phase = Phase.RUNNING

    def play(self, start: Callable[[], None], work: Callable[[], _T], *, run: str = "") -> _T:
        """Call ``start`` and ``work``; then stop the machines, after a success, an error, Ctrl-C and SIGTERM alike.

        Args:
            start: starts the machines.
            work: returns the run's record. A run that continues (detached) leaves the machines running. If it returns
                nothing, there was no run.
            run: the run's id; empty: there is no run, or ``work`` looks for it.

        Raises:
            MachinesMayBeRunning: they could not be stopped, or two interruptions ended the stop. The error before it,
                if there was one, is named in its cause, and is its ``__cause__``.
            Locked: another client works on the cluster; its machines are left alone.
            BaseException: what ``start`` or ``work`` raised, once the machines are stopped.
        """
        self.run = run
        stays = self._keep_up
        try:
            try:
                start()
                if self.phase is Phase.STARTING:
                    self.phase = Phase.PREPARING
                record = work()
            except BaseException as error:
                if not isinstance(error, Locked) and self.phase is not Phase.LOOKING:
                    self._note(error)
                    self._finish(error)
                raise
            if isinstance(record, RunRecord) and record.state == "running":
                stays = True
                self._report(
                    Warned(
                        f"run {record.id} continues without this client, and its machines are billed: "
                        f"{self._end_of_detached()}`pio-tf train --attach {record.id}` follows it and then stops them; "
                        "`pio-tf down` stops them once it has ended"
                    )
                )
            else:
                self._finish(None)
        except MachinesMayBeRunning as error:
            self._name_machines(error)
            raise
        finally:
            if stays and self.phase is not Phase.LOOKING and self._objects.fleet.any_on():
                self._objects.deadline.say_until()
        return record

    def _end_of_detached(self) -> str:
        if self._keep_up or not self._objects.context.config.self_stops:
            return ""
        linger = duration(self._objects.context.config.train.linger)
        return f"they stop themselves, the driver {linger} after its end; "

    def _note(self, error: BaseException) -> None:
        """Give an error the id of the run that has begun, and take from it whether that may continue."""
        if self.phase is Phase.RUNNING and isinstance(error, PioTfError):
            error.details.setdefault("run", self.run)
            if isinstance(error, RemoteError) and error.details.get("kind") == "out-of-sight":
                self.phase = Phase.OUT_OF_SIGHT

    def _finish(self, first: BaseException | None) -> None:
        """Stop the machines, unless they are to keep running.

        Args:
            first: what has ended the session; None: the run has ended well.
        """
        begun = self.phase in (Phase.RUNNING, Phase.OUT_OF_SIGHT)
        interrupted = isinstance(first, KeyboardInterrupt)
        if self._keep_up:
            if self._objects.fleet.any_on():
                self._report(Warned("the machines keep running (keep-up); `pio-tf down` stops them"))
            return
        # A run that this client has lost sight of continues; any other that it started ends with it.
        own_run = "" if self.phase is Phase.OUT_OF_SIGHT else self.run
        # The run of an interrupted client is its own: the lock was, so that no other client has one. Before the run,
        # another client may have one, unless this one took the driver out of `stopped`.
        may_have_run = not interrupted if begun else None
        self.phase = Phase.STOPPING

        def stop(timeout: float | None, *, interrupted_before: bool) -> None:
            try:
                self._power.stop(
                    own_run=own_run,
                    driver_may_have_run=may_have_run,
                    timeout=timeout,
                    interrupted_before=interrupted_before,
                )
            except Interrupted:
                raise
            except Exception as error:
                if isinstance(error, Locked) and first is None:
                    raise
                raise _may_be_running(_said(error), first, error) from (first or error)

        try:
            if first is not None:
                signalled = isinstance(first, KeyboardInterrupt | Interrupted)
                again = "; another Ctrl-C stops them without waiting for their driver" if signalled else ""
                self._tell(f"{_named(first)}: stopping the machines{again}")
            stop(INTERRUPTED_SECONDS if interrupted else None, interrupted_before=False)
        except Locked as error:
            # Another client has begun another run since this one ended.
            self._tell(f"the machines keep running for another client: {error.what}")
        except (KeyboardInterrupt, Interrupted):
            try:
                self._tell("still stopping the machines; Ctrl-C again gives up, and leaves them running and billed")
                stop(LAST_SECONDS, interrupted_before=True)
            except (KeyboardInterrupt, Interrupted) as error:
                raise _may_be_running("interrupted twice", first) from (first or error)

    def _tell(self, message: str) -> None:
        # The reader of the output may have failed (a closed pipe): that is no reason to leave machines running.
        with contextlib.suppress(Exception):
            self._report(Warned(message))

    def _name_machines(self, error: MachinesMayBeRunning) -> None:
        """Add the machines that may be running, with their ids, unless the error names them."""
        seen, config = self._objects.fleet.seen, self._objects.context.config
        left = [machine for machine in seen.machines if machine.state != "terminated"] if seen else []
        if "machines" in error.details or (seen and not left):
            return
        hints = AwsCliHints.of(config)
        if left:
            error.cause += f"\n       the machines when EC2 last showed them: {names(left)}"
            error.details["machines"] = [machine.instance_id for machine in left]
        else:
            error.cause += f"\n       could not determine which machines of {config.cluster.name} are running"
        command = hints.stop_machines(left) if left else hints.stop_cluster(config.cluster.name)
        error.next_step += f"; or, with the AWS CLI: {command}"


def _may_be_running(why: str, first: BaseException | None, error: BaseException | None = None) -> MachinesMayBeRunning:
    cause = f"stopping: {why}"
    if first is not None:
        cause = f"before that: {_said(first)}\n       {cause}"
    details = dict(error.details) if isinstance(error, PioTfError) else {}
    if isinstance(first, PioTfError):
        details["before"] = {"what": first.what, "cause": first.cause, "exit_code": first.exit_code, **first.details}
    next_step = error.next_step if isinstance(error, MachinesMayBeRunning) and error.next_step else _HOW_TO_STOP
    return MachinesMayBeRunning(
        "could not stop the machines: they may still be running", cause=cause, next_step=next_step, details=details
    )


def _named(error: BaseException) -> str:
    if isinstance(error, PioTfError):
        return error.what
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _said(error: BaseException) -> str:
    return short(error) if isinstance(error, PioTfError) else _named(error)
