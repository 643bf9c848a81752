"""The machines around an apply: locked and their power noted before it, the power restored and the lock released after.

The run lock keeps other clients from training on machines that change. With the state in S3, it is the claim there, and
in any case the driver's own lock, if the driver runs.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.atomic_write import write_atomically
from pio_tf.cluster.messages import interrupted, short
from pio_tf.errors import AwsError, ConfigError, Locked, MachinesMayBeRunning, NotReady, PioTfError
from pio_tf.events import Step, Warned
from pio_tf.model import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from typing_extensions import Self

    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import Fleet, FleetView
    from pio_tf.config.schema import Config
    from pio_tf.context import ClusterContext
    from pio_tf.infra.plan import Plan
    from pio_tf.model import Machine


class PowerBefore(Struct, frozen=True):
    """The machines that existed before an apply, and those that ran, by id."""

    known: frozenset[str]
    on: frozenset[str]
    of_another: bool = False
    """True if an earlier, interrupted apply noted it."""

    @classmethod
    def of(cls, view: FleetView) -> PowerBefore:
        """Return the power of these machines."""
        known, on = (frozenset(machine.instance_id for machine in some) for some in (view.machines, view.on))
        return cls(known, on)

    def started(self, machines: Iterable[Machine], *, and_new: bool) -> list[Machine]:
        """Return the machines that are not off and did not run before: their deadline may be stopping one.

        Args:
            and_new: return also those that did not exist before.
        """
        return [
            machine
            for machine in machines
            if not machine.is_off
            and machine.instance_id not in self.on
            and (and_new or machine.instance_id in self.known)
        ]


class PowerNote:
    """The file ``.pio-tf/<cluster>/power-before-apply.json``, which exists while an apply is under way.

    A client that is killed can't put the power back. Its note tells the next one what it had started.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, config: Config) -> PowerNote:
        """Return the note of this cluster."""
        return cls(config.work_dir / "power-before-apply.json")

    def save(self, before: PowerBefore) -> None:
        """Write the note, before Terraform changes anything.

        Raises:
            ConfigError: the file can't be written.
        """
        if before.of_another:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._path, json.dumps({"known": sorted(before.known), "awake": sorted(before.on)}) + "\n")
        except OSError as error:
            raise ConfigError(
                f"could not write {self._path}, which notes the power of the machines before a change",
                cause=str(error.strerror),
                next_step="check what is in the way, the permissions and the free space: "
                f"ls -ld {self._path.parent}; df -h",
            ) from error

    def left(self) -> PowerBefore | None:
        """Return what an interrupted apply has noted; None: there is nothing."""
        try:
            raw = json.loads(self._path.read_text())
            return PowerBefore(frozenset(map(str, raw["known"])), frozenset(map(str, raw["awake"])), of_another=True)
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def remove(self) -> None:
        """Remove the note: the power is as it should be."""
        if self.left() is not None:  # or a directory that may not be written would be an error of every `down`
            self._path.unlink(missing_ok=True)


class ApplyGuard:
    """One apply, from before its plan to its end: it locks what the apply changes, and stops again what that started.

    As a context manager, it releases the lock at the end, after the machines have stopped.

    Args:
        view: the machines before the apply.
    """

    def __init__(
        self, context: ClusterContext, fleet: Fleet, deadline: Deadline, driver: Driver, view: FleetView
    ) -> None:
        self._context = context
        self._fleet = fleet
        self._deadline = deadline
        self._driver = driver
        self._note = PowerNote.of(context.config)
        # After an interrupted apply, restore the power from before that one.
        self._before = self._note.left() or PowerBefore.of(view)
        self._touched: frozenset[str] = frozenset()
        """Names of the machines that the plan creates or changes. Another client may start the others meanwhile."""
        self._has_begun = False
        """True if Terraform has an order to change something."""
        self._held = contextlib.ExitStack()
        self._holds_driver = False
        """True if this apply has the driver's lock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()

    def lock(self, plan: Plan) -> None:
        """Take the run lock if the plan creates or changes machines: it may stop those that it changes.

        New machines cut off no run, so that the driver is not asked for them.

        Raises:
            Locked: a run is, or may be, active, or another client starts the machines.
        """
        if plan.changed_machines or plan.new_machines:
            self._held.enter_context(self._driver.claimed())
        if not plan.changed_machines:
            return
        doing = f"changing {', '.join(plan.changed_machines)}"
        view = self._fleet.look()  # as they are now: planning takes long enough for a start
        driver = _driver_on(view)
        if driver is None:
            return
        if driver.state != "running":
            raise _would_cut_off_start(driver, doing)
        try:
            self._held.enter_context(self._driver.hold(view, lambda session: session.hold_for_change()))
        except Locked as error:
            error.what = f"{doing} would cut off a run: {error.what}" if error.details.get("run") else error.what
            raise
        except PioTfError as error:
            note = self._note.left()
            if note is not None and driver.instance_id not in note.known:
                return  # an interrupted apply of this client's has just created it, and nothing can run there yet
            raise Locked(
                f"did not change {', '.join(plan.changed_machines)}: the driver does not answer, and may have an "
                "active run",
                cause=short(error),
                next_step="`pio-tf down --force` stops the machines in any case; then try again",
                details=error.details,
            ) from error
        self._holds_driver = True

    def begin(self, plan: Plan) -> None:
        """Note the power, before Terraform changes anything.

        Raises:
            Locked: another client has started the driver since :meth:`lock`.
        """
        if not self._before.of_another:
            view = self._fleet.look()  # arming the deadline takes long enough for another client's start
            driver = _driver_on(view)
            if plan.changed_machines and driver is not None and not self._holds_driver:
                raise _would_cut_off_start(driver, f"changing {', '.join(plan.changed_machines)}")
            self._before = PowerBefore.of(view)
        self._touched = frozenset({*plan.changed_machines, *plan.new_machines})
        self._note.save(self._before)
        self._has_begun = True

    def restore(self, until: datetime | None, *, failed: BaseException | None = None) -> None:
        """Stop what the apply has started: machines that were stopped, and after a failure new ones, too.

        Args:
            until: the deadline of the apply. It is released if no machine runs in the end.
            failed: why the apply failed; None: it succeeded.

        Raises:
            MachinesMayBeRunning: some could not be stopped, or AWS can't be asked, or Ctrl-C has ended it.
        """
        try:
            self.stop_started(until, failed=failed)
        except KeyboardInterrupt as error:
            left = self._started(self._fleet.not_off() or (), and_new=failed is not None)
            if not left:
                raise
            raise interrupted(self._context.config, left) from error

    def stop_started(self, until: datetime | None, *, failed: BaseException | None) -> None:
        """Stop the started machines like :meth:`restore`, for a command that names what still runs after Ctrl-C."""
        if isinstance(failed, Locked) and "id" in failed.details:
            return  # another Terraform is at work, and still changes its machines
        if failed is not None and not self._has_begun and not self._before.of_another:
            return  # nothing was changed: another client has started the running machines
        why = short(failed) if isinstance(failed, PioTfError) else None
        try:
            view = self._fleet.look()
        except AwsError as error:
            if not self._has_begun or not (failed or self._touched or self._before.of_another):
                raise
            causes = [f"before that: {why or failed}"] if failed else []
            raise MachinesMayBeRunning(
                f"the apply {'was interrupted' if failed else 'succeeded'}, and pio-tf could not determine which "
                "machines it left running",
                cause="\n       ".join([*causes, f"looking: {short(error)}"]),
                next_step="; ".join(filter(None, [error.next_step, "then `pio-tf down`"])),
                details=error.details,
            ) from (failed or error)
        started = self._started(view.machines, and_new=failed is not None)
        if started and not self._is_free(view, started):
            started = []  # another client has come to need them
        if started:
            self._context.report(
                Step(f"Stopping the machines that Terraform started: {', '.join(machine.name for machine in started)}")
            )
            self._fleet.stop_after(why, started)
        self._note.remove()
        left = [machine for machine in view.on if machine not in started]
        if left:
            verb = "runs and is" if len(left) == 1 else "run and are"
            self._context.report(Warned(f"{count(left)} {verb} billed: `pio-tf down` stops them"))
        elif until is not None:
            self._deadline.release()

    def _started(self, machines: Iterable[Machine], *, and_new: bool) -> list[Machine]:
        """Return the machines that this apply has started, or an interrupted one before it."""
        before = self._before
        started = before.started(machines, and_new=and_new)
        if before.of_another:
            return started
        # If machines run that the plan leaves alone, another client has started the cluster, and needs all of it.
        untouched = any(one.is_on and one.name not in self._touched for one in started)
        needed = before.known if untouched else frozenset[str]()
        return [one for one in started if one.name in self._touched and one.instance_id not in needed]

    def _is_free(self, view: FleetView, started: Sequence[Machine]) -> bool:
        """Return whether no other client uses the machines, as far as the driver and the deadline say.

        A driver that was off has no lock to hold: another client may have come since Terraform started it.
        """
        of_another = self._before.of_another
        restarted = any(one.is_on and one.role == "driver" and one.instance_id in self._before.known for one in started)
        if self._holds_driver or not (view.driver_runs if of_another else restarted):
            return True
        try:
            if of_another:
                self._driver.refuse_active(view, "stopping the machines that an apply has started")
            elif not self._deadline.is_unchanged():
                raise NotReady("another client has set their deadline since", cause="", next_step="pio-tf status")
            else:
                self._driver.prepare_stop(view, force=False, driver_may_have_run=False)
        except PioTfError as error:
            which = "an interrupted apply" if of_another else "the apply"
            self._context.report(Warned(f"the machines that {which} has started keep running: {short(error)}"))
            return False
        return True


def _driver_on(view: FleetView) -> Machine | None:
    return next((machine for machine in view.on if machine.role == "driver"), None)


def _would_cut_off_start(driver: Machine, doing: str) -> Locked:
    return Locked(
        f"{doing} would cut off a start: the driver is {driver.state}",
        cause=f"another client is starting {driver.name} ({driver.instance_id})",
        next_step="wait until it runs (`pio-tf status`), or `pio-tf down` stops it; then try again",
    )
