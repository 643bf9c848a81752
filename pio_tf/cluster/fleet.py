"""The machines of one cluster, found, started and stopped over EC2."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.aws.errors import CAPACITY_ADVICE, aws_errors
from pio_tf.cluster.messages import names, not_covered, short
from pio_tf.config.roles import ROLES
from pio_tf.config.sizing import InstanceSpec, Sizing, size_cluster, usable_types
from pio_tf.config.type_lists import is_allowed
from pio_tf.errors import AwsError, MachinesMayBeRunning, NotReady
from pio_tf.events import Step, Warned
from pio_tf.machines.instance_types import (
    OptionProblem,
    describe_instance_types,
    find_instance_types,
    misfit,
    refuse_problems,
)
from pio_tf.machines.inventory import find_machines, find_named_machines, find_untagged
from pio_tf.machines.power import start_machines, stop_machines
from pio_tf.machines.power_errors import Failure, lacking
from pio_tf.model import count

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from datetime import datetime

    from pio_tf.context import ClusterContext
    from pio_tf.model import Machine, Outputs, Role


class FleetView(Struct, frozen=True):
    """The machines of a cluster as EC2 showed them, and when."""

    machines: tuple[Machine, ...]
    at: datetime

    @property
    def running(self) -> tuple[Machine, ...]:
        """The machines that may answer over SSH."""
        return tuple(machine for machine in self.machines if machine.state == "running")

    @property
    def driver_runs(self) -> bool:
        """True if the driver may answer over SSH, and so may have a run."""
        return any(machine.role == "driver" for machine in self.running)

    @property
    def on(self) -> tuple[Machine, ...]:
        """The machines that run, or are about to."""
        return tuple(machine for machine in self.machines if machine.is_on)

    @property
    def not_off(self) -> tuple[Machine, ...]:
        """The machines that AWS has not confirmed as off."""
        return tuple(machine for machine in self.machines if not machine.is_off)

    @property
    def not_stopped(self) -> tuple[Machine, ...]:
        """The machines in any other state than ``stopped``."""
        return tuple(machine for machine in self.machines if machine.state != "stopped")

    @property
    def staying(self) -> tuple[Machine, ...]:
        """The machines that are not being terminated: one of those would fail a deadline's whole StopInstances call."""
        return tuple(machine for machine in self.machines if not machine.is_terminated)

    def with_driver_of(self, untagged: Iterable[Machine]) -> FleetView:
        """Return these machines, and the driver if it has lost the cluster's tag: it may have a run all the same."""
        drivers = [machine for machine in untagged if machine.role == "driver" and not machine.cluster]
        return replace(self, machines=(*self.machines, *drivers))

    def only(self, names: Container[str]) -> FleetView:
        """Return the machines of these names."""
        return replace(self, machines=tuple(machine for machine in self.machines if machine.name in names))

    def at_work(self, outputs: Outputs) -> Outputs:
        """Return the outputs without the workers that do not run."""
        return outputs.only({machine.name for machine in self.running})

    def updated(self, changed: Iterable[Machine]) -> FleetView:
        """Return the same machines, some of them as they are now."""
        now = {machine.instance_id: machine for machine in changed}
        return replace(self, machines=tuple(now.get(machine.instance_id, machine) for machine in self.machines))


class Fleet:
    """The machines of one cluster, as one command finds, starts and stops them.

    A call that fails returns no view, so ``seen`` keeps the last one: the error has to name the machines that may run.

    Args:
        started: ids of machines that an earlier command of this program started, and did not see stopped since.
    """

    def __init__(self, context: ClusterContext, *, started: frozenset[str] = frozenset()) -> None:
        self._context = context
        self.seen: FleetView | None = None
        self.started = started
        """Ids of machines that this program has told EC2 to start, and has not seen stopped since. DescribeInstances
        lags by seconds, and may still show them as stopped."""
        self._specs: dict[str, InstanceSpec] = {}
        self._of_others: set[str] = set()
        """Ids of machines in ``started`` that StartInstances found started already, by another client."""

    def look(self, outputs: Outputs | None = None, *, strict: bool = True) -> FleetView:
        """Return the machines that carry the cluster's tag, or that pio-tf.hcl names, as EC2 shows them now.

        Args:
            outputs: Terraform's outputs, to compare with; None: the tag decides alone, or the ids in pio-tf.hcl, before
                Terraform has tagged machines that exist already.
            strict: raise where EC2 and the outputs differ, as :func:`~pio_tf.machines.inventory.find_machines` does.
        """
        context, ec2 = self._context, self._context.ec2
        cluster, ids = context.config.cluster.name, context.config.machines.ids
        if ids and (context.config.power_only or outputs is None):
            found = find_named_machines(ec2, ids, cluster=cluster, strict=strict)
        else:
            found = find_machines(ec2, cluster=cluster, outputs=outputs, strict=strict)
        self.seen = FleetView(tuple(found), context.now())
        return self.seen

    def own(self, view: FleetView) -> FleetView:
        """Return only the machines of Terraform's outputs. Warn of others with the cluster's tag."""
        unknown = [machine for machine in view.machines if not machine.in_outputs]
        if unknown:
            self._context.report(
                Warned(
                    f"{names(unknown)}: tagged for {self._context.config.cluster.name}, but not in Terraform's state "
                    "(an interrupted creation?). This command leaves them alone; `pio-tf down` stops them"
                )
            )
        return replace(view, machines=tuple(machine for machine in view.machines if machine.in_outputs))

    def untagged(self, outputs: Outputs | None, view: FleetView) -> list[Machine]:
        """Return the machines of the outputs that have lost the cluster's tag, or carry another cluster's."""
        if outputs is None:
            return []
        cluster = self._context.config.cluster.name
        return find_untagged(self._context.ec2, cluster=cluster, outputs=outputs, found=view.machines)

    def warn_of_untagged(self, outputs: Outputs | None, view: FleetView) -> None:
        """Warn of machines of the outputs that run and have lost the cluster's tag: AWS stops none at a deadline."""
        running = [machine for machine in self.untagged(outputs, view) if machine.is_on]
        if running:
            self._context.report(Warned(not_covered(self._context.config, running)))

    def not_off(self) -> tuple[Machine, ...] | None:
        """After a failure or Ctrl-C: return the machines that are not off, as EC2 says now, or else as it said last.

        None: it has not said anything.
        """
        try:
            return self.look(strict=False).not_off
        except (AwsError, KeyboardInterrupt):
            return self.seen.not_off if self.seen and self.seen.machines else None

    def any_on(self) -> bool:
        """Return whether a machine runs. If EC2 can't be asked, one may."""
        if self.started or (self.seen and self.seen.on):
            return True
        try:
            return bool(self.look(strict=False).on)
        except AwsError:
            return True

    def sizing(self, machines: Iterable[Machine] = ()) -> Sizing:
        """Return heaps and cores of driver and executors, as these machines are. Report what does not fit as warnings.

        Args:
            machines: driver and workers. Without one of these roles, its first type in pio-tf.hcl counts.
        """
        config = self._context.config
        types = {role: {one.instance_type for one in machines if one.role == role} for role in ("driver", "worker")}
        specs = self.describe_types(*types["driver"], *types["worker"])
        sizing = size_cluster(config, specs, driver_type=max(types["driver"], default=""), worker_types=types["worker"])
        for message in sizing.warnings:
            self._context.report(Warned(message))
        return sizing

    def check_types(self) -> None:
        """Raise ConfigError for an instance type of pio-tf.hcl that does not exist, or can't hold what it should."""
        if self._context.config.adopted:
            return  # the machines have the types that they have
        specs = self.describe_types()
        for role in ROLES:
            usable_types(self._context.config, specs, role)

    def usable_types(self, role: Role) -> tuple[str, ...]:
        """Return the types that machines of a role may have, the first of pio-tf.hcl first.

        Raises:
            ConfigError: one that pio-tf.hcl names can't be used.
        """
        config = self._context.config
        wanted, allowed = config.types(role), config.guard.instance_types
        usable = usable_types(config, self.describe_types(), role)
        return tuple(kind for kind in usable if wanted.is_chosen or is_allowed(kind, allowed))

    def types_for(self, machines: Iterable[Machine]) -> dict[str, tuple[str, ...]]:
        """Return, by instance id, the types that machines may take.

        Raises:
            ConfigError: a machine can't have a type that pio-tf.hcl names.
        """
        config = self._context.config
        if config.adopted:
            return {machine.instance_id: (machine.instance_type,) for machine in machines}
        specs = self.describe_types()
        usable = {role: self.usable_types(role) for role in ROLES}
        found, problems = dict[str, tuple[str, ...]](), list[OptionProblem]()
        for machine in machines:
            wanted, fitting = config.types(machine.role), list[str]()
            for kind in usable[machine.role]:
                why = misfit(
                    specs[kind],
                    architecture=machine.architecture,
                    virtualization=machine.virtualization,
                    has_ena=machine.has_ena,
                )
                if not why:
                    fitting.append(kind)
                elif wanted.is_chosen:
                    label = f"{machine.name} ({machine.instance_id})"
                    problems.append(OptionProblem(wanted.option, f"{label} can't run as {kind}: {why}"))
            found[machine.instance_id] = tuple(fitting)
        refuse_problems(config, self._context.ec2, problems, next_step="remove the type from pio-tf.hcl")
        return found

    def warn_of_types(self, view: FleetView) -> None:
        """Warn of machines with a type that pio-tf.hcl does not name, where Terraform leaves types alone."""
        config = self._context.config
        for machine in view.machines if config.has_spare_types else ():
            wanted = config.types(machine.role)
            if machine.instance_type not in wanted.types:
                where = f"{wanted.option} ({config.where(wanted.option)})"
                message = f"{machine.name} is {machine.instance_type}, which {where} does not name"
                hint = f"`pio-tf resize {machine.name} {wanted.first}` changes it on the stopped machine"
                self._context.report(Warned(f"{message}: {hint}; or name it there"))

    def describe_types(self, *more: str) -> dict[str, InstanceSpec]:
        """Return the types that pio-tf.hcl names, and others. A command asks EC2 once."""
        with aws_errors():
            if not self._specs and not self._context.config.adopted:
                self._specs = describe_instance_types(self._context.ec2, self._context.config)
            if missing := {*more} - self._specs.keys():
                self._specs |= find_instance_types(self._context.ec2, missing)
        return self._specs

    def start(self, machines: Sequence[Machine], *, workers: int, before_call: Callable[[], None]) -> None:
        """Start machines and wait until they run: all of them or, for lack of capacity, none.

        Args:
            before_call: called right before each StartInstances; what it raises keeps the machines stopped.
            workers: how many workers the whole cluster has. ``spark.min_workers`` of them are enough.

        Raises:
            NotReady: AWS has no capacity, and the machines that did start have been stopped; or not all of them run.
            MachinesMayBeRunning: AWS can't be asked any more, or they could not be stopped.
        """
        context, spark = self._context, self._context.config.spark
        types = self.types_for(machines)
        self.started |= {machine.instance_id for machine in machines}
        try:
            now = start_machines(
                context.ec2,
                machines,
                timeout=context.config.cluster.start_timeout,
                capacity_wait=context.config.cluster.capacity_wait,
                may_lack=max(0, workers - (spark.min_workers or workers)),
                types=types,
                before_call=before_call,
                on_others=self._of_others.update,
                reporter=context.report,
                clock=context.clock,
                sleep=context.sleep,
            )
        except NotReady as error:
            if "lacking" not in error.details:
                raise
            self._take_back(machines, error)
        absent = [machine for machine in now if machine.state != "running"]
        if absent:
            lacked = lacking(Failure(one, "", types=types[one.instance_id]) for one in absent)
            context.report(
                Warned(
                    f"continuing with {workers - len(absent)} of {workers} workers (spark.min_workers is "
                    f"{spark.min_workers}): AWS has no capacity for {lacked}"
                )
            )

    def has_taken_driver(self, view: FleetView) -> bool:
        """Return whether this command took the driver out of ``stopped``: then no run was there before."""
        drivers = {machine.instance_id for machine in view.on if machine.role == "driver"}
        return drivers <= self.started - self._of_others

    def stop(self, machines: Sequence[Machine]) -> list[Machine]:
        """Stop machines and wait until EC2 confirms it. Return them as they are then.

        Raises what :func:`~pio_tf.machines.power.stop_machines` does.
        """
        context, cluster = self._context, self._context.config.cluster
        stopped = stop_machines(
            context.ec2,
            machines,
            timeout=cluster.stop_timeout,
            force_after=cluster.force_stop_after,
            reporter=context.report,
            clock=context.clock,
            sleep=context.sleep,
        )
        if self.seen is not None:
            self.seen = self.seen.updated(stopped)
        self.started -= {machine.instance_id for machine in stopped}
        self._of_others -= {machine.instance_id for machine in stopped}
        return stopped

    def stop_after(self, why: str | None, machines: Sequence[Machine]) -> list[Machine]:
        """Stop machines like :meth:`stop`. If it fails, name in its cause what had failed before."""
        try:
            return self.stop(machines)
        except MachinesMayBeRunning as error:
            if why is not None:
                error.cause = f"before that: {why}\n       stopping: {error.cause}"
            raise

    def _take_back(self, machines: Sequence[Machine], error: NotReady) -> NoReturn:
        """Stop those machines that did start, and raise the reason."""
        ids = {machine.instance_id for machine in machines} - self._of_others
        running = [machine for machine in self.look(strict=False).not_stopped if machine.instance_id in ids]
        if running:
            self._context.report(Step(f"Stopping the {count(running)} that did start"))
            self.stop_after(short(error), running)
        self.started -= ids
        raise NotReady(
            error.what,
            cause=error.cause,
            next_step=f"{CAPACITY_ADVICE}; `spark.min_workers` in {self._context.config.path.name} lets pio-tf "
            "continue with fewer workers. The machines that did start have been stopped",
            details=error.details,
        ) from error
