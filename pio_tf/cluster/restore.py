"""What an apply has started is stopped again: the power is as it was before, or noted for who comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.cluster.base import short
from pio_tf.cluster.deadline import DeadlineWork
from pio_tf.cluster.power_note import PowerNote
from pio_tf.cluster.unproved import interrupted
from pio_tf.errors import AwsError, Locked, MachinesMayBeRunning, PioTfError
from pio_tf.events import Step, Warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.model import Machine


class ApplyGuard:
    """One apply, from before its plan to its end. What is known of it goes with it, and not with the cluster's object,
    which may live through many.

    Args:
        note: where the power is noted once it begins.
        there: the machines that there are before it.
    """

    def __init__(self, note: PowerNote, there: Sequence[Machine]) -> None:
        self.there = there
        self.before = note.before(there)
        self.has_begun = False
        """Whether Terraform was told to change something."""
        self._note = note

    def begin(self) -> None:
        """Before Terraform is told to change something.

        Raises:
            ConfigError: there is no place for the note.
        """
        self._note.keep(self.before)
        self.has_begun = True


class RestoreWork(DeadlineWork):
    """A cluster whose power an apply does not change."""

    def _one_apply(self, there: Sequence[Machine]) -> ApplyGuard:
        """An apply that is about to be planned.

        Args:
            there: the machines that AWS has with the cluster's tag.
        """
        return ApplyGuard(self._power_note, there)

    def _restore(self, one_apply: ApplyGuard, *, failed: BaseException | None = None) -> None:
        """As :meth:`_restore_power`; where that is interrupted, what it had to stop is told."""
        try:
            self._restore_power(one_apply, failed=failed)
        except KeyboardInterrupt as error:
            left = one_apply.before.started(self._still_awake() or (), and_new=failed is not None)
            if not left:
                raise
            raise interrupted(self.config, left) from error

    def _restore_power(self, one_apply: ApplyGuard, *, failed: BaseException | None = None) -> None:
        """Stop what an apply has started: what was stopped, and where it has failed, what it has made, too."""
        if isinstance(failed, Locked) and "id" in failed.details:
            return  # another Terraform is at work, whose machines change still
        if failed is not None and not one_apply.has_begun and not one_apply.before.of_another:
            return  # nothing was changed: what has been started meanwhile is somebody else's
        try:
            machines = self._machines(None)
        except AwsError as error:
            if failed is None or not one_apply.has_begun:
                raise
            raise MachinesMayBeRunning(
                "the apply has ended amid its work, and nobody knows which machines it has left running",
                cause=f"before that: {failed if not isinstance(failed, PioTfError) else short(failed)}\n"
                f"       looking: {short(error)}",
                next_step="; ".join(filter(None, [error.next_step, "then `pio-tf down`"])),
                details=error.details,
            ) from failed
        started = one_apply.before.started(machines, and_new=failed is not None)
        if started and one_apply.before.of_another and not self._is_free(machines):
            self._power_note.end()  # somebody else has come to need them
            started = []
        if started:
            names_of = ", ".join(machine.name for machine in started)
            self._report(Step(f"Stopping again what Terraform started: {names_of}"))
            try:
                self._stop(started)
            except MachinesMayBeRunning as left:
                if isinstance(failed, PioTfError):
                    left.cause = f"before that: {short(failed)}\n       stopping: {left.cause}"
                raise left from failed
        self._power_note.end()
        running = sum(machine.is_on for machine in machines) - len(started)
        if running:
            said = "1 machine runs" if running == 1 else f"{running} machines run"
            self._report(Warned(f"{said}, and cost: `pio-tf down` stops them"))
        elif self._wanted is not None:
            self._let_go_of_deadline()

    def _is_free(self, machines: Sequence[Machine]) -> bool:
        """Whether no run is active, as far as the driver says."""
        awake = [machine for machine in machines if machine.state == "running"]
        if not any(machine.role == "driver" for machine in awake):
            return True
        try:
            self._ask(awake, lambda driver: driver.refuse_active("stopping what an apply has started"))
        except PioTfError as error:
            self._report(Warned(f"what an apply that was cut off has started is left running: {short(error)}"))
            return False
        return True

    @property
    def _power_note(self) -> PowerNote:
        return PowerNote(self.config.work_dir / "power-before-apply.json")
