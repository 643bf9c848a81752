"""A cluster's infrastructure: generate, plan, apply, read outputs, destroy."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pio_tf.errors import PioTfError, TerraformError
from pio_tf.events import Done, Reporter, Step, Warned, silent
from pio_tf.infra.backend.advice import advise
from pio_tf.infra.backend.move import refuse_leaving, state_in_place
from pio_tf.infra.backend.s3 import require_lockfile, s3_backend
from pio_tf.infra.backend.workspace import refuse_workspace
from pio_tf.infra.backups import ERRORED, StateBackups
from pio_tf.infra.belonging import refuse_strangers
from pio_tf.infra.binary import TerraformBinary, find_terraform, locate_terraform
from pio_tf.infra.diagnostics import DESTROY_PREVENTED
from pio_tf.infra.drift import Drift, find_drift
from pio_tf.infra.environment import terraform_environ
from pio_tf.infra.guard import Removal, find_removals, find_restarts, refusal
from pio_tf.infra.outputs import Outputs, refuse_another_region
from pio_tf.infra.plan import Plan, changes_anything, find_changes, reading_plan
from pio_tf.infra.policy import evaluate, refuse
from pio_tf.infra.redaction import plain_secrets, redact_plan
from pio_tf.infra.stack import write_stack
from pio_tf.infra.terraform import PlanResult, Terraform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config

_TERRAFORM_DEFAULT_PARALLELISM = 10
_OTHER_RESOURCES = 8  # network, security group and key pair, beside the machines
_TAINTED = "replace_because_tainted"


class Deployment:
    """A cluster's infrastructure.

    Args:
        config: the cluster.
        reporter: told of steps, resources and warnings.
        environ: environment, for PATH and what Terraform inherits; default: this process's.
        lock_timeout: how long to wait for a state that somebody else has locked, seconds; default:
            ``terraform.lock_timeout``.
    """

    def __init__(
        self,
        config: Config,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
        lock_timeout: float | None = None,
    ) -> None:
        self.config = config
        self._reporter = reporter
        self._environ = os.environ if environ is None else environ
        self._lock_timeout = config.terraform.lock_timeout if lock_timeout is None else lock_timeout

    @cached_property
    def terraform(self) -> Terraform:
        """Terraform, in the stack's directory.

        Raises:
            TerraformError: there is none, or it is too old.
        """
        binary = find_terraform(self.config, environ=self._environ)
        backend = s3_backend(self.config)
        if backend is not None:
            require_lockfile(backend, binary)
        return self._with(binary)

    def _with(self, binary: TerraformBinary) -> Terraform:
        refuse_workspace(self.config.stack_dir, self._environ)
        return Terraform(
            binary,
            self.config.stack_dir,
            environ=terraform_environ(self.config, self._environ),
            reporter=self._reporter,
            lock_timeout=self._lock_timeout,
            initialising=partial(state_in_place, self.config, reporter=self._reporter),
            advise=partial(advise, backend=s3_backend(self.config)),
        )

    @property
    def parallelism(self) -> int:
        """Resources at once: as many as there are machines, so that they are all made at the same time."""
        if self.config.terraform.parallelism is not None:
            return self.config.terraform.parallelism
        return max(_TERRAFORM_DEFAULT_PARALLELISM, len(self.config.machine_names) + _OTHER_RESOURCES)

    def generate(self) -> Path:
        """Write the stack. Returns its directory.

        Raises:
            ConfigError: see :func:`pio_tf.infra.stack.write_stack`.
        """
        return write_stack(self.config)

    def plan(self, *, destroy: bool = False) -> Plan:
        """Write the stack and plan it. Changes nothing in AWS.

        Args:
            destroy: show what :meth:`destroy` would remove. Such a plan cannot be given to :meth:`apply`.

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

    def prepare(self) -> None:
        """Write the stack, initialised.

        Raises:
            ConfigError: the stack cannot be written; the cluster was created in another region.
            TerraformError: it cannot be initialised.
        """
        self.generate()
        self._initialise()

    def _initialise(self) -> None:
        """The stack that is written, with its providers and its state."""
        self._check_state()
        self.terraform.init()
        self._bring_back()
        self._refuse_another_region()

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

    def apply(self, plan: Plan) -> Outputs:
        """Apply a plan, if the guard lets it pass.

        Raises:
            GuardRefused: the plan would remove or replace what must survive.
            TerraformError: something failed. What was made is in the state; planning and applying again goes on.
            Locked: somebody else is working on this cluster.
        """
        raw = self.terraform.show(plan.path)
        self._refuse_strangers(raw)
        with reading_plan():
            findings = evaluate(self.config, raw)
        refuse(findings)
        if plan.has_changes:
            self._apply(plan)
        outputs = Outputs.from_terraform(self.terraform.output())
        if outputs is None:
            raise TerraformError(
                f"the stack in {self.config.stack_dir} has no machines after its apply",
                cause="its outputs are missing or incomplete",
                next_step="run `pio-tf generate`, then `pio-tf apply`",
            )
        return outputs

    def adopt(self, made: Mapping[str, tuple[str, frozenset[str]]]) -> bool:
        """Take machines into the state that an interrupted creation has made, if its security group is theirs.

        Args:
            made: by their addresses in Terraform: instance ids, and ids of their security groups.

        Returns:
            Whether they are in the state now; False: not all of them are this state's.

        Raises:
            TerraformError, Locked: Terraform cannot take them.
        """
        groups = self.terraform.ids("aws_security_group")
        if not all(theirs and theirs <= groups for _, theirs in made.values()):
            return False
        with self._backups.named(self._backups.keep()):
            for address, (instance_id, _) in made.items():
                self._reporter(Step(f"Taking over {instance_id}, whose creation was cut off, as {address}"))
                self.terraform.adopt(address, instance_id)
        self._close_state_files()
        return True

    def outputs(self) -> Outputs | None:
        """The outputs of the last apply; None for a cluster that was never applied. Asks Terraform, not AWS.

        Raises:
            TerraformError: the state cannot be read.
        """
        directory = self.config.stack_dir
        if self.config.terraform.backend is None:
            refuse_leaving(self.config)
            if not (directory / "terraform.tfstate").is_file():
                return None
            # Every command begins with this: reading a local state needs no version check and no init.
            quick = self._with(locate_terraform(self.config, environ=self._environ))
            return Outputs.from_terraform(quick.output())
        self.generate()
        self.terraform.init()
        return Outputs.from_terraform(self.terraform.output())

    def destroy(self) -> None:
        """Remove everything of the cluster. The only way round the guard; after an interruption, run it again.

        Raises:
            GuardRefused: the state names something that is not this cluster's: nothing was removed.
            TerraformError: something could not be removed.
            Locked: somebody else is working on this cluster.
        """
        with self._unprotected():
            plan = self._plan(destroy=True)
            self._refuse_strangers(plan.json)
            if plan.has_changes:
                self._reporter(Step(f"Destroying {plan.counts['delete']} resources"))
                self._apply(plan)
        self._reporter(Done(f"Cluster {self.config.cluster.name} is destroyed"))

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

    @contextmanager
    def _unprotected(self) -> Iterator[None]:
        """The stack without ``prevent_destroy``, initialised; protected again at the end, whatever happens."""
        try:
            write_stack(self.config, protect=False)
            self._initialise()
            yield
        finally:
            self.generate()

    def _refuse_strangers(self, raw: Mapping[str, Any]) -> None:
        with reading_plan():
            refuse_strangers(raw, cluster=self.config.cluster.name)

    def _refuse_another_region(self) -> None:
        region = self.terraform.output().get("region")
        refuse_another_region(self.config, region.get("value") if isinstance(region, dict) else None)

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

    def _run_plan(self, *, destroy: bool) -> tuple[PlanResult, dict[str, Any]]:
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

    def _apply(self, plan: Plan) -> None:
        try:
            with self._backups.named(self._backups.keep()):
                self.terraform.apply(plan.path, parallelism=self.parallelism)
        finally:
            plan.path.unlink(missing_ok=True)  # it holds the state's secrets, and is stale now
            self._close_state_files()

    @cached_property
    def _backups(self) -> StateBackups:
        return StateBackups(self.config)

    def _check_state(self) -> None:
        """Before Terraform reads a local state: one that was not written to its end is told with the last good one."""
        state = self.config.stack_dir / "terraform.tfstate"
        if self.config.terraform.backend is None and state.is_file():
            self._backups.check(state.read_bytes())

    def _bring_back(self) -> None:
        """The state of an apply that could not write it, if there is one: it knows what that has made.

        Raises:
            TerraformError: it is older than the state that there is, or another cluster's.
        """
        left = self.config.stack_dir / ERRORED
        if not left.is_file():
            return
        self._reporter(Step(f"Bringing back the state that Terraform could not write, from {left}"))
        try:
            self.terraform.push_state(left)
        except TerraformError as error:
            raise TerraformError(
                f"the state in {left} could not be brought back",
                cause=error.cause,
                next_step="it is what Terraform had when it could not write its state. If the state there now is "
                f"newer, remove the file; else terraform -chdir={self.config.stack_dir} state push -force {ERRORED}",
                details={**error.details, "errored_state": str(left)},
            ) from error
        kept = self._backups.put_aside(left)
        self._reporter(Done(f"the state is back; a copy is kept as {kept}"))

    def _close_state_files(self) -> None:
        """Plain Terraform may have made them readable for all."""
        for path in self.config.stack_dir.glob("terraform.tfstate*"):
            path.chmod(0o600)

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
