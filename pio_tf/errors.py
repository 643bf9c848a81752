"""One family of errors. Each says what happened, why, and what to do next, and has an exit code.

::

    PioTfError                1   anything without a code of its own
    ├── ConfigError           2   pio-tf.hcl or an option is wrong; nothing was done
    ├── AwsError              1   an AWS call failed (credentials, permission, a limit, a missing thing)
    ├── TerraformError        1   Terraform is missing, too old, or failed
    ├── RemoteError           1   a machine could not be reached, or a command on it failed
    ├── SandboxError          1   the sandbox is not running, or could not start
    ├── GuardRefused          3   the plan breaks a rule of the guard, or is not the one that was kept for here
    ├── Locked                4   somebody else is working on this cluster
    ├── NotReady              5   the cluster did not become ready in time, or a check before training failed
    ├── TrainingFailed        6   the training ended without a model
    ├── MachinesMayBeRunning  7   machines could not be stopped, or it could not be proved that they are
    └── Interrupted         130   Ctrl-C (130), SIGTERM (143), a closed terminal (129), a log that nobody reads (141)

The command line catches them once, at its edge (:mod:`pio_tf.cli.main`); nothing else in the package prints or exits.
"""

from __future__ import annotations


class PioTfError(Exception):
    """An error that a user can act on.

    Args:
        what: what happened, in one sentence that names the thing (machine, file and line, resource).
        cause: why, where it is known.
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
    """pio-tf.hcl or an option is wrong; nothing was started or changed."""

    exit_code = 2


class AwsError(PioTfError):
    """An AWS call failed."""


class TerraformError(PioTfError):
    """Terraform is missing, too old, or ended with an error."""


class RemoteError(PioTfError):
    """A machine could not be reached over SSH, or a command on it failed."""


class SandboxError(PioTfError):
    """The sandbox is not running, or could not be started."""


class GuardRefused(PioTfError):
    """The plan would delete or replace a machine, a disk or an address, make a machine a second time or break another
    rule of the guard; or it is not the plan that was kept for here and now."""

    exit_code = 3


class Locked(PioTfError):
    """Another client is working on this cluster."""

    exit_code = 4


class NotReady(PioTfError):
    """The cluster did not become ready in time, or a check before training failed."""

    exit_code = 5


class TrainingFailed(PioTfError):
    """The training ended without a model."""

    exit_code = 6


class MachinesMayBeRunning(PioTfError):
    """Machines could not be stopped, or could not be proved stopped: somebody may be paying for them."""

    exit_code = 7


class Interrupted(PioTfError):
    """The user or the system ended the command: exit code 128 + the signal's number."""

    exit_code = 130

    def __init__(self, what: str, *, signal_number: int = 2, cause: str = "", next_step: str = "") -> None:
        super().__init__(what, cause=cause, next_step=next_step, details={"signal": signal_number})
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
