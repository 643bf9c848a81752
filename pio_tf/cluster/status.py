"""How a cluster stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.cluster.apply_guard import PowerNote
from pio_tf.cluster.messages import names, warning
from pio_tf.events import Warned
from pio_tf.machines.inventory import IS_SPOT, LEAVE_SPOT

if TYPE_CHECKING:
    from datetime import datetime

    from pio_tf.cluster.created_stack import CreatedStack
    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import Fleet
    from pio_tf.cluster.named_machines import NamedMachines
    from pio_tf.cluster.scheduling import ScheduleStatus, Scheduling
    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine
    from pio_tf.training.runs.driver_runs import DriverState
    from pio_tf.training.runs.record import RunRecord
    from pio_tf.training.runs.run_storage import RunStorage


class ClusterStatus(Struct, frozen=True):
    """The result of ``status``."""

    cluster: str
    created: bool
    """True if Terraform has outputs: the cluster has been created."""
    machines: tuple[Machine, ...]
    alive: frozenset[str] | None
    """Private addresses of the workers that Spark's master counts as ALIVE; None: it could not be asked."""
    run: str = ""
    """The run that is active, or being prepared; empty: none, or the driver could not be asked."""
    deadline: datetime | None = None
    """When AWS stops the machines, UTC; None: there is none, nothing runs, or AWS could not be asked."""
    driver: DriverState | None = None
    """What the driver says, also about when the machines stop themselves; None: it could not be asked."""
    schedule: ScheduleStatus | None = None
    """The schedule of trainings; None: there is none, or AWS could not be asked."""

    @property
    def without_timer(self) -> list[str] | None:
        """Names of running machines that do not stop by themselves after the driver; None: it could not be asked."""
        if self.driver is None:
            return None
        followers = [
            machine.name for machine in self.machines if machine.state == "running" and machine.role != "driver"
        ]
        return [name for name in followers if name not in self.driver.followers]

    def spark_alive(self, machine: Machine) -> bool | None:
        """Return whether Spark has this worker; None for other roles, and if it is not known."""
        if machine.role != "worker" or self.alive is None:
            return None
        return machine.private_ip in self.alive


class Status(Struct, frozen=True):
    """How one cluster stands, as one command asks for it."""

    context: ClusterContext
    fleet: Fleet
    deadline: Deadline
    driver: Driver
    created: CreatedStack | NamedMachines
    storage: RunStorage
    scheduling: Scheduling

    def now(self) -> ClusterStatus:
        """Return the machines and their power, and which workers Spark has. Change nothing."""
        outputs = self.created.outputs_if_any()
        view = self.fleet.look(outputs, strict=False)
        self.fleet.warn_of_untagged(outputs, view)
        for machine in view.machines:
            if machine.spot:
                self.context.report(Warned(f"{machine.name} ({machine.instance_id}) {IS_SPOT}; {LEAVE_SPOT}"))
        self.fleet.warn_of_types(view)
        note = PowerNote.of(self.context.config).left()
        started = note.started(view.machines, and_new=True) if note else []
        if started:
            self.context.report(
                Warned(f"an interrupted apply has left running: {names(started)}; `pio-tf down` stops them")
            )
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(self.deadline.ask) if view.not_off else None
            alive, driver = self.driver.ask_spark(view)
        deadline = self.deadline.find_if_known(view, asked.result) if asked else None
        if deadline is None:
            self.deadline.report_missed(view)
        if driver:
            self.driver.warn_of_models(run.to_record() for run in driver.runs)
        schedule: ScheduleStatus | None = None
        if self.context.config.schedule is not None:
            with warning(self.context.report, "could not find the schedule of trainings"):
                schedule = self.scheduling.status(view, self._runs(driver), driver)
        return ClusterStatus(
            self.context.config.cluster.name,
            outputs is not None,
            view.machines,
            alive,
            run=driver.holder.run if driver and driver.holder else "",
            deadline=deadline,
            driver=driver,
            schedule=schedule,
        )

    def schedule(self) -> ScheduleStatus | None:
        """Return the schedule of trainings, and what came of its last time; None if there is none. Change nothing."""
        view = self.fleet.look(self.created.outputs(), strict=False)
        _, driver = self.driver.ask_spark(view)
        return self.scheduling.status(view, self._runs(driver), driver)

    def _runs(self, driver: DriverState | None) -> tuple[RunRecord, ...]:
        """Return the runs of the driver, if it was asked, and of other places."""
        return self.storage.runs({run.id: run.to_record() for run in driver.runs} if driver else {})
