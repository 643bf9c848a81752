"""The types of stopped machines, changed on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.errors import aws_errors
from pio_tf.cluster.messages import names
from pio_tf.config.type_lists import is_allowed
from pio_tf.errors import ConfigError, GuardRefused, NotReady
from pio_tf.events import Done
from pio_tf.infra.cost import running_usd
from pio_tf.machines.power import set_type
from pio_tf.machines.power_errors import label

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import Fleet
    from pio_tf.config.sizing import InstanceSpec
    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine, Outputs

WORKERS = "workers"
"""The name for all workers together."""


class MachineSize(Struct, frozen=True):
    """An instance type, and what it has and costs."""

    instance_type: str
    memory_mib: int
    vcpus: int
    hourly_usd: float | None
    """The estimated price of an hour; None: unknown."""


class Resize(Struct, frozen=True):
    """A change of one machine's type."""

    machine: Machine
    """The machine, as it is before the change."""
    before: MachineSize
    after: MachineSize


class Resizer(Struct, frozen=True):
    """Changes the types of one cluster's stopped machines."""

    context: ClusterContext
    fleet: Fleet
    driver: Driver
    outputs: Callable[[], Outputs]

    def plan(self, name: str, kind: str) -> tuple[Resize, ...]:
        """Return what :meth:`apply` would change; nothing for machines that are of this type already.

        Args:
            name: a machine's name, or ``workers`` for all of them.
            kind: one of the types that pio-tf.hcl names for these machines.
        """
        machines = self._choose(name)
        self._check_type(machines[0], kind)
        changing = [machine for machine in machines if machine.instance_type != kind]
        running = [machine for machine in changing if machine.state != "stopped"]
        if running:
            raise NotReady(
                f"{names(running)} must be stopped to become {kind}",
                cause="AWS changes the type of stopped machines only",
                next_step="pio-tf down",
                details={"machines": [machine.instance_id for machine in running]},
            )
        usable = self.fleet.types_for(changing)
        for machine in changing:
            if kind not in usable[machine.instance_id]:
                raise ConfigError(
                    f"{label(machine)} can't run as {kind}",
                    cause="its image does not support the type, or the type is too small for pio-tf.hcl",
                    next_step=f"choose another type of {self.context.config.types(machine.role).option}",
                )
        specs = self.fleet.describe_types(kind, *(machine.instance_type for machine in changing))
        return tuple(Resize(one, self._size(one.instance_type, specs), self._size(kind, specs)) for one in changing)

    def apply(self, name: str, kind: str) -> tuple[Resize, ...]:
        """Change the types, while no other client can start a training. Return what has changed.

        Raises:
            Locked: another client trains, or is about to.
            AwsError: AWS has refused a change; earlier machines may have the new type.
        """
        with self.driver.claimed():
            planned = self.plan(name, kind)
            for one in planned:
                with aws_errors(f"changing {label(one.machine)} to {kind}"):
                    set_type(self.context.ec2, one.machine, kind)
                self.context.report(Done(f"{one.machine.name} is {kind}"))
        return planned

    def _choose(self, name: str) -> list[Machine]:
        view = self.fleet.own(self.fleet.look(self.outputs()))
        chosen = [one for one in view.machines if one.name == name or (name == WORKERS and one.role == "worker")]
        if not chosen:
            known = ", ".join(one.name for one in view.machines)
            raise ConfigError(
                f"{self.context.config.cluster.name} has no machine {name!r}",
                next_step=f"choose one of {known}, or `{WORKERS}` for all workers",
            )
        return chosen

    def _check_type(self, machine: Machine, kind: str) -> None:
        """Refuse a type that a later plan or start would take back, or that the guard does not allow."""
        config = self.context.config
        if config.adopted:
            raise ConfigError(
                f"{config.where('machines.driver')}: pio-tf does not change the types of machines that exist already",
                next_step=f"change it in AWS: {AwsCliHints.of(config).change_type(machine.instance_id, kind)}",
            )
        wanted = config.types(machine.role)
        where = f"{config.where(wanted.option)}: {wanted.option}"
        if not config.has_spare_types:
            raise ConfigError(
                f"{where} names one type, which Terraform sets",
                next_step=f'write {wanted.option.partition(".")[2]} = "{kind}" and run `pio-tf apply`',
            )
        if kind not in wanted.types:
            raise ConfigError(
                f"{where} does not name {kind}",
                cause=f"it names {', '.join(wanted.types)}; a later start may change the machine to one of these",
                next_step=f'add "{kind}" to it, and run this command again',
            )
        allowed = config.guard.instance_types
        if not is_allowed(kind, allowed) and "PTF011" not in config.guard.waive:
            raise GuardRefused(
                f"{machine.name} would be of type {kind}; guard.instance_types allows {', '.join(allowed)}",
                next_step="choose one of guard.instance_types, or add this type to it",
            )

    def _size(self, kind: str, specs: dict[str, InstanceSpec]) -> MachineSize:
        spec = specs[kind]
        price = running_usd(self.context.config, [kind], 3600)
        return MachineSize(kind, spec.memory_mib, spec.vcpus, None if price is None else round(price, 4))
