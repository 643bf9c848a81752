"""What is said where nobody can prove that a cluster's machines are off: which, why, and how to stop them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.errors import MachinesMayBeRunning, PioTfError
from pio_tf.machines.inventory import RIGHT_STATE
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine


def short(error: PioTfError) -> str:
    """Return an error in one line, without its next step."""
    return f"{error.what} ({error.cause})" if error.cause else error.what


def names(machines: Sequence[Machine]) -> str:
    """Return ``worker-1 (i-0123, running), …``."""
    return ", ".join(f"{machine.name} ({machine.instance_id}, {machine.state})" for machine in machines)


def unanswered(config: Config, awake: Sequence[Machine], error: PioTfError) -> MachinesMayBeRunning:
    """The driver runs and does not answer: nobody knows whether a run is active."""
    return MachinesMayBeRunning(
        "not stopped: the driver does not answer, and a run may be active on it",
        cause=f"{short(error)}\n       not stopped are {names(awake)}",
        next_step="`pio-tf down --force` stops the machines whatever goes on there; or, "
        f"{error.next_step or 'try again'}; by hand: {AwsCliHints.of(config).stop_machines(awake)}",
        details={"machines": [machine.instance_id for machine in awake], **error.details},
    )


def unknown(config: Config, ids: Sequence[str], error: PioTfError | None) -> MachinesMayBeRunning:
    """AWS can't be asked which machines run.

    Args:
        ids: those of the cluster, as far as they are known.
        error: why; None: Ctrl-C.
    """
    name, by_hand = config.cluster.name, AwsCliHints.of(config)
    command = by_hand.stop(ids) if ids else by_hand.stop_cluster(name)
    return MachinesMayBeRunning(
        f"not stopped: nobody knows which of {name}'s {f'{len(ids)} ' if ids else ''}machines run",
        cause=short(error) if error else "interrupted before AWS has said it",
        next_step=f"{error.next_step + '; then ' if error and error.next_step else ''}`pio-tf down`, or {command}",
        details={"machines": list(ids), **(error.details if error else {})},
    )


def not_ours(config: Config, machines: Sequence[Machine]) -> MachinesMayBeRunning:
    """Terraform's outputs name machines that run, and that do not carry this cluster's tag: none of them was touched.

    What is another cluster's is not for this one to stop by hand either.
    """
    lost = [machine for machine in machines if not machine.cluster]
    theirs = [machine for machine in machines if machine.cluster]
    causes, advice = [], []
    if lost:
        causes.append(f"without the tag {CLUSTER_TAG} {'is' if len(lost) == 1 else 'are'} {names(lost)}")
        by_hand = AwsCliHints.of(config).stop_machines(lost)
        advice.append(f"`pio-tf apply` puts the tag back, then `pio-tf down`; or by hand: {by_hand}")
    causes += [f"{names([machine])} is tagged for {machine.cluster}" for machine in theirs]
    if theirs:
        advice.append(RIGHT_STATE)
    return MachinesMayBeRunning(
        f"not stopped: {names(machines)}",
        cause=f"Terraform's outputs name them, but only what carries {config.cluster.name}'s tag is touched: "
        + "; ".join(causes),
        next_step="; ".join(advice),
        details={"machines": [machine.instance_id for machine in machines]},
    )


def interrupted(config: Config, machines: Sequence[Machine]) -> MachinesMayBeRunning:
    """Ctrl-C while machines were being stopped, by a command that does not go on to stop them.

    Args:
        machines: those that were not stopped when they were seen last.
    """
    return MachinesMayBeRunning(
        f"machines that are not proved to be stopped, and may cost money: {names(machines)}",
        cause="interrupted before AWS said that they are",
        next_step="`pio-tf down` stops what runs, and proves it; by hand: "
        + AwsCliHints.of(config).stop([machine.instance_id for machine in machines]),
        details={"machines": [machine.instance_id for machine in machines]},
    )


def not_destroyed(config: Config, machines: Sequence[Machine], error: PioTfError | None) -> MachinesMayBeRunning:
    """A destruction has ended amid its work, perhaps without the deadline's role and the alarms, and machines run.

    Args:
        error: what has ended it; None: Ctrl-C.
    """
    next_step = "`pio-tf destroy` goes on, `pio-tf down` stops them meanwhile; by hand: " + AwsCliHints.of(
        config
    ).stop_machines(machines)
    return MachinesMayBeRunning(
        f"machines of {config.cluster.name} still run, and cost money: {names(machines)}",
        cause=f"destroying them: {short(error) if error else 'interrupted'}\n"
        "       what stops machines without a client may be gone already: their deadline's role, their alarms",
        next_step="; ".join(filter(None, [error.next_step if error else "", next_step])),
        details={"machines": [machine.instance_id for machine in machines], **(error.details if error else {})},
    )
