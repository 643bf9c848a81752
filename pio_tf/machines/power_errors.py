"""What is said when machines did not start or stop: each by name, id and state, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.errors import CAPACITY_ADVICE, NO_CAPACITY, QUOTA, client_details, error_code, error_message
from pio_tf.errors import AwsError, MachinesMayBeRunning, NotReady, PioTfError
from pio_tf.machines.capacity import lacking

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from botocore.exceptions import ClientError
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from pio_tf.model import Machine

_LISTED: Final = 20
"""Machines that are named in a sentence; ``details`` has all."""


@dataclass(frozen=True)
class Failure:
    """One machine that could not be switched."""

    machine: Machine
    reason: str
    code: str = ""
    details: dict[str, object] | None = None


def label(machine: Machine) -> str:
    """``worker-1 (i-0123)``."""
    return machine.name if machine.name == machine.instance_id else f"{machine.name} ({machine.instance_id})"


def failure_from(machine: Machine, error: ClientError) -> Failure:
    """The failure of a machine for which AWS refused the call."""
    code, message = error_code(error), error_message(error)
    return Failure(machine, f"{code}: {message}" if message else code, code, client_details(error))


def start_failed(machine: Machine, instance: InstanceTypeDef) -> Failure:
    """The failure of a machine whose start AWS accepted, and which is stopped again."""
    reason = instance.get("StateReason", {})
    code = reason.get("Code", "").rpartition(".")[2]  # "Server.InsufficientInstanceCapacity"
    message = reason.get("Message") or instance.get("StateTransitionReason") or "AWS gives no reason"
    return Failure(machine, f"AWS stopped it again while it was starting: {message}", code)


def gone(machines: Sequence[Machine], *, doing: str) -> AwsError:
    """Machines that are, or are about to be, terminated."""
    return AwsError(
        f"terminated, so it can't be {doing}: {_list(map(label, machines))}",
        cause="somebody else has terminated it; pio-tf removes machines with `pio-tf destroy` only",
        next_step="`pio-tf plan` shows what Terraform would create again",
        details={"machines": [_facts(machine) for machine in machines]},
    )


def not_started(
    ec2: EC2Client, machines: Sequence[Machine], failures: Iterable[Failure], *, timeout: float
) -> NotReady:
    """Some machines are not running: AWS refused, or the time was over."""
    failures = list(failures)
    failed = {failure.machine.instance_id for failure in failures}
    late = [m for m in machines if m.state != "running" and m.instance_id not in failed]
    running = len(machines) - len(late) - len(failed)
    advice = []
    without_room = [failure.machine for failure in failures if failure.code in NO_CAPACITY]
    if without_room:
        advice.append(CAPACITY_ADVICE)
    if any(failure.code in QUOTA for failure in failures):
        advice.append("ask AWS for a higher quota of instances, or use fewer machines")
    if stuck := [machine for machine in late if machine.state == "stopping"]:
        advice.append(
            f"a machine that stays in stopping can be forced: {AwsCliHints.of_client(ec2).stop_machines(stuck)}"
        )
    advice.append("`pio-tf up` tries again" + (f"; `pio-tf down` stops the {running} that run" if running else ""))
    return NotReady(
        f"{len(late) + len(failed)} of {len(machines)} machines are not running: {_list(_states(late, failures))}",
        cause="; ".join(
            filter(
                None,
                [
                    f"AWS has no capacity for {lacking(without_room)}" if without_room else "",
                    _causes(late, failures, timeout=timeout),
                ],
            )
        ),
        next_step="; ".join(advice),
        details={**_details(machines, failures), **({"lacking": lacking(without_room)} if without_room else {})},
    )


def not_stopped(
    ec2: EC2Client, machines: Sequence[Machine], failures: Iterable[Failure], *, timeout: float
) -> MachinesMayBeRunning:
    """Some machines are not stopped: AWS refused, or the time was over."""
    failures = list(failures)
    failed = {failure.machine.instance_id for failure in failures}
    awake = [m for m in machines if not m.is_off]
    by_hand = AwsCliHints.of_client(ec2)
    late = [m for m in awake if m.instance_id not in failed]
    advice = [
        f"AWS protects {label(failure.machine)} from being stopped; lift that with: "
        + by_hand.unprotect(failure.machine.instance_id)
        for failure in failures
        if "disableApiStop" in failure.reason
    ]
    advice += [
        f"{label(machine)} is a Spot instance: one of a one-time request can only be terminated, which removes its disk"
        for machine in (failure.machine for failure in failures)
        if machine.spot
    ]
    advice.append(f"`pio-tf down` tries again; by hand: {by_hand.stop_machines(awake)}")
    return MachinesMayBeRunning(
        f"{len(awake)} of {len(machines)} machines are not stopped, and may cost money: "
        f"{_list(_states(late, failures))}",
        cause=_causes(late, failures, timeout=timeout),
        next_step="; ".join(advice),
        details=_details(machines, failures),
    )


def may_be_running(ec2: EC2Client, machines: Sequence[Machine], *, cause: PioTfError) -> MachinesMayBeRunning:
    """AWS can't be asked any more, and some machines were not stopped when it was last."""
    awake = [m for m in machines if not m.is_off]
    return MachinesMayBeRunning(
        f"{len(awake)} of {len(machines)} machines may be running, and cost money: {_list(_states(awake, []))}",
        cause=f"{cause.what}: {cause.cause}" if cause.cause else cause.what,
        next_step="; ".join(
            filter(None, [cause.next_step, f"then `pio-tf down`, or {AwsCliHints.of_client(ec2).stop_machines(awake)}"])
        ),
        details={**_details(machines, []), "error": cause.details},
    )


def _states(late: Iterable[Machine], failures: Iterable[Failure]) -> list[str]:
    everybody = [*late, *(failure.machine for failure in failures)]
    return [f"{label(machine)} is {machine.state}" for machine in everybody]


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
    failed = {failure.machine.instance_id: failure for failure in failures}
    return {
        "machines": [
            _facts(machine)
            | (
                {"reason": failure.reason, "aws": failure.details or {"code": failure.code}}
                if (failure := failed.get(machine.instance_id))
                else {}
            )
            for machine in machines
        ]
    }


def _facts(machine: Machine) -> dict[str, object]:
    return {"name": machine.name, "id": machine.instance_id, "type": machine.instance_type, "state": machine.state}
