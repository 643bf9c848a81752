"""The errors of a start or stop: each machine by name, id and state, why it failed, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.errors import CAPACITY_ADVICE, NO_CAPACITY, QUOTA, client_details, error_code, error_message
from pio_tf.errors import AwsError, MachinesMayBeRunning, NotReady, PioTfError
from pio_tf.model import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from botocore.exceptions import ClientError
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from pio_tf.model import Machine

_LISTED: Final = 20
"""Machines that a sentence names; ``details`` has all."""


class Failure(Struct, frozen=True):
    """One machine that did not start or stop."""

    machine: Machine
    reason: str
    code: str = ""
    details: dict[str, object] | None = None
    types: tuple[str, ...] = ()
    """The instance types that it was tried with; empty: its own."""


def label(machine: Machine) -> str:
    """Return ``worker-1 (i-0123)``."""
    return machine.name if machine.name == machine.instance_id else f"{machine.name} ({machine.instance_id})"


def failure_from(machine: Machine, error: ClientError) -> Failure:
    """Return the failure of a machine after AWS refused the call."""
    code, message = error_code(error), error_message(error)
    return Failure(machine, f"{code}: {message}" if message else code, code, client_details(error))


def start_failed(machine: Machine, instance: InstanceTypeDef) -> Failure:
    """Return the failure of a machine whose start AWS accepted, and which is stopped again."""
    reason = instance.get("StateReason", {})
    code = reason.get("Code", "").rpartition(".")[2]  # "Server.InsufficientInstanceCapacity"
    message = reason.get("Message") or instance.get("StateTransitionReason") or "AWS gives no reason"
    return Failure(machine, f"AWS stopped it again while it was starting: {message}", code)


def lacking(failures: Iterable[Failure]) -> str:
    """Return what AWS has no capacity for, by type and zone: ``r3.xlarge in eu-west-1a (worker-1, worker-2)``."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    for one in failures:
        kinds = " or ".join(one.types or [one.machine.instance_type])
        by_kind.setdefault((kinds, one.machine.zone), []).append(one.machine.name)
    return "; ".join(
        f"{kind}{f' in {zone}' if zone else ''} ({', '.join(names)})" for (kind, zone), names in by_kind.items()
    )


def already_terminated(machines: Sequence[Machine], *, doing: str) -> AwsError:
    """Return the error for machines that are, or are about to be, terminated."""
    return AwsError(
        f"terminated, so it can't be {doing}: {_list(map(label, machines))}",
        cause="another user or tool terminated it; pio-tf removes machines only with `pio-tf destroy`",
        next_step="`pio-tf plan` shows what Terraform would create again",
        details={"machines": [_facts(machine) for machine in machines]},
    )


def not_started(
    ec2: EC2Client, machines: Sequence[Machine], failures: Sequence[Failure], *, timeout: float
) -> NotReady:
    """Return the error for machines that do not run: AWS refused, or the time was up."""
    late = _without(failures, (machine for machine in machines if machine.state != "running"))
    running = len(machines) - len(late) - len(failures)
    without_capacity = [failure for failure in failures if failure.code in NO_CAPACITY]
    advice = [CAPACITY_ADVICE] if without_capacity else []
    if any(failure.code in QUOTA for failure in failures):
        advice.append("ask AWS for a higher quota of instances, or use fewer machines")
    if stuck := [machine for machine in late if machine.state == "stopping"]:
        command = AwsCliHints.of_client(ec2).stop_machines(stuck)
        advice.append(f"you can force a machine that stays in stopping: {command}")
    advice.append("`pio-tf up` tries again" + (f"; `pio-tf down` stops the {running} that run" if running else ""))
    causes = _causes(late, failures, timeout=timeout)
    details = _details(machines, failures)
    if without_capacity:
        details["lacking"] = lacking(without_capacity)
        causes = f"AWS has no capacity for {details['lacking']}; {causes}"
    return NotReady(
        f"{_count(late, failures, machines)} not running: {_states(late, failures)}",
        cause=causes,
        next_step="; ".join(advice),
        details=details,
    )


def not_stopped(
    ec2: EC2Client, machines: Sequence[Machine], failures: Sequence[Failure], *, timeout: float
) -> MachinesMayBeRunning:
    """Return the error for machines that are not stopped: AWS refused, or the time was up."""
    running = [machine for machine in machines if not machine.is_off]
    hints = AwsCliHints.of_client(ec2)
    late = _without(failures, running)
    advice = [
        f"AWS protects {label(failure.machine)} from stopping; remove the protection: "
        + hints.unprotect(failure.machine.instance_id)
        for failure in failures
        if "disableApiStop" in failure.reason
    ]
    advice += [
        f"{label(machine)} is a Spot instance: one of a one-time request can only be terminated, which removes its disk"
        for machine in (failure.machine for failure in failures)
        if machine.spot
    ]
    advice.append(f"`pio-tf down` tries again; or run: {hints.stop_machines(running)}")
    return MachinesMayBeRunning(
        f"{_count(running, [], machines)} not stopped, and may cost money: {_states(late, failures)}",
        cause=_causes(late, failures, timeout=timeout),
        next_step="; ".join(advice),
        details=_details(machines, failures),
    )


def may_be_running(ec2: EC2Client, machines: Sequence[Machine], *, cause: PioTfError) -> MachinesMayBeRunning:
    """Return the error for machines that did not appear stopped before AWS became unreachable."""
    running = [machine for machine in machines if not machine.is_off]
    return MachinesMayBeRunning(
        f"{len(running)} of {count(machines)} may be running, and cost money: {_states(running, [])}",
        cause=f"{cause.what}: {cause.cause}" if cause.cause else cause.what,
        next_step="; ".join(
            filter(
                None, [cause.next_step, f"then `pio-tf down`, or {AwsCliHints.of_client(ec2).stop_machines(running)}"]
            )
        ),
        details={**_details(machines, []), "error": cause.details},
    )


def _without(failures: Iterable[Failure], machines: Iterable[Machine]) -> list[Machine]:
    failed = {failure.machine.instance_id for failure in failures}
    return [machine for machine in machines if machine.instance_id not in failed]


def _count(some: Sequence[Machine], failures: Sequence[Failure], machines: Sequence[Machine]) -> str:
    """Return ``1 of 4 machines is``, ``2 of 4 machines are``."""
    number = len(some) + len(failures)
    return f"{number} of {count(machines)} {'is' if number == 1 else 'are'}"


def _states(late: Iterable[Machine], failures: Iterable[Failure]) -> str:
    machines = [*late, *(failure.machine for failure in failures)]
    return _list(f"{label(machine)} is {machine.state}" for machine in machines)


def _causes(late: Sequence[Machine], failures: Sequence[Failure], *, timeout: float) -> str:
    by_reason: dict[str, list[str]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure.machine.name)
    causes = [f"{_list(names)}: {reason}" for reason, names in by_reason.items()]
    if late:
        causes.append(f"{_list(machine.name for machine in late)}: not within {timeout:.0f} s")
    return "; ".join(causes)


def _list(items: Iterable[str]) -> str:
    items = list(items)
    more = len(items) - _LISTED
    return ", ".join(items[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _details(machines: Sequence[Machine], failures: Sequence[Failure]) -> dict[str, object]:
    failed = {
        failure.machine.instance_id: {"reason": failure.reason, "aws": failure.details or {"code": failure.code}}
        for failure in failures
    }
    return {"machines": [_facts(machine) | failed.get(machine.instance_id, {}) for machine in machines]}


def _facts(machine: Machine) -> dict[str, object]:
    return {"name": machine.name, "id": machine.instance_id, "type": machine.instance_type, "state": machine.state}
