"""A cluster's plans: made, read, and judged by the guard. Nothing in AWS is changed for them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pio_tf.errors import PioTfError
from pio_tf.events import Warned
from pio_tf.infra.diagnostics import DESTROY_PREVENTED
from pio_tf.infra.drift import Drift, find_drift
from pio_tf.infra.guard import Removal, find_removals, find_restarts, refusal
from pio_tf.infra.plan import Plan, changes_anything, find_changes, reading_plan
from pio_tf.infra.policy import evaluate, refuse
from pio_tf.infra.prepared_stack import PreparedStack
from pio_tf.infra.redaction import plain_secrets, redact_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.infra.terraform import PlanRun

_TAINTED = "replace_because_tainted"


class Planning(PreparedStack):
    """A stack that can be planned."""

    def plan(self, *, destroy: bool = False) -> Plan:
        """Write the stack and plan it. Changes nothing in AWS.

        Args:
            destroy: show what destroying would remove. Such a plan cannot be applied.

        Raises:
            GuardRefused: the plan would remove or replace what must survive.
            TerraformError, Locked, ConfigError: Terraform could not plan.
        """
        if destroy:
            with self._unprotected():
                return self._plan(destroy=True)
        plan = self.draft()
        self.judge(plan)
        return plan

    def draft(self) -> Plan:
        """Write the stack and plan it. Changes nothing in AWS; the guard has looked at it, but refused nothing yet.

        Raises:
            GuardRefused: Terraform would replace what must survive, and wrote no plan of it.
            TerraformError, Locked, ConfigError: Terraform could not plan.
        """
        self.prepare()
        return self._plan()

    def judge(self, plan: Plan) -> None:
        """Let a plan pass only if nothing is wrong with it; tell what is unusual.

        Raises:
            GuardRefused: it breaks a rule of the guard that is not waived.
            TerraformError: Terraform would not apply it.
        """
        self._refuse_strangers(plan.json)
        refuse(plan.findings)
        if plan.error is not None:
            raise plan.error
        for finding in plan.findings:
            self._reporter(Warned(f"{finding.rule.id} is waived: {finding.message} ({finding.waived})"))
        with reading_plan():
            restarts, other_key = find_restarts(plan.json), self._has_another_key(plan.json)
        for line in restarts:
            self._reporter(Warned(line))
        if other_key:
            self._reporter(
                Warned(
                    f"the cluster was made with another key than {self.config.ssh.key}.pub: its machines accept "
                    "the old one until you add the new one to ~/.ssh/authorized_keys there"
                )
            )

    def read_plan(self, path: Path) -> Plan:
        """A plan file, by its own word. The stack must be prepared.

        Raises:
            TerraformError: it is no plan of this stack and Terraform version.
        """
        raw = self.terraform.show(path)
        with reading_plan():
            return Plan(
                path=path,
                changes=find_changes(raw),
                has_changes=changes_anything(raw),
                json=raw,
                findings=evaluate(self.config, raw),
            )

    def drift(self) -> tuple[Drift, ...]:
        """What somebody has changed in AWS since the last apply; power is no drift. Changes nothing.

        Raises:
            TerraformError, Locked, ConfigError: Terraform could not look.
        """
        self.prepare()
        with self._passing_plan() as path:
            result = self.terraform.plan(out=path, refresh_only=True, parallelism=self.parallelism)
            if result.error is not None:
                raise result.error
            raw = self.terraform.show(path)
        with reading_plan():
            return find_drift(redact_plan(raw, secrets=plain_secrets(self.config)))

    @property
    def plan_path(self) -> Path:
        """Where plan files are kept until they are applied."""
        return self.config.work_dir / "plan.tfplan"

    @contextmanager
    def _passing_plan(self) -> Iterator[Path]:
        """Where to write a plan file that is looked at and forgotten."""
        path = self.plan_path.with_name("drift.tfplan")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _plan(self, *, destroy: bool = False) -> Plan:
        result, raw = self._run_plan(destroy=destroy)
        removals = () if destroy else _removals(raw)
        if removals and all(removal.reason == _TAINTED for removal in removals):
            self._keep_tainted(removals)
            result, raw = self._run_plan(destroy=destroy)
            removals = _removals(raw)
        if result.error is not None and not removals:
            raise result.error
        with reading_plan():
            return Plan(
                path=self.plan_path,
                changes=find_changes(raw),
                has_changes=result.changes or bool(removals),
                destroy=destroy,
                json=raw,
                findings=() if destroy else evaluate(self.config, raw),
                error=result.error,
            )

    def _run_plan(self, *, destroy: bool) -> tuple[PlanRun, dict[str, Any]]:
        """Plan, and the plan as JSON. A plan that ``prevent_destroy`` has refused is there all the same."""
        path = self.plan_path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        result = self.terraform.plan(out=path, destroy=destroy, parallelism=self.parallelism)
        if result.error is None:
            return result, self.terraform.show(path)
        prevented = [item for item in result.diagnostics if item.summary == DESTROY_PREVENTED]
        if not prevented:
            raise result.error
        try:
            return result, self.terraform.show(path)
        except PioTfError:
            # Terraform before 1.6 writes no plan file then: its own words must do.
            raise refusal(tuple(_prevented(str(item.detail)) for item in prevented)) from result.error

    def _keep_tainted(self, removals: tuple[Removal, ...]) -> None:
        # Terraform taints what AWS has made when it was interrupted while waiting for it. All of ours are complete
        # once AWS has made them: there are no provisioners. To replace them would be wrong; to ask the user, idle.
        for removal in removals:
            self._reporter(Warned(f"{removal.address} exists, though its creation was not seen to its end: it is kept"))
            self.terraform.untaint(removal.address)

    def _has_another_key(self, raw: Mapping[str, Any]) -> bool:
        """Whether pio-tf.hcl has come to name another key: the cluster's key pair is never changed."""
        wanted = ((raw.get("variables") or {}).get("ssh") or {}).get("value", {}).get("public_key")
        pairs = [
            change["change"].get("before") or {}
            for change in raw.get("resource_changes") or ()
            if change["type"] == "aws_key_pair"
        ]
        return any(wanted and before and not _same_key(before["public_key"], wanted) for before in pairs)


def _removals(raw: Mapping[str, Any]) -> tuple[Removal, ...]:
    with reading_plan():
        return find_removals(raw)


def _prevented(detail: str) -> Removal:
    """From Terraform's words: ``Resource module.driver.aws_instance.this has lifecycle.prevent_destroy set, but …``."""
    words = detail.split()
    address = words[1] if len(words) > 1 and words[0] == "Resource" else " ".join(words[:12])
    kind = next((part for part in reversed(address.split(".")) if part.startswith("aws_")), "")
    return Removal(address=address, type=kind, name="", replaced=True, reason="", arguments=())


def _same_key(one: str, other: str) -> bool:
    """Whether two public keys are the same; their comments do not count."""
    return one.split()[:2] == other.split()[:2]
