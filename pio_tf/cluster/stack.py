"""A cluster's stack: planned, judged, applied, looked at, removed."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.aws.identity import who_am_i
from pio_tf.cluster.base import names, short, staying
from pio_tf.cluster.restore import RestoreWork
from pio_tf.cluster.unproved import not_destroyed
from pio_tf.errors import ConfigError, GuardRefused, Locked, MachinesMayBeRunning, PioTfError
from pio_tf.events import Step, Warned
from pio_tf.infra.guard import refuse_doubles
from pio_tf.infra.root_module import render_stack, write_stack
from pio_tf.machines.inventory import security_groups
from pio_tf.machines.references import check_references

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pio_tf.cluster.restore import ApplyGuard
    from pio_tf.iam import Policy
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan
    from pio_tf.infra.policy import Judgement
    from pio_tf.infra.saved_plan import SavedPlan
    from pio_tf.model import Machine, Outputs


class StackWork(RestoreWork):
    """A cluster with what Terraform does for it."""

    def generate(self, directory: Path | None = None) -> Path:
        """Write the stack; default: where pio-tf itself uses it. Returns its directory."""
        if directory is None:
            return self._deployment.generate()
        terraform = self.config.terraform.model_copy(update={"directory": directory.absolute()})
        return write_stack(self.config.model_copy(update={"terraform": terraform}))

    def generate_image(self, directory: Path | None = None) -> Path:
        """Write a Packer template that bakes an image with all that the machines install. Returns its directory.

        Args:
            directory: default: ``image`` beside the stack.

        Raises:
            ConfigError: the directory holds files of somebody else, or cannot be written.
        """
        from pio_tf.infra.image import write_image

        return write_image(self.config, directory or self.config.work_dir / "image")

    def plan(self, out: Path | None = None) -> Plan:
        """What Terraform would create or change. Changes nothing.

        Args:
            out: keep the plan in this directory, for :meth:`apply`: with a manifest, ``plan.json`` and ``plan.md``. A
                plan that the guard refuses leaves only these two.

        Raises:
            ConfigError: something that pio-tf.hcl refers to does not exist.
            GuardRefused: the plan would delete or replace a machine, a disk or an address, or make a machine that is
                there already a second time, or break another rule of the guard.
        """
        return self._plan(self._machines(None), out=out)

    def apply(self, artifact: Path | None = None) -> Outputs:
        """Create and change what pio-tf.hcl asks for; power stays as it was.

        A change of the instance type makes the AWS provider start a machine that was stopped
        (terraform-provider-aws #1998): such machines are stopped again, and those that an apply has made which then
        fails. What an apply that was killed has started is stopped by the next one, or by :meth:`down`.

        Args:
            artifact: a directory of :meth:`plan`: exactly that plan is applied, or none.

        Raises:
            GuardRefused: as for :meth:`plan`; or the kept plan was changed, or is for another cluster, account, region
                or state than is here now: what differs.
            Locked: a run is active that this would cut off.
        """
        from pio_tf.infra.saved_plan import read_saved_plan

        saved = read_saved_plan(artifact) if artifact is not None else None
        there = self._machines(None)
        one_apply = self._one_apply(there)
        try:
            plan = self._plan_whole(there) if saved is None else self._open_plan(saved, there)
            self._refuse_to_cut_off(plan, there)
            self._want_deadline_of(plan, there)
            outputs = self._create(plan, one_apply)
        except BaseException as error:
            self._restore(one_apply, failed=error)
            raise
        self._restore(one_apply)
        return outputs

    def check_plan(self, artifact: Path) -> Plan:
        """Whether :meth:`apply` would take a kept plan now. Changes nothing.

        Raises:
            ConfigError: it is no plan.
            GuardRefused: it would not: why.
        """
        from pio_tf.infra.saved_plan import read_saved_plan

        plan = self._open_plan(read_saved_plan(artifact), self._machines(None))
        plan.path.unlink(missing_ok=True)  # it holds the state's secrets
        return plan

    def drift(self) -> tuple[Drift, ...]:
        """What somebody has changed in AWS behind Terraform's back. Power is no drift. Changes nothing.

        Raises:
            NotReady: the cluster has not been created.
        """
        self.outputs()
        self._report(Step("Looking for drift"))
        return self._deployment.drift()

    def guard(self, plan: Path | None = None) -> Judgement:
        """What the guard makes of a plan, and what it costs. Changes nothing, and refuses nothing.

        Args:
            plan: a directory of :meth:`plan`, or a file of ``terraform show -json``; default: a new plan.

        Raises:
            ConfigError: it is no plan, or one of another cluster.
        """
        from pio_tf.infra.policy import judge, judge_file

        if plan is not None:
            return judge_file(self.config, plan)
        check_references(self.config, self._ec2, existing={machine.name for machine in self._machines(None)})
        self._report(Step("Planning"))
        draft = self._deployment.draft()
        draft.path.unlink(missing_ok=True)  # nobody is going to apply it, and it holds the state's secrets
        return judge(self.config, draft.json)

    def iam(self, role: str = "", *, account: str = "") -> tuple[Policy, ...]:
        """The narrowest IAM policies for a pipeline's jobs. Asks AWS for nothing.

        Args:
            role: one of :data:`pio_tf.iam.ROLES`; empty: all that pio-tf.hcl has a use for.
            account: twelve digits; default: that of ``aws.assume_role``, else any.

        Raises:
            ConfigError: there is no such role, or no such account.
        """
        from pio_tf.iam import policies

        return policies(self.config, role, account=account)

    def destroy(self) -> None:
        """Remove the cluster for good. The one way to lose machines, disks and addresses.

        Raises:
            Locked: a run is active.
        """
        name = self.config.cluster.name
        found = self._machines(None)  # asks AWS first: without it, Terraform's own words would come late and be many
        self._let_go(found, force=False, sure=False)
        self._report(Step(f"Removing {name}: {len(found)} machines, with their disks and addresses"))
        try:
            self._deployment.destroy()
        except (GuardRefused, Locked, ConfigError):
            raise  # nothing was removed
        except (PioTfError, KeyboardInterrupt) as error:
            awake = self._still_awake()
            if not awake:
                raise
            raise not_destroyed(self.config, awake, error if isinstance(error, PioTfError) else None) from error
        self._applied.unlink(missing_ok=True)
        left = self._machines(None)
        if not left:
            self._disarm()
        if left:
            raise MachinesMayBeRunning(
                f"{len(left)} machines of {name} are still there: {names(left)}",
                cause="they carry the cluster's tags but were not in Terraform's state",
                next_step="remove them by hand: "
                + AwsCliHints.of(self.config).terminate(machine.instance_id for machine in left),
                details={"machines": [machine.instance_id for machine in left]},
            )

    def _plan(self, there: Sequence[Machine], *, out: Path | None = None) -> Plan:
        """Plan, given the machines that AWS has with the cluster's tag; and keep it."""
        from pio_tf.infra.plan_transfer import save_plan
        from pio_tf.infra.saved_plan import prepare_directory

        if out is not None:
            prepare_directory(out)
        check_references(self.config, self._ec2, existing={machine.name for machine in there})
        self._report(Step("Planning"))
        plan = self._deployment.draft()
        refused: GuardRefused | None = None
        try:
            self._judge(plan, there)
        except GuardRefused as error:
            refused = error
        if out is not None:
            who = who_am_i(self._aws.client)
            save_plan(
                self._deployment, plan, out, account=who.account, who=who.arn, refused=str(refused) if refused else ""
            )
        if refused is not None:
            raise refused
        return plan

    def _plan_whole(self, there: Sequence[Machine]) -> Plan:
        """A plan to be applied at once. What an interrupted creation has made without its state is taken over first."""
        try:
            return self._plan(there)
        except GuardRefused as error:
            addresses = error.details.get("addresses")
            if not isinstance(addresses, dict):
                raise
            groups = security_groups(self._ec2, list(addresses.values()))
            made = {address: (one, groups.get(one, frozenset())) for address, one in addresses.items()}
            if not self._deployment.adopt(made):
                raise
        return self._plan(there)

    def _open_plan(self, saved: SavedPlan, there: Sequence[Machine]) -> Plan:
        """A kept plan, judged by its file as if it were new."""
        from pio_tf.infra.plan_transfer import open_saved_plan

        self._report(Step(f"Checking the plan in {saved.directory}, made at {saved.manifest.when}"))
        plan = open_saved_plan(self._deployment, saved, account=who_am_i(self._aws.client).account)
        self._judge(plan, there)
        return plan

    def _judge(self, plan: Plan, there: Sequence[Machine]) -> None:
        self._deployment.judge(plan)
        existing = {machine.name: machine.instance_id for machine in there}
        refuse_doubles(plan.new_machines, existing, directory=self.config.stack_dir)

    def _want_deadline_of(self, plan: Plan, there: Sequence[Machine]) -> None:
        """`apply` is not about power, but what it makes or changes may run, also when it is killed amid its work: that
        gets a deadline where it is possible."""
        new, changed = plan.new_machines, plan.changed_machines
        self._want_deadline(None, deadline=bool(self._has_role and (new or changed)))
        if self._wanted is None:
            return
        try:
            self._schedule.find()
            self._arm_before_changes(plan, staying(there))
        except PioTfError as error:
            self._want_deadline(None, deadline=False)
            which = "new machines run" if new else f"{', '.join(changed)}: whatever is started for the change runs"
            self._report(Warned(f"{which} without a deadline: {short(error)}"))

    def _create(self, plan: Plan, one_apply: ApplyGuard) -> Outputs:
        if plan.has_changes:
            self._report(Step("Applying: " + ", ".join(f"{n} to {word}" for word, n in plan.counts.items() if n)))
        one_apply.begin()
        self._applied.unlink(missing_ok=True)  # until it is whole: the next `up` plans, whatever becomes of this
        with self._armed_as_made(staying(one_apply.there)) if plan.new_machines else contextlib.nullcontext():
            outputs = self._deployment.apply(plan)
        self._applied.parent.mkdir(parents=True, exist_ok=True)
        self._applied.write_text(self._digest() + "\n")
        return outputs

    def _refuse_to_cut_off(self, plan: Plan, machines: Sequence[Machine]) -> None:
        """A change of a machine may stop it: not while a run is active."""
        changed = plan.changed_machines
        awake = [machine for machine in machines if machine.state == "running"]
        if not changed or not any(machine.role == "driver" for machine in awake):
            return
        try:
            self._ask(awake, lambda driver: driver.refuse_active(f"changing {', '.join(changed)}"))
        except Locked:
            raise
        except PioTfError as error:
            self._report(Warned(f"the driver was not asked for runs: {short(error)}"))

    def _is_applied(self) -> bool:
        """Whether the stack that was applied last is the one that pio-tf.hcl asks for now."""
        try:
            return self._applied.read_text().strip() == self._digest()
        except OSError:  # what is in the way of it is named where it is written
            return False

    def _digest(self) -> str:
        files = render_stack(self.config)
        return hashlib.sha256("\0".join(f"{path}\0{files[path]}" for path in sorted(files)).encode()).hexdigest()

    @property
    def _applied(self) -> Path:
        return self.config.work_dir / "applied"
