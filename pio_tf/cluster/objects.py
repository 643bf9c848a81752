"""The objects of one command, put together."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.cluster.deadline import Deadline
from pio_tf.cluster.driver import Driver
from pio_tf.cluster.engine import EngineOnDriver
from pio_tf.cluster.fleet import Fleet
from pio_tf.cluster.messages import without_terraform
from pio_tf.cluster.model import ModelsOfEngine
from pio_tf.cluster.named_machines import NamedMachines
from pio_tf.cluster.power import Power
from pio_tf.cluster.resize import Resizer
from pio_tf.cluster.scheduling import Scheduling
from pio_tf.cluster.stack import Stack
from pio_tf.training.runs.run_storage import RunStorage

if TYPE_CHECKING:
    from pio_tf.cluster.named_machines import MachineSource
    from pio_tf.context import ClusterContext
    from pio_tf.machines.deadline_schedule import ScheduledDeadline
    from pio_tf.training.driver_session import SessionOpener


class ClusterObjects:
    """The objects that one command works with, and that end with it.

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
        self.storage = RunStorage(context, report_driver=lambda: ClusterObjects(context, open_session).driver.report())
        self.fleet = Fleet(context, started=started)
        self.deadline = Deadline(context, self.fleet, armed=armed)
        self.scheduling = Scheduling(context, self.fleet, self.deadline)
        self.driver = Driver(context, self.fleet, self.deadline, self.storage, self.scheduling, open_session)
        self.engine = EngineOnDriver(context, self.fleet, self.driver)
        self.models = ModelsOfEngine(context, self.driver)
        self.source: MachineSource = (
            NamedMachines(context, self.fleet, self.deadline) if context.config.power_only else self.stack
        )
        self.power = Power(context, self.fleet, self.deadline, self.driver, self.source, self.storage, self.scheduling)

    @cached_property
    def stack(self) -> Stack:
        """The stack. Raise ConfigError for a cluster without Terraform."""
        if self.context.config.power_only:
            raise without_terraform(self.context.config, "works with Terraform")
        return Stack(self.context, self.fleet, self.deadline, self.driver, self.scheduling)

    @cached_property
    def resizer(self) -> Resizer:
        """What changes the types of machines. Raise ConfigError for a cluster without Terraform."""
        return Resizer(self.context, self.fleet, self.driver, self.stack.outputs)
