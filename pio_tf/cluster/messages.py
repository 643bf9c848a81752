"""Errors of several commands: machines that may be running, with the way to stop them; and no Terraform."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.errors import ConfigError, GuardRefused, MachinesMayBeRunning, PioTfError
from pio_tf.events import Warned
from pio_tf.model import CLUSTER_TAG, RIGHT_STATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.model import Machine

_ONLY_POWER = (
    "`pio-tf up`, `train`, `check`, `status`, `runs`, `logs`, `ssh`, `cost`, `extend`, `down` and `ci cron` need no "
    "Terraform"
)


def short(error: PioTfError) -> str:
    """Return an error in one line, without its next step."""
    return f"{error.what} ({error.cause})" if error.cause else error.what


def names(machines: Sequence[Machine]) -> str:
    """Return ``worker-1 (i-0123, running), …``."""
    return ", ".join(f"{machine.name} ({machine.instance_id}, {machine.state})" for machine in machines)


@contextmanager
def warning(report: Reporter, what: str, *, but: type[PioTfError] | tuple[()] = ()) -> Iterator[None]:
    """Report an error of the block as a warning that begins with ``what``, and continue; but let one kind pass."""
    try:
        yield
    except but:
        raise
    except PioTfError as error:
        report(Warned(f"{what}: {short(error)}"))


def unanswered(config: Config, machines: Sequence[Machine], error: PioTfError) -> MachinesMayBeRunning:
    """Return the error for a driver that runs and does not answer: it may have an active run."""
    return MachinesMayBeRunning(
        "did not stop the machines: the driver does not answer, and may have an active run",
        cause=f"{short(error)}\n       not stopped: {names(machines)}",
        next_step="`pio-tf down --force` stops the machines in any case; or, "
        f"{error.next_step or 'try again'}; or, with the AWS CLI: {AwsCliHints.of(config).stop_machines(machines)}",
        details={"machines": [machine.instance_id for machine in machines], **error.details},
    )


def unknown(config: Config, ids: Sequence[str], error: PioTfError | None) -> MachinesMayBeRunning:
    """Return the error for machines that AWS can't be asked about.

    Args:
        ids: those of the cluster, as far as they are known.
        error: why; None: Ctrl-C.
    """
    name, hints = config.cluster.name, AwsCliHints.of(config)
    command = hints.stop(ids) if ids else hints.stop_cluster(name)
    return MachinesMayBeRunning(
        f"could not determine which {f'of the {len(ids)} ' if ids else ''}machines of {name} are running",
        cause=short(error) if error else "interrupted before AWS answered",
        next_step=f"{error.next_step + '; then ' if error and error.next_step else ''}`pio-tf down`, or {command}",
        details={"machines": list(ids), **(error.details if error else {})},
    )


def not_ours(config: Config, machines: Sequence[Machine]) -> MachinesMayBeRunning:
    """Return the error for machines of Terraform's outputs that run and do not carry this cluster's tag.

    pio-tf has touched none of them.
    """
    cause, advice = _why_not_ours(config, machines)
    if config.power_only:
        why = "the machines block names them, but pio-tf touches no machine of another cluster"
    else:
        why = f"Terraform's outputs name them, but pio-tf touches only what carries the tag of {config.cluster.name}"
    return MachinesMayBeRunning(
        f"did not stop {names(machines)}",
        cause=f"{why}: {cause}",
        next_step=advice,
        details={"machines": [machine.instance_id for machine in machines]},
    )


def not_covered(config: Config, machines: Sequence[Machine]) -> str:
    """Return the warning of the same machines before their stop."""
    cause, advice = _why_not_ours(config, machines)
    where = "the machines block" if config.power_only else "Terraform's outputs"
    return f"neither pio-tf nor a deadline stops a machine of {where}: {cause}. {advice}"


def _why_not_ours(config: Config, machines: Sequence[Machine]) -> tuple[str, str]:
    """Return why pio-tf does not stop machines, and what to do.

    A machine of another cluster is not for this one to stop with the AWS CLI either.
    """
    untagged = [machine for machine in machines if not machine.cluster]
    foreign = [machine for machine in machines if machine.cluster]
    causes, advice = [], []
    if untagged:
        causes.append(f"{names(untagged)} {'lacks' if len(untagged) == 1 else 'lack'} the tag {CLUSTER_TAG}")
        command = AwsCliHints.of(config).stop_machines(untagged)
        advice.append(f"`pio-tf apply` restores the tag, then `pio-tf down`; or, with the AWS CLI: {command}")
    causes += [f"{names([machine])} is tagged for {machine.cluster}" for machine in foreign]
    if foreign:
        other = "remove them from the machines block, or use that cluster's pio-tf.hcl"
        advice.append(other if config.power_only else RIGHT_STATE)
    return "; ".join(causes), "; ".join(advice)


def interrupted(config: Config, machines: Sequence[Machine]) -> MachinesMayBeRunning:
    """Return the error for machines whose stop AWS had not confirmed when Ctrl-C ended the command."""
    command = AwsCliHints.of(config).stop([machine.instance_id for machine in machines])
    return MachinesMayBeRunning(
        f"AWS has not confirmed that these machines are stopped, and they may be billed: {names(machines)}",
        cause="interrupted before that",
        next_step=f"`pio-tf down` stops all machines and waits until AWS confirms it; or, with the AWS CLI: {command}",
        details={"machines": [machine.instance_id for machine in machines]},
    )


def refuse_protected(config: Config, machines: Sequence[Machine]) -> None:
    """Refuse to destroy machines that AWS protects against termination: others would be removed, and they not.

    Raises:
        GuardRefused: there is one.
    """
    if not machines:
        return
    option = "machines.termination_protection"
    asked = config.machines.termination_protection
    raise GuardRefused(
        f"AWS refuses to terminate {names(machines)}: nothing was changed",
        cause=f"{config.where(option)}: {option} is true"
        if asked
        else f"their termination protection is on, though {option} is not: it was changed in AWS",
        next_step=(f"set {option} to false, " if asked else "") + "run `pio-tf apply`, then `pio-tf destroy` again",
        details={"machines": [machine.instance_id for machine in machines]},
    )


def not_destroyed(config: Config, machines: Sequence[Machine], error: PioTfError | None) -> MachinesMayBeRunning:
    """Return the error for machines that run after a destruction that failed; ``error`` None: Ctrl-C ended it."""
    next_step = (
        "`pio-tf destroy` continues, `pio-tf down` stops them meanwhile; or, with the AWS CLI: "
        + AwsCliHints.of(config).stop_machines(machines)
    )
    return MachinesMayBeRunning(
        f"machines of {config.cluster.name} still run and are billed: {names(machines)}",
        cause=f"destroying them: {short(error) if error else 'interrupted'}\n"
        "       the role of their deadline and their alarms may be gone already: then only a client stops them",
        next_step="; ".join(filter(None, [error.next_step if error else "", next_step])),
        details={"machines": [machine.instance_id for machine in machines], **(error.details if error else {})},
    )


def without_terraform(config: Config, what: str) -> ConfigError:
    """Return the error for a command that can't work with machines that Terraform does not know.

    Args:
        what: what the command does, in the third person: ``works with Terraform``.
    """
    return ConfigError(
        f"{config.where('machines.driver')}: this command {what}, but the machines of {config.cluster.name} are "
        "instances that exist already",
        cause="pio-tf.hcl names them by their ids: pio-tf starts, uses and stops them, and there is no Terraform",
        next_step=f"set machines.terraform = true, and `pio-tf plan` shows what Terraform would add; {_ONLY_POWER}",
    )


def for_new_machines(config: Config, what: str) -> ConfigError:
    """Return the error for a command that is about the software which pio-tf installs on machines of its own.

    Args:
        what: what the command does, in the third person: ``installs software``.
    """
    return ConfigError(
        f"{config.where('machines.driver')}: this command {what}, but the machines of {config.cluster.name} are "
        "instances that exist already",
        cause="pio-tf leaves the software of such machines as it is",
        next_step="install it as you did before; with failsafe.self_stop = true, the next `pio-tf up` or `train` "
        "installs the timers with which the machines power themselves off",
    )
