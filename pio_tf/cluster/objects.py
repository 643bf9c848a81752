"""The objects of one command, put together."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.cluster.messages import without_terraform

if TYPE_CHECKING:
    from pio_tf.cluster.created_stack import CreatedStack
    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.engine import EngineOnDriver
    from pio_tf.cluster.fleet import Fleet
    from pio_tf.cluster.model import ModelsOfEngine
    from pio_tf.cluster.named_machines import MachineSource, NamedMachines
    from pio_tf.cluster.power import Power
    from pio_tf.cluster.resize import Resizer
    from pio_tf.cluster.scheduling import Scheduling
    from pio_tf.cluster.stack import Stack
    from pio_tf.cluster.status import Status
    from pio_tf.context import ClusterContext
    from pio_tf.machines.deadline_schedule import ScheduledDeadline
    from pio_tf.training.driver_session import SessionOpener
    from pio_tf.training.runs.run_storage import RunStorage


class ClusterObjects:
    """The objects that one command works with, and that end with it.

    Each is made, and its module imported, when it is first asked for: most commands need few of them.

    Args:
        started, armed: what an earlier command of this program has started and armed.
    """

    def __init__(
        self,
        context: ClusterContext,
        open_session: SessionOpener | None,
        *,
        started: frozenset[str] = frozenset(),
        armed: ScheduledDeadline | None = None,
    ) -> None:
        self.context = context
        self._open_session = open_session
        self._started = started
        self._armed = armed

    @cached_property
    def storage(self) -> RunStorage:
        """The runs that this computer and the state's bucket know."""
        from pio_tf.training.runs.run_storage import RunStorage

        return RunStorage(
            self.context, report_driver=lambda: ClusterObjects(self.context, self._open_session).driver.report()
        )

    @cached_property
    def fleet(self) -> Fleet:
        """The machines."""
        from pio_tf.cluster.fleet import Fleet

        return Fleet(self.context, started=self._started)

    @cached_property
    def deadline(self) -> Deadline:
        """The time at which AWS stops the machines."""
        from pio_tf.cluster.deadline import Deadline

        return Deadline(self.context, self.fleet, armed=self._armed)

    @cached_property
    def scheduling(self) -> Scheduling:
        """The trainings on AWS's clock."""
        from pio_tf.cluster.scheduling import Scheduling

        return Scheduling(self.context, self.fleet, self.deadline)

    @cached_property
    def driver(self) -> Driver:
        """The driver, over SSH."""
        from pio_tf.cluster.driver import Driver

        return Driver(self.context, self.fleet, self.deadline, self.storage, self.scheduling, self._open_session)

    @cached_property
    def engine(self) -> EngineOnDriver:
        """The engine on the driver."""
        from pio_tf.cluster.engine import EngineOnDriver

        return EngineOnDriver(self.context, self.fleet, self.driver)

    @cached_property
    def models(self) -> ModelsOfEngine:
        """The models of the engine."""
        from pio_tf.cluster.model import ModelsOfEngine

        return ModelsOfEngine(self.context, self.driver)

    @cached_property
    def named(self) -> NamedMachines:
        """The instances that pio-tf.hcl names."""
        from pio_tf.cluster.named_machines import NamedMachines

        return NamedMachines(self.context, self.fleet, self.deadline)

    @cached_property
    def created(self) -> CreatedStack | NamedMachines:
        """The machines of the last apply, or those that pio-tf.hcl names."""
        if self.context.config.power_only:
            return self.named
        from pio_tf.cluster.created_stack import CreatedStack

        return CreatedStack(self.context, self.context.report)

    @cached_property
    def source(self) -> MachineSource:
        """The stack, or the machines that pio-tf.hcl names."""
        return self.named if self.context.config.power_only else self.stack

    @cached_property
    def power(self) -> Power:
        """The power of the machines."""
        from pio_tf.cluster.power import Power

        return Power(self.context, self.fleet, self.deadline, self.driver, self.source, self.storage)

    @cached_property
    def status(self) -> Status:
        """How the cluster stands."""
        from pio_tf.cluster.status import Status

        return Status(self.context, self.fleet, self.deadline, self.driver, self.created, self.storage, self.scheduling)

    @cached_property
    def stack(self) -> Stack:
        """The stack. Raise ConfigError for a cluster without Terraform."""
        if self.context.config.power_only:
            raise without_terraform(self.context.config, "works with Terraform")
        from pio_tf.cluster.stack import Stack

        return Stack(self.context, self.fleet, self.deadline, self.driver, self.scheduling)

    @cached_property
    def resizer(self) -> Resizer:
        """What changes the types of machines. Raise ConfigError for a cluster without Terraform."""
        from pio_tf.cluster.resize import Resizer

        return Resizer(self.context, self.fleet, self.driver, self.stack.outputs)
