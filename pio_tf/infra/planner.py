"""Makes a cluster's plans, and judges them. Nothing in AWS changes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pio_tf.config.components import spark_version
from pio_tf.errors import PioTfError
from pio_tf.events import Step, Warned
from pio_tf.infra.drift import Drift, find_drift
from pio_tf.infra.egress import find_blocked
from pio_tf.infra.first_boot import find_other_spark
from pio_tf.infra.foreign_resources import refuse_foreign_resources
from pio_tf.infra.guard import Removal, find_removals, find_restarts
from pio_tf.infra.plan import Plan, changes_anything, file_digest, find_changes
from pio_tf.infra.plan_file import reading_plan
from pio_tf.infra.policy import evaluate, refuse
from pio_tf.infra.redaction import plain_secrets, redact_plan
from pio_tf.infra.terraform_messages import DESTROY_PREVENTED
from pio_tf.infra.unchanged_plan import show_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pio_tf.infra.stack_directory import StackDirectory
    from pio_tf.infra.terraform import PlanRun
    from pio_tf.infra.terraform_messages import Diagnostic

_TAINTED = "replace_because_tainted"


class Planner:
    """The plans of one stack."""

    def __init__(self, stack: StackDirectory) -> None:
        self._stack = stack
        self._config = stack.config
        self.plan_path = stack.config.work_dir / "plan.tfplan"
        """The place of a plan file until it is applied."""

    def plan(self, *, destroy: bool = False) -> Plan:
        """Write the stack and plan it.

        Args:
            destroy: show what destroying would remove. Such a plan cannot be applied.

        Raises:
            GuardRefused: the plan would remove or replace what must survive.
            TerraformError, Locked, ConfigError: Terraform could not plan.
        """
        if destroy:
            with self._stack.unprotected():
                return self.draft_destruction()
        plan = self.draft()
        self.judge(plan)
        return plan

    def draft(self, *, to_save: bool = False, meanwhile: Callable[[], None] = lambda: None) -> Plan:
        """Write the stack and plan it; the guard has evaluated the plan, but refused nothing yet.

        Args:
            to_save: the plan's JSON is wanted as Terraform shows it, and not only what the guard reads.
            meanwhile: called while Terraform plans. If it raises an error, there is no plan.

        Raises:
            TerraformError, Locked, ConfigError: Terraform could not plan.
        """
        self._stack.prepare()
        run, raw, digest = self._run(to_save=to_save, meanwhile=meanwhile)
        with reading_plan():
            removals = find_removals(raw)
        if removals and all(removal.reason == _TAINTED for removal in removals):
            self._untaint(removals)
            run, raw, digest = self._run(to_save=to_save)
            with reading_plan():
                removals = find_removals(raw)
        if run.error is not None and not removals:
            raise run.error
        with reading_plan():
            return Plan(
                self.plan_path,
                find_changes(raw),
                has_changes=run.changes or bool(removals),
                json=raw,
                findings=evaluate(self._config, raw),
                error=run.error,
                digest=digest,
            )

    def draft_destruction(self) -> Plan:
        """Plan to destroy everything. The stack must be unprotected."""
        run, raw, _ = self._run(destroy=True)
        if run.error is not None:
            raise run.error
        with reading_plan():
            return Plan(self.plan_path, find_changes(raw), run.changes, destroy=True, json=raw)

    def judge(self, plan: Plan) -> None:
        """Refuse a plan that must not be applied, and warn about what is unusual.

        Raises:
            GuardRefused: it breaks a rule of the guard that is not waived.
            TerraformError: Terraform would not apply it.
        """
        refuse_foreign_resources(plan.json, self._config)
        refuse(plan.findings)
        if plan.error is not None:
            raise plan.error
        warnings = [f"{one.rule.id} is waived: {one.message} ({one.waived})" for one in plan.findings]
        with reading_plan():
            warnings += [*find_blocked(self._config), *find_restarts(plan.json)]
            if other_spark := find_other_spark(plan.json, wanted=spark_version(self._config)):
                warnings.append(other_spark)
            if _has_another_key(plan.json):
                warnings.append(
                    f"the cluster was made with another key than {self._config.ssh.key}.pub: its machines accept the "
                    "old one until you add the new one to ~/.ssh/authorized_keys there"
                )
        for warning in warnings:
            self._stack.reporter(Warned(warning))

    def refuse_file(self, plan: Plan) -> None:
        """Refuse a plan by the content of its file alone. Terraform shows the file again unless it is still the same.

        Raises:
            GuardRefused: it breaks a rule of the guard that is not waived.
        """
        if not plan.digest or plan.digest != file_digest(plan.path):
            plan = self.read_plan(plan.path)
        refuse_foreign_resources(plan.json, self._config)
        refuse(plan.findings)

    def read_plan(self, path: Path) -> Plan:
        """Return the plan in a file. The stack must be prepared.

        Raises:
            TerraformError: it is no plan of this stack and Terraform version.
        """
        digest = file_digest(path)
        raw = self._stack.terraform.show(path)
        with reading_plan():
            findings = evaluate(self._config, raw)
            return Plan(path, find_changes(raw), changes_anything(raw), json=raw, findings=findings, digest=digest)

    def drift(self) -> tuple[Drift, ...]:
        """Return what has changed in AWS since the last apply, without power.

        Raises:
            TerraformError, Locked, ConfigError: Terraform could not read AWS.
        """
        self._stack.prepare()
        path = self.plan_path.with_name("drift.tfplan")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            run = self._stack.terraform.plan(out=path, refresh_only=True)
            if run.error is not None:
                raise run.error
            raw = self._stack.terraform.show(path)
        finally:
            path.unlink(missing_ok=True)
        with reading_plan():
            redacted = redact_plan(raw, secrets=plain_secrets(self._config))
            ignores_tag = self._config.aws.ignore_tags.ignores
            return find_drift(redacted, ignores_tag=ignores_tag, may_be=self._config.may_be)

    def _run(
        self, *, destroy: bool = False, to_save: bool = False, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[PlanRun, dict[str, Any], str]:
        """Plan; return the plan as JSON too, even one that ``prevent_destroy`` has refused, and the file's digest."""
        path, terraform = self.plan_path, self._stack.terraform
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        try:
            run = terraform.plan(out=path, destroy=destroy, meanwhile=meanwhile)
        except BaseException:
            path.unlink(missing_ok=True)  # it holds the state's secrets
            raise
        if run.error is None:
            digest = file_digest(path)
            if not (run.changes or to_save):
                with suppress(ValueError, OSError):  # OpenTofu may have encrypted the file
                    return run, show_unchanged(path.read_bytes()), digest
            return run, terraform.show(path), digest
        prevented = [item for item in run.diagnostics if item.summary in DESTROY_PREVENTED]
        if not prevented:
            raise run.error
        try:
            raw = terraform.show(path)
        except PioTfError:
            raw = {}
        return run, raw if _shows(raw, prevented) else self._run_unprotected(), ""

    def _run_unprotected(self) -> dict[str, Any]:
        """Return as JSON what the stack would plan without ``prevent_destroy``.

        Terraform before 1.7 leaves refused changes out of the plan file, or writes none: only its error names them,
        without machines and reasons. No plan file remains that could be applied.
        """
        self._stack.reporter(
            Step("Terraform refuses to plan: planning without prevent_destroy, to show what it refuses")
        )
        path = self.plan_path.with_name("refused.tfplan")
        try:
            with self._stack.unprotected():
                run = self._stack.terraform.plan(out=path)
                if run.error is not None:
                    raise run.error
                return self._stack.terraform.show(path)
        finally:
            path.unlink(missing_ok=True)

    def _untaint(self, removals: tuple[Removal, ...]) -> None:
        # Terraform taints a resource whose creation it was interrupted waiting for. Ours have no provisioners: they are
        # complete once AWS has made them, so replacing them would be wrong.
        for removal in removals:
            warning = f"the creation of {removal.address} was interrupted, but it exists: pio-tf uses it as it is"
            self._stack.reporter(Warned(warning))
            self._stack.terraform.untaint(removal.address)


def _shows(raw: Mapping[str, Any], prevented: Sequence[Diagnostic]) -> bool:
    """Return whether a plan as JSON has every change that ``prevent_destroy`` has refused.

    The errors are "Resource ADDRESS has lifecycle.prevent_destroy set, but …", and OpenTofu's "Resource instance
    ADDRESS has prevent_destroy set, but …".
    """
    with reading_plan():
        removed = [f" {removal.address} has " for removal in find_removals(raw)]
    return all(any(address in " ".join(item.detail.split()) for address in removed) for item in prevented)


def _has_another_key(raw: Mapping[str, Any]) -> bool:
    """Return whether pio-tf.hcl names another key than the cluster's key pair, which never changes."""
    wanted = ((raw.get("variables") or {}).get("ssh") or {}).get("value", {}).get("public_key")
    pairs = [
        change["change"].get("before") or {}
        for change in raw.get("resource_changes") or ()
        if change["type"] == "aws_key_pair"
    ]
    # Without the comments.
    return any(wanted and pair and pair["public_key"].split()[:2] != wanted.split()[:2] for pair in pairs)
