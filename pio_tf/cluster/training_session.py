"""One `train` or `attach`: machines are started, a run is followed, and the machines stop whatever happens."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.cluster.messages import names, short
from pio_tf.cluster.power import check_key
from pio_tf.errors import Interrupted, Locked, MachinesMayBeRunning, PioTfError, RemoteError
from pio_tf.events import Event, Warned

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.cluster.cluster import Command
    from pio_tf.cluster.fleet import FleetView
    from pio_tf.model import Outputs
    from pio_tf.training.driver_session import TrainingRequest
    from pio_tf.training.runs.record import RunRecord

INTERRUPTED_PATIENCE = 2.0
"""Seconds that an interrupted training waits for the driver before the machines stop: a cancelled job is killed 10 s
after its first signal, and asked a second time after 7.5 s (GitHub's runner; others give it more)."""
LAST_PATIENCE = 0.75
"""The same after a second signal."""
_HOW_TO_STOP = "run `pio-tf down` now, and look at `pio-tf status`: machines that run cost money"


class Phase(Enum):
    """How far a session has come. Each phase decides how the machines stop if the session ends in it."""

    STARTING = "starting"
    """The machines are being started."""
    PREPARING = "preparing"
    """The machines run, and the driver is configured and checked. No run has begun."""
    RUNNING = "running"
    """The run has begun, and is followed."""
    OUT_OF_SIGHT = "out of sight"
    """The driver was unreachable for too long: the run may go on."""
    STOPPING = "stopping"
    """The machines are being stopped."""


class TrainingSession:
    """One training from the start of the machines to their stop. It leaves no machine running unless it says so.

    Args:
        keep_up: leave the machines running; None: ``train.keep_up``.
    """

    def __init__(self, command: Command, *, keep_up: bool | None) -> None:
        self._command = command
        self._context = command.context
        self._config = command.context.config
        self._keep_up = self._config.train.keep_up if keep_up is None else keep_up
        self.phase = Phase.STARTING

    def train(
        self, request: TrainingRequest, *, upload: str | None, apply: bool, duration: float | None, deadline: bool
    ) -> RunRecord:
        """Start the machines, check, train, judge whether there is a model, and stop the machines.

        Args:
            upload: ``s3://bucket/prefix`` for log and record; None: ``train.upload``.
            apply: first create and change what pio-tf.hcl asks for.
            duration: seconds until AWS stops the machines; None: ``train.max_runtime``.
            deadline: False starts the machines without a deadline.
        """
        from pio_tf.pio.command import check_arguments
        from pio_tf.training.preflight import check_names

        check_key(self._config)
        check_names(request.skip_checks)
        check_arguments(self._config, extra=request.extra)  # all of it before a machine is started for nothing
        sizing, _ = self._command.fleet.sizing(), self._context.secrets
        to = self._command.storage.checked_upload(upload)
        until = self._command.deadline.after(duration) if deadline else None
        started: list[tuple[FleetView, Outputs]] = []

        def work() -> RunRecord:
            ((view, whole),) = started
            outputs = view.at_work(whole)
            absent = tuple(one.name for one in whole.workers if one not in outputs.workers)
            now = replace(request, absent=absent, stop_after=not self._keep_up)
            return self._command.driver.session(
                view, lambda session: session.train(outputs, sizing, now, self.begin), wait=True, upload=to
            )

        def play() -> RunRecord:
            return self.play(
                lambda: started.append(self._command.power.start(until, apply=apply)),
                work,
                run=request.run,
                # On machines that exist already, another client may have a run.
                driver_was_on=(not apply or self._command.stack.is_applied()) and self._command.driver.is_on(),
            )

        lock = self._command.storage.lock
        return lock.around(request.run, play) if lock else play()

    def attach(self, run: str, *, upload: str | None) -> RunRecord:
        """Follow a run, the latest if ``run`` is empty, to its end; then stop the machines."""
        to = self._command.storage.checked_upload(upload)
        outputs = self._command.stack.outputs()
        view, found = self._command.driver.find(outputs, run)  # before anything is stopped for a mistyped id
        return self.play(
            self.begin,
            lambda: self._command.driver.session(
                view, lambda session: session.follow(found, stop_after=not self._keep_up), upload=to
            ),
            run=found,
            driver_was_on=self._command.driver.is_on(),
        )

    def begin(self) -> None:
        """Note that the run begins: from now on, it may be active."""
        self.phase = Phase.RUNNING

    def play(
        self, start: Callable[[], None], work: Callable[[], RunRecord], *, run: str, driver_was_on: bool
    ) -> RunRecord:
        """Call ``start`` and ``work``; then stop the machines, after a success, an error, Ctrl-C and SIGTERM alike.

        Check before what can be wrong without a machine running (configuration, credentials).

        Args:
            start: starts the machines.
            work: returns the run's record. A run that goes on (detached) leaves the machines running.
            run: the run's id.
            driver_was_on: whether the driver ran before, so that another client may have a run there.

        Raises:
            MachinesMayBeRunning: they could not be stopped, or stopping them was interrupted twice. The error before
                it, if there was one, is named in its cause, and is its ``__cause__``.
            Locked: another client works on the cluster; its machines are left alone.
            BaseException: what ``start`` or ``work`` raised, once the machines are stopped.
        """
        stays = self._keep_up
        try:
            record = self._play(start, work, run=run, driver_was_on=driver_was_on)
        except MachinesMayBeRunning as error:
            self._name_machines(error)
            raise
        else:
            stays = stays or record.state == "running"
            return record
        finally:
            if stays and self._command.fleet.any_on():
                self._command.deadline.say_until()

    def _play(
        self, start: Callable[[], None], work: Callable[[], RunRecord], *, run: str, driver_was_on: bool
    ) -> RunRecord:
        try:
            start()
            if self.phase is Phase.STARTING:
                self.phase = Phase.PREPARING
            record = work()
        except BaseException as error:
            self._note(error, run)
            if not isinstance(error, Locked):
                self._finish(error, run=run, driver_was_on=driver_was_on)
            raise
        if record.state == "running":
            self._context.report(
                Warned(
                    f"run {record.id} goes on without this client, on machines that cost: `pio-tf train --attach "
                    f"{record.id}` follows it and then stops them; `pio-tf down` stops them once it has ended"
                )
            )
        else:
            self._finish(None, run=run, driver_was_on=driver_was_on)
        return record

    @property
    def _has_begun(self) -> bool:
        return self.phase in (Phase.RUNNING, Phase.OUT_OF_SIGHT)

    def _note(self, error: BaseException, run: str) -> None:
        """Take from an error how far the session has come, and give it the run's id."""
        if isinstance(error, PioTfError) and self._has_begun:
            error.details.setdefault("run", run)
            if isinstance(error, RemoteError) and error.details.get("kind") == "out-of-sight":
                self.phase = Phase.OUT_OF_SIGHT

    def _finish(self, first: BaseException | None, *, run: str, driver_was_on: bool) -> None:
        """Stop the machines, unless they are to keep running.

        Args:
            first: what has ended the session; None: the run has ended well.
        """
        if self._keep_up:
            if self._command.fleet.any_on():
                self._context.report(
                    Warned("the machines go on running, as asked for (keep-up); `pio-tf down` stops them")
                )
            return
        interrupted, begun = isinstance(first, KeyboardInterrupt), self._has_begun
        # A run that this client has lost sight of goes on; any other that it started ends with it.
        own_run = "" if self.phase is Phase.OUT_OF_SIGHT else run
        # The run of an interrupted client is its own: the lock was, so that no other client has one.
        may_have_run = (driver_was_on or begun) and not (begun and interrupted)
        self.phase = Phase.STOPPING

        def stop(timeout: float | None, *, interrupted_before: bool = False) -> None:
            self._command.power.stop(
                own_run=own_run,
                driver_may_have_run=may_have_run,
                timeout=timeout,
                interrupted_before=interrupted_before,
            )

        try:
            if first is not None:
                again = "; another Ctrl-C stops them without waiting for their driver" if _is_signal(first) else ""
                self._tell(Warned(f"{_named(first)}: stopping the machines{again}"))
            _stop(lambda: stop(INTERRUPTED_PATIENCE if interrupted else None), first)
        except Locked as error:
            # Another client has begun another run since ours ended.
            self._tell(Warned(f"the machines go on running, for somebody else: {error.what}"))
        except (KeyboardInterrupt, Interrupted):
            try:
                self._tell(
                    Warned("still stopping the machines, which cost money; Ctrl-C again gives up and leaves them")
                )
                _stop(lambda: stop(LAST_PATIENCE, interrupted_before=True), first)
            except (KeyboardInterrupt, Interrupted) as error:
                raise _may_be_running("stopping them was interrupted twice", first) from (first or error)

    def _tell(self, event: Event) -> None:
        # The reader of our output may be what has failed (a closed pipe): no reason to leave machines running.
        with contextlib.suppress(Exception):
            self._context.report(event)

    def _name_machines(self, error: MachinesMayBeRunning) -> None:
        """Add the machines that may be running, with their ids, unless the error names them."""
        seen = self._command.fleet.seen
        left = [machine for machine in seen.machines if machine.state != "terminated"] if seen else []
        if left and "machines" not in error.details:
            error.cause += f"\n       the machines, as they were seen last: {names(left)}"
            error.next_step += f"; by hand: {AwsCliHints.of(self._context.config).stop_machines(left)}"
            error.details["machines"] = [machine.instance_id for machine in left]


def _stop(stop: Callable[[], None], first: BaseException | None) -> None:
    try:
        stop()
    except Interrupted:
        raise
    except Locked as error:
        if first is None:
            raise
        raise _may_be_running(_said(error), first, error) from first
    except Exception as error:  # noqa: BLE001 - whatever it is, the user may be paying for machines
        raise _may_be_running(_said(error), first, error) from (first or error)


def _may_be_running(why: str, first: BaseException | None, error: BaseException | None = None) -> MachinesMayBeRunning:
    cause = f"stopping: {why}"
    if first is not None:
        cause = f"before that: {_said(first)}\n       {cause}"
    details = dict(error.details) if isinstance(error, PioTfError) else {}
    if isinstance(first, PioTfError):
        details["before"] = {"what": first.what, "cause": first.cause, "exit_code": first.exit_code, **first.details}
    next_step = error.next_step if isinstance(error, MachinesMayBeRunning) and error.next_step else _HOW_TO_STOP
    return MachinesMayBeRunning(
        "the machines may still be running: they could not be stopped",
        cause=cause,
        next_step=next_step,
        details=details,
    )


def _is_signal(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | Interrupted)


def _named(error: BaseException) -> str:
    if isinstance(error, PioTfError):
        return error.what
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _said(error: BaseException) -> str:
    return short(error) if isinstance(error, PioTfError) else _named(error)
