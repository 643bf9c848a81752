"""One family of errors. Each says what happened, why, and what to do next, and has an exit code.

::

    PioTfError                1   any error without a code of its own
    ├── ConfigError           2   a mistake in pio-tf.hcl or an option; nothing was done
    ├── AwsError              1   a failed AWS call (credentials, permission, a limit, a missing resource)
    ├── TerraformError        1   Terraform is missing, too old, or failed
    ├── RemoteError           1   an unreachable machine, or a command that failed on one
    ├── SandboxError          1   the sandbox is not running, or could not start
    ├── GuardRefused          3   the plan breaks a rule of the guard, or is a saved plan that is stale or foreign
    ├── Locked                4   another client is working on this cluster
    ├── NotReady              5   the cluster did not become ready in time, or a check before training failed
    ├── TrainingFailed        6   the training ended without a model, or with one that fails the checks
    ├── MachinesMayBeRunning  7   machines could not be stopped, or AWS has not confirmed that they stopped
    └── Interrupted         130   Ctrl-C (130), SIGTERM (143), a closed terminal (129), a log whose reader is gone (141)

The command line catches them once, at its edge (:mod:`pio_tf.cli.main`). Nothing else in the package prints or exits.
"""

from __future__ import annotations


class PioTfError(Exception):
    """An error that a user can act on.

    Args:
        what: what happened, in one sentence that names the thing (machine, file and line, resource).
        cause: why, if known.
        next_step: what the user can do about it.
        details: facts for programs (machine, state, address, exit code); shown by ``--json``.
    """

    exit_code: int = 1

    def __init__(
        self, what: str, *, cause: str = "", next_step: str = "", details: dict[str, object] | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.next_step = next_step
        self.details = details or {}

    def __str__(self) -> str:
        lines = [self.what]
        if self.cause:
            lines.append(f"cause: {self.cause}")
        if self.next_step:
            lines.append(f"next:  {self.next_step}")
        return "\n".join(lines)


class ConfigError(PioTfError):
    """A mistake in pio-tf.hcl or an option; nothing was started or changed."""

    exit_code = 2


class AwsError(PioTfError):
    """A failed AWS call."""


class TerraformError(PioTfError):
    """A Terraform that is missing, too old, or ended with an error."""


class RemoteError(PioTfError):
    """A machine that SSH could not reach, or a command that failed on it."""


class SandboxError(PioTfError):
    """A sandbox that is not running, or could not start."""


class GuardRefused(PioTfError):
    """A plan that breaks a rule of the guard, or a saved plan that is stale or for another cluster.

    The guard refuses, for example, to delete, replace or duplicate a machine, a disk or an address.
    """

    exit_code = 3


class Locked(PioTfError):
    """A lock that another client holds, because it is working on this cluster."""

    exit_code = 4


class NotReady(PioTfError):
    """A cluster that did not become ready in time, or a failed check before training."""

    exit_code = 5


class TrainingFailed(PioTfError):
    """A training that ended without a model, or with one that fails the checks of pio-tf.hcl."""

    exit_code = 6


class MachinesMayBeRunning(PioTfError):
    """Machines that could not be stopped, or that AWS has not confirmed as stopped; they may keep billing."""

    exit_code = 7


class Interrupted(PioTfError):
    """An interruption by the user or the system. The exit code is 128 + the signal's number."""

    exit_code = 130

    def __init__(self, what: str, *, signal_number: int = 2, cause: str = "", next_step: str = "") -> None:
        super().__init__(what, cause=cause, next_step=next_step, details={"signal": signal_number})
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
