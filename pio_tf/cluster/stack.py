"""A cluster's stack: planned, judged, applied, compared with AWS, and removed."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.identity import who_am_i
from pio_tf.cluster.apply_guard import ApplyGuard, PowerNote
from pio_tf.cluster.created_stack import CreatedStack
from pio_tf.cluster.creation_types import CreationTypes
from pio_tf.cluster.messages import names, not_destroyed, refuse_protected, short
from pio_tf.config.components import check_new_driver
from pio_tf.errors import (
    ConfigError,
    GuardRefused,
    Locked,
    MachinesMayBeRunning,
    NotReady,
    PioTfError,
    TerraformError,
)
from pio_tf.events import Step, Warned
from pio_tf.infra.guard import refuse_doubles
from pio_tf.infra.root_module import render_stack, write_stack
from pio_tf.machines.existing import refuse_terminating
from pio_tf.machines.inventory import protected_from_termination, security_groups
from pio_tf.machines.references import check_references
from pio_tf.model import count

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.defaults import Agree
    from pio_tf.cluster.driver import Driver
    from pio_tf.cluster.fleet import Fleet, FleetView
    from pio_tf.cluster.scheduling import Scheduling
    from pio_tf.config.schema import Config
    from pio_tf.context import ClusterContext
    from pio_tf.infra.deployment import Deployment
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan
    from pio_tf.infra.policy import Judgement
    from pio_tf.infra.saved_plan import SavedPlan
    from pio_tf.model import Outputs


class Stack(Struct, frozen=True, dict=True):
    """The stack of one cluster, as one command works with it."""

    context: ClusterContext
    fleet: Fleet
    deadline: Deadline
    driver: Driver
    scheduling: Scheduling

    @cached_property
    def created(self) -> CreatedStack:
        """The stack as it was applied last."""
        return CreatedStack(self.context, self.deadline.hear)

    @cached_property
    def deployment(self) -> Deployment:
        """Terraform, in the directory of the stack."""
        from pio_tf.infra.deployment import Deployment

        return Deployment(self.config, directory=self.created.directory)

    @property
    def config(self) -> Config:
        """The contents of pio-tf.hcl."""
        return self.context.config

    def outputs(self) -> Outputs:
        """Return Terraform's outputs. Raise NotReady if the cluster has not been created."""
        return self.created.outputs()

    def outputs_if_any(self) -> Outputs | None:
        """Return Terraform's outputs if it can be asked: machines must stop even if Terraform or its state fails."""
        return self.created.outputs_if_any()

    def prepare_start(self, until: datetime | None, *, apply: bool, agree: Agree) -> tuple[Outputs, FleetView]:
        """Return the machines with their deadline armed; ``apply``: create and change what pio-tf.hcl asks for."""
        refuse_terminating(self.context.ec2, self.config)
        outputs = self.outputs_if_applied() if apply else self.outputs()
        if outputs is None:
            return self.apply_for_start(until, agree)
        found = self.fleet.look(outputs)
        self.deadline.arm(outputs, found, until)
        return outputs, found

    def outputs_if_applied(self) -> Outputs | None:
        """Return Terraform's outputs if there is nothing to create or change."""
        return self.created.directory.outputs() if self.is_applied() else None

    def is_applied(self) -> bool:
        """Return whether the stack that was applied last is the one that pio-tf.hcl asks for now."""
        try:
            return self.applied.read_text().strip() == self.digest()
        except OSError:  # the write itself reports any obstacle
            return False

    def generate(self, directory: Path | None) -> Path:
        """Write the stack; default: where pio-tf itself uses it. Return its directory."""
        if directory is None:
            return self.created.directory.generate()
        terraform = self.config.terraform.model_copy(update={"directory": directory.absolute()})
        return write_stack(self.config.model_copy(update={"terraform": terraform}))

    def validate(self) -> tuple[str, ...]:
        """Check pio-tf.hcl and the files that it names as :meth:`plan` and a training do; return warnings."""
        from pio_tf.config.starter import find_examples
        from pio_tf.engine.sources import check_source
        from pio_tf.infra.egress import find_blocked

        self._check_files()
        check_source(self.config)
        if not self.config.adopted:
            check_new_driver(self.config)
        render_stack(self.config)
        examples = (
            f"{self.config.where(name)}: {name}: {value} is an example: write your own"
            for name, value in find_examples(self.config)
        )
        return (*examples, *find_blocked(self.config))

    def plan(self, out: Path | None) -> Plan:
        """Return what Terraform would create or change; also save it in the directory ``out``."""

        def look() -> FleetView:
            view = self.fleet.look()
            self.fleet.warn_of_types(view)
            return view

        return self._plan(look, out=out)

    def apply(self, directory: Path | None) -> Outputs:
        """Create and change what pio-tf.hcl asks for, or exactly the plan that is saved in a directory."""
        from pio_tf.infra.saved_plan import read_saved_plan

        saved = read_saved_plan(directory) if directory is not None else None
        view = self.fleet.look()
        guard = ApplyGuard(self.context, self.fleet, self.deadline, self.driver, view)
        until: datetime | None = None
        with guard:
            try:
                plan = self._plan_whole(view) if saved is None else self._open_plan(saved, view)
                guard.lock(plan)
                until = self._deadline_if_possible(plan, view)
                guard.begin(plan)
                with self._armed(plan, view, until):
                    outputs = self._create(plan) if saved is None else self._create_as_saved(plan, saved)
            except BaseException as error:
                guard.restore(until, failed=error)
                raise
            guard.restore(until)
        return outputs

    def apply_for_start(self, until: datetime | None, agree: Agree) -> tuple[Outputs, FleetView]:
        """Create and change what pio-tf.hcl asks for, and arm the deadline of the machines, which start next."""
        view = self.fleet.look()
        guard = ApplyGuard(self.context, self.fleet, self.deadline, self.driver, view)
        with guard:
            try:
                plan = self._plan_whole(view)
                if plan.new_machines:
                    agree(plan)
                guard.lock(plan)
                self._arm_before_changes(plan, view, until)
                guard.begin(plan)
                with self._armed(plan, view, until):
                    outputs = self._create(plan)
                found = self.fleet.look(outputs)
                before = {machine.instance_id for machine in view.machines}
                self.fleet.started |= {machine.instance_id for machine in found.on} - before  # those created here
                self.deadline.arm(outputs, found, until)
            except PioTfError as error:  # also without a deadline: the new machines run, so pio-tf stops them
                guard.stop_started(until, failed=error)
                raise
        PowerNote.of(self.config).remove()
        return outputs, found

    def check_plan(self, directory: Path) -> Plan:
        """Return a saved plan if :meth:`apply` would take it now."""
        from pio_tf.infra.saved_plan import read_saved_plan

        plan = self._open_plan(read_saved_plan(directory), self.fleet.look())
        plan.path.unlink(missing_ok=True)  # it holds the state's secrets
        return plan

    def drift(self) -> tuple[Drift, ...]:
        """Return what was changed in AWS since the last apply. Power is no drift."""
        self.outputs()
        self.context.report(Step("Looking for drift"))
        return self.deployment.drift()

    def judge(self, plan: Path | None) -> Judgement:
        """Return what the guard says about a plan, by default a new one, and what it costs. Refuse nothing."""
        from pio_tf.infra.policy import judge, judge_file

        if plan is not None:
            return judge_file(self.config, plan)
        draft, _ = self._draft(self.fleet.look)
        draft.path.unlink(missing_ok=True)  # it will not be applied, and holds the state's secrets
        return judge(self.config, draft.json)

    def destroy(self) -> None:
        """Remove the cluster: all machines, disks and addresses. Machines that exist already stay as they are.

        pio-tf does not remove their termination protection itself: it is there so that one command does not suffice.
        """
        name = self.config.cluster.name
        view = self.fleet.look()  # asks AWS first: without it, Terraform's own words would come late and be many
        if self.config.adopted:
            self._refuse_running(view)
        else:
            refuse_protected(self.config, protected_from_termination(self.context.ec2, view.machines))
        with contextlib.ExitStack() as lock:
            lock.enter_context(self.driver.claimed())
            outputs = self.outputs_if_any()
            asked = view.with_driver_of(self.fleet.untagged(outputs, view))
            self.driver.prepare_stop(asked, force=False, driver_may_have_run=None, held=lock)
            removed = f"{count(view.machines)}, with disks and addresses"
            if self.config.adopted:
                removed = "tags, roles and alarms; the machines stay as they are"
            self.context.report(Step(f"Removing {name}: {removed}", "2 to 4 minutes"))
            try:
                self.deployment.destroy()
            except (GuardRefused, Locked, ConfigError):
                raise  # nothing was removed
            except (PioTfError, KeyboardInterrupt) as error:
                left = self.fleet.not_off()
                if not left:
                    raise
                raise not_destroyed(self.config, left, error if isinstance(error, PioTfError) else None) from error
        self.applied.unlink(missing_ok=True)
        foreign = () if self.config.adopted else self.fleet.look().machines
        if not foreign:
            self.deadline.remove(destroyed=True)
            had_role = outputs.schedule_role_arn is not None if outputs else self.config.schedule is not None
            self.scheduling.remove_with_cluster(had_role=had_role)
            return
        raise MachinesMayBeRunning(
            f"{count(foreign)} of {name} still exist: {names(foreign)}",
            cause="they carry the tags of the cluster but were not in Terraform's state",
            next_step="remove them with the AWS CLI: "
            + AwsCliHints.of(self.config).terminate(machine.instance_id for machine in foreign),
            details={"machines": [machine.instance_id for machine in foreign]},
        )

    def _refuse_running(self, view: FleetView) -> None:
        """Refuse to leave machines behind that run: nothing would stop them any more.

        Raises:
            NotReady: a machine runs.
        """
        if running := view.not_off:
            raise NotReady(
                f"{names(running)} must be stopped before",
                cause="`pio-tf destroy` leaves machines that exist already as they are, and nothing stops them then",
                next_step="pio-tf down",
                details={"machines": [machine.instance_id for machine in running]},
            )

    @property
    def applied(self) -> Path:
        """The file that holds the digest of the stack that was applied last."""
        return self.config.work_dir / "applied"

    def digest(self) -> str:
        """Return the digest of the stack, and of the schedule of trainings, that pio-tf.hcl asks for."""
        files = render_stack(self.config)
        if (block := self.config.schedule) is not None and block.cron is not None:
            files["schedule"] = f"{block.cron} {block.timezone} {self.config.train.max_runtime}"
        return hashlib.sha256("\0".join(f"{path}\0{files[path]}" for path in sorted(files)).encode()).hexdigest()

    def _check_files(self) -> None:
        """Check what needs no answer of AWS."""
        from pio_tf.infra.bootstrap import check_user_data
        from pio_tf.pio.command import check_arguments

        check_arguments(self.config)
        if not self.config.adopted:
            check_user_data(self.config)

    def _draft(self, look: Callable[[], FleetView], *, to_save: bool = False) -> tuple[Plan, FleetView]:
        """Return a plan that is not judged yet, and the machines that carry the cluster's tag.

        pio-tf asks AWS while Terraform plans; before it, if Terraform has to download its provider first.
        """
        self._check_files()
        views: list[FleetView] = []

        def ask_aws() -> None:
            if views:
                return
            views.append(look())
            if not self.config.adopted:
                existing = {machine.name for machine in views[0].machines}
                if "driver" not in existing:
                    check_new_driver(self.config)
                check_references(self.config, self.context.aws.client, existing=existing)

        if not self.created.directory.is_initialised:
            ask_aws()
        self.context.report(Step("Planning", "under a minute"))
        return self.deployment.draft(to_save=to_save, meanwhile=ask_aws), views[0]

    def _plan(self, look: Callable[[], FleetView], *, out: Path | None = None) -> Plan:
        """Return a plan; save it if asked for.

        Args:
            look: returns the machines that carry the cluster's tag.
        """
        from pio_tf.infra.expected_plan import ExpectedPlan
        from pio_tf.infra.plan_transfer import save_plan
        from pio_tf.infra.saved_plan import prepare_directory

        if out is not None:
            prepare_directory(out)
        plan, view = self._draft(look, to_save=out is not None)
        refused: GuardRefused | None = None
        try:
            self._judge(plan, view)
            if out is not None:  # as the job that applies it will
                ExpectedPlan(self.config).refuse_other(out, plan.path.read_bytes(), plan.json)
        except GuardRefused as error:
            refused = error
        if out is not None:
            who = who_am_i(self.context.aws.client)
            why = str(refused) if refused else ""
            save_plan(self.deployment, plan, out, account=who.account, who=who.arn, refused=why)
        if refused is not None:
            raise refused
        return plan

    def _plan_whole(self, view: FleetView) -> Plan:
        """Return a plan to apply at once. Take over what an interrupted apply has created without its state."""
        try:
            return self._plan(lambda: view)
        except GuardRefused as error:
            addresses = error.details.get("addresses")
            if not isinstance(addresses, dict):
                raise
            groups = security_groups(self.context.ec2, list(addresses.values()))
            created = {address: (one, groups.get(one, frozenset())) for address, one in addresses.items()}
            if not self.deployment.adopt(created):
                raise
        return self._plan(lambda: view)

    def _open_plan(self, saved: SavedPlan, view: FleetView) -> Plan:
        """Return a saved plan, judged by its file as if it were new."""
        from pio_tf.infra.plan_transfer import open_saved_plan

        self.context.report(Step(f"Checking saved plan {saved.directory}, made at {saved.manifest.when}"))
        plan = open_saved_plan(self.deployment, saved, account=who_am_i(self.context.aws.client).account)
        self._judge(plan, view)
        return plan

    def _judge(self, plan: Plan, view: FleetView) -> None:
        self.deployment.judge(plan)
        existing = {machine.name: machine.instance_id for machine in view.machines}
        hints = AwsCliHints.of(self.config)
        stack = self.deployment.stack
        refuse_doubles(plan.new_machines, existing, directory=self.config.stack_dir, by_hand=stack.by_hand, hints=hints)

    def _arm_before_changes(self, plan: Plan, view: FleetView, until: datetime | None) -> None:
        """Arm the deadline before Terraform changes machines.

        The AWS provider stops and starts a machine when its type changes (terraform-provider-aws #1998). If the role
        does not exist yet, pio-tf arms the deadline after the apply.
        """
        if until is None or not plan.changed_machines:
            return
        outputs = self.deployment.outputs()
        if outputs is not None and outputs.deadline_role_arn is not None:
            self.deadline.arm(outputs, view, until)

    def _deadline_if_possible(self, plan: Plan, view: FleetView) -> datetime | None:
        """Return the deadline of an apply, if AWS allows one.

        An apply is not about power. But machines that it creates or changes may run, even if the apply is killed.
        """
        new, changed = plan.new_machines, plan.changed_machines
        if not self.deadline.has_role or not (new or changed):
            return None
        until = self.deadline.after(None)
        try:
            self.deadline.find()
            self._arm_before_changes(plan, view, until)
        except PioTfError as error:
            which = "new machines" if new else f"machines that start for the change of {', '.join(changed)}"
            self.context.report(Warned(f"{which} run without a deadline: {short(error)}"))
            return None
        return until

    def _armed(self, plan: Plan, view: FleetView, until: datetime | None) -> contextlib.AbstractContextManager[object]:
        """Arm the deadline of new machines as Terraform creates them."""
        return self.deadline.armed_as_created(view, until) if plan.new_machines else contextlib.nullcontext()

    def _create(self, plan: Plan, *, types: CreationTypes | None = None) -> Outputs:
        """Apply a plan. Where AWS has no capacity for the type of new machines, plan and apply their next type."""
        types = types or CreationTypes(self.config, self.fleet.usable_types)
        try:
            return self._apply(plan)
        except TerraformError as error:
            lacking = types.lacking(error)
            other = types.next_config(lacking) if lacking else None
            if other is None:
                raise
        changes = ", ".join(f"{other.types(role).first} instead of {kind} ({role})" for role, kind in lacking.items())
        self.context.report(Warned(f"AWS has no capacity for new machines: planning {changes}"))
        stack = replace(self, context=replace(self.context, config=other))
        outputs = stack._create(stack._plan_whole(self.fleet.look()), types=types)  # noqa: SLF001 - of its own class
        self.deployment.generate()  # types matter only at the creation: what remains is the stack of pio-tf.hcl
        self._note_applied()
        return outputs

    def _create_as_saved(self, plan: Plan, saved: SavedPlan) -> Outputs:
        """Apply exactly the plan that was reviewed."""
        try:
            return self._apply(plan)
        except TerraformError as error:
            from pio_tf.infra.saved_plan import PLAN_AGAIN

            types = CreationTypes(self.config, self.fleet.usable_types)
            if suggestion := types.suggestion(types.lacking(error)):
                again = PLAN_AGAIN.format(directory=saved.directory)
                error.next_step = (
                    f"put {suggestion} in {self.config.path.name}, or wait; then {again}. "
                    "`pio-tf apply` without a saved plan takes the next type by itself"
                )
            raise

    def _apply(self, plan: Plan) -> Outputs:
        if plan.has_changes:
            counts = ", ".join(f"{number} to {word}" for word, number in plan.counts.items() if number)
            usually = "1 to 2 minutes for new machines" if plan.new_machines else ""
            self.context.report(Step(f"Applying: {counts}", usually))
        self.applied.unlink(missing_ok=True)  # until the apply is whole: the next `up` plans, however this ends
        outputs = self.deployment.apply(plan)
        role = (plan.json.get("output_changes") or {}).get("schedule_role_arn", {})
        self.scheduling.keep(outputs, had_role=bool(role.get("before")))
        self._note_applied()
        return outputs

    def _note_applied(self) -> None:
        self.applied.parent.mkdir(parents=True, exist_ok=True)
        self.applied.write_text(self.digest() + "\n")
