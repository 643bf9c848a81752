"""Power: every machine of a cluster on, or off, from whatever mixture of states, and proved by DescribeInstances.

A start or stop is one call for all, then one DescribeInstances a poll for those that still change. An error that
concerns one machine does not hold up the others: it is raised, with the machine's name, when they are done.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pio_tf.aws.errors import NO_CAPACITY
from pio_tf.errors import AwsError
from pio_tf.events import Reporter, silent
from pio_tf.machines import power_errors
from pio_tf.machines.power_change import START, STOP, PowerChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.model import Machine


def start_machines(
    ec2: EC2Client,
    machines: Iterable[Machine],
    *,
    timeout: float,
    capacity_wait: float = 0.0,
    may_lack: int = 0,
    reporter: Reporter = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Machine]:
    """Start what is stopped, wait until everything is running. Machines that are stopping are started when they have.

    Args:
        machines: of :func:`~pio_tf.machines.inventory.find_machines`; nothing else is touched.
        timeout: seconds for all of it.
        capacity_wait: seconds for which machines that AWS has no room for are asked for again, beside ``timeout``.
        may_lack: workers that may stay off for want of capacity.

    Returns:
        The machines as they are now, in the order given: all run, but for workers that ``may_lack``. Without any call
        where all are running already.

    Raises:
        AwsError: AWS can't be called; or a machine is terminated, and then nothing has been started.
        MachinesMayBeRunning: AWS can't be called any more, and some have been started, or may have been.
        NotReady: some are not running: no capacity (``details["lacking"]``), refused, or not in time. The others are.
    """
    machines = list(machines)
    if gone := [machine for machine in machines if machine.is_going]:
        raise power_errors.gone(gone, doing="started")
    change = PowerChange(
        ec2,
        machines,
        START,
        timeout=timeout,
        capacity_wait=capacity_wait,
        reporter=reporter,
        clock=clock,
        sleep=sleep,
    )
    try:
        change.run()
    except AwsError as error:
        if all(machine.state == "stopped" for machine in change.may_run):
            raise
        raise power_errors.may_be_running(ec2, change.may_run, cause=error) from error
    failures = change.failed.values()
    spared = [one for one in failures if one.code in NO_CAPACITY and one.machine.role == "worker"]
    if change.open or len(spared) < len(failures) or len(spared) > may_lack:
        raise power_errors.not_started(ec2, change.machines, failures, timeout=timeout)
    return change.machines


def stop_machines(
    ec2: EC2Client,
    machines: Iterable[Machine],
    *,
    timeout: float,
    force_after: float = 0.0,
    reporter: Reporter = silent,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Machine]:
    """Stop what runs or is about to, wait until everything is stopped.

    Arguments and result as of :func:`start_machines`. A machine on its way to being terminated counts as off.

    Args:
        force_after: seconds of ``stopping`` after which AWS is told to stop a machine by force, which does not wait for
            its operating system; 0: never.

    Raises:
        MachinesMayBeRunning: some are not stopped, or it is not known: each with id, state, reason, and what to do.
        AwsError: a machine was terminated meanwhile by somebody else; everything else is stopped.
    """
    machines = list(machines)
    change = PowerChange(
        ec2, machines, STOP, timeout=timeout, force_after=force_after, reporter=reporter, clock=clock, sleep=sleep
    )
    try:
        change.run()
    except AwsError as error:
        raise power_errors.may_be_running(ec2, change.machines, cause=error) from error
    awake = [machine for machine in change.machines if not machine.is_off]
    if awake:
        raise power_errors.not_stopped(ec2, change.machines, change.failed.values(), timeout=timeout)
    if lost := [failure.machine for failure in change.failed.values()]:
        raise power_errors.gone(lost, doing="stopped")
    return change.machines
