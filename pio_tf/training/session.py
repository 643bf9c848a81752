"""Start, run, and stop whatever happens: a run must not leave machines behind that nobody knows of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pio_tf.errors import Interrupted, Locked, MachinesMayBeRunning, PioTfError
from pio_tf.events import Event, Reporter, Warned, silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.training.runs.record import RunRecord

_HOW_TO_STOP = "run `pio-tf down` now, and look at `pio-tf status`: machines that run cost money"


def train(
    *,
    up: Callable[[], object],
    run: Callable[[], RunRecord],
    down: Callable[[], object],
    keep_up: bool = False,
    runs: Callable[[], bool] = lambda: True,
    reporter: Reporter = silent,
) -> RunRecord:
    """Call ``up`` and ``run``; then ``down``, after a success, an error, Ctrl-C and SIGTERM alike.

    What can be wrong without a machine running (configuration, credentials) is checked by the caller before.

    Args:
        run: returns the run's record; of one that goes on (detached), whose machines are left running.
        down: stops every machine and proves it. Safe to repeat: after a Ctrl-C while stopping it is called once more.
        keep_up: leave the machines running, which is said.
        runs: whether any does: an error may have come before the start.

    Returns:
        What ``run`` returned.

    Raises:
        MachinesMayBeRunning: ``down`` failed, or was interrupted twice. The error before it, if there was one, is named
            in its cause, and is its ``__cause__``.
        Locked: another client works on the cluster; its machines are left alone.
        BaseException: what ``up`` or ``run`` raised, once the machines are stopped.
    """
    try:
        up()
        result = run()
    except Locked:
        raise
    except BaseException as error:
        _finish(down, keep_up=keep_up, runs=runs, reporter=reporter, first=error)
        raise
    if result.state == "running":
        reporter(
            Warned(
                f"run {result.id} goes on without this client, on machines that cost: `pio-tf train --attach "
                f"{result.id}` follows it and then stops them; `pio-tf down` stops them once it has ended"
            )
        )
        return result
    _finish(down, keep_up=keep_up, runs=runs, reporter=reporter, first=None)
    return result


def _finish(
    down: Callable[[], object],
    *,
    keep_up: bool,
    runs: Callable[[], bool],
    reporter: Reporter,
    first: BaseException | None,
) -> None:
    if keep_up:
        if runs():
            reporter(Warned("the machines go on running, as asked for (keep-up); `pio-tf down` stops them"))
        return
    try:
        if first is not None:
            again = "; another Ctrl-C stops them without waiting for their driver" if _is_interruption(first) else ""
            _tell(reporter, Warned(f"{_named(first)}: stopping the machines{again}"))
        _stop(down, first)
    except Locked as error:
        # Somebody else has begun another run since ours ended.
        _tell(reporter, Warned(f"the machines go on running, for somebody else: {error.what}"))
    except (KeyboardInterrupt, Interrupted):
        _stop_once_more(down, reporter=reporter, first=first)


def _stop_once_more(down: Callable[[], object], *, reporter: Reporter, first: BaseException | None) -> None:
    try:
        _tell(reporter, Warned("still stopping the machines, which cost money; Ctrl-C again gives up and leaves them"))
        _stop(down, first)
    except (KeyboardInterrupt, Interrupted) as error:
        raise _may_be_running("stopping them was interrupted twice", first) from (first or error)


def _stop(down: Callable[[], object], first: BaseException | None) -> None:
    try:
        down()
    except Interrupted:
        raise
    except Locked as error:
        if first is None:
            raise
        raise _may_be_running(_said(error), first, error) from first
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody may be paying for machines
        raise _may_be_running(_said(error), first, error) from (first or error)


def _tell(reporter: Reporter, event: Event) -> None:
    # The reader of our output may be what has failed (a closed pipe): no reason to leave machines running.
    with contextlib.suppress(Exception):
        reporter(event)


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


def _named(error: BaseException) -> str:
    if isinstance(error, PioTfError):
        return error.what
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | Interrupted)


def _said(error: BaseException) -> str:
    if isinstance(error, PioTfError):
        return f"{error.what} ({error.cause})" if error.cause else error.what
    return _named(error)
