"""A cluster's infrastructure: planned, applied, read and destroyed with Terraform."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pio_tf.errors import TerraformError
from pio_tf.events import Done, Reporter, Step, silent
from pio_tf.infra.foreign_resources import refuse_foreign_resources
from pio_tf.infra.guard import ADOPTED, find_removals, refusal
from pio_tf.infra.planner import Planner
from pio_tf.infra.stack_directory import StackDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.infra.plan import Plan
    from pio_tf.model import Outputs


class Deployment:
    """A cluster's infrastructure: its stack, its plans, and what changes AWS.

    Args:
        reporter: gets steps, resources and warnings.
        environ: environment, for PATH and what Terraform inherits; default: this process's.
        lock_timeout: seconds to wait for a state that another client has locked; default: ``terraform.lock_timeout``.
        directory: of the stack, instead of one made with the other arguments.
    """

    def __init__(
        self,
        config: Config,
        *,
        reporter: Reporter = silent,
        environ: Mapping[str, str] | None = None,
        lock_timeout: float | None = None,
        directory: StackDirectory | None = None,
    ) -> None:
        self.config = config
        self.stack = directory or StackDirectory(
            config,
            reporter=reporter,
            environ=os.environ if environ is None else environ,
            lock_timeout=config.terraform.lock_timeout if lock_timeout is None else lock_timeout,
        )
        self.planner = Planner(self.stack)
        self._reporter = self.stack.reporter
        self.generate, self.prepare, self.outputs = self.stack.generate, self.stack.prepare, self.stack.outputs
        self.plan, self.draft, self.judge = self.planner.plan, self.planner.draft, self.planner.judge
        self.read_plan, self.drift = self.planner.read_plan, self.planner.drift

    def apply(self, plan: Plan) -> Outputs:
        """Apply a plan, if the guard permits it.

        Raises:
            GuardRefused: the plan would remove or replace what must survive.
            TerraformError: something failed. What was made is in the state; the next apply does the rest.
            Locked: another client is working on this cluster.
        """
        # An apply without changes encrypts the state, or encrypts it with another key, as TF_ENCRYPTION says.
        if plan.has_changes or self.stack.encrypts:
            self.planner.refuse_file(plan)
            self._apply(plan)
        outputs = self.stack.applied_outputs()
        if outputs is None:
            raise TerraformError(
                f"the stack in {self.config.stack_dir} has no machines after its apply",
                cause="its outputs are missing or incomplete",
                next_step="run `pio-tf generate`, then `pio-tf apply`",
            )
        return outputs

    def adopt(self, made: Mapping[str, tuple[str, frozenset[str]]]) -> bool:
        """Take machines of an interrupted creation into the state, if their security group is this state's.

        Args:
            made: address in Terraform to the instance's id and the ids of its security groups.

        Returns:
            Whether they are in the state now. False: at least one is not this state's.

        Raises:
            TerraformError, Locked: Terraform could not import them.
        """
        groups = self.stack.terraform.resource_ids("aws_security_group")
        others = frozenset(self.config.network.security_group_ids)
        if not all(theirs & groups and theirs <= groups | others for _, theirs in made.values()):
            return False
        with self.stack.changing_state() as terraform:
            for address, (instance_id, _) in made.items():
                self._reporter(Step(f"Taking over {instance_id}, whose creation was interrupted, as {address}"))
                terraform.import_resource(address, instance_id)
        return True

    def destroy(self) -> None:
        """Remove everything of the cluster that Terraform has made. After an interruption, run it again.

        The guard permits it here only. Machines that Terraform has imported stay as they are.

        Raises:
            GuardRefused: the state names something that is not this cluster's: nothing was removed.
            TerraformError: something could not be removed.
            Locked: another client is working on this cluster.
        """
        with self.stack.unprotected():
            self._forget_adopted()
            plan = self.planner.draft_destruction()
            refuse_foreign_resources(plan.json, self.config)
            if removals := [one for one in find_removals(plan.json) if one.is_adopted]:
                raise refusal(removals)
            if plan.has_changes:
                number = plan.counts["delete"]
                self._reporter(Step(f"Destroying {number} resource{'' if number == 1 else 's'}"))
                self._apply(plan)
        self._reporter(Done(f"Cluster {self.config.cluster.name} is destroyed"))

    def _forget_adopted(self) -> None:
        if not self.config.adopted:
            return
        known = self.stack.terraform.addresses("aws_instance")
        if adopted := [address for address in known if ADOPTED.match(address)]:
            with self.stack.changing_state() as terraform:
                terraform.forget(adopted)

    def _apply(self, plan: Plan) -> None:
        try:
            with self.stack.changing_state() as terraform:
                terraform.apply(plan.path)
        finally:
            plan.path.unlink(missing_ok=True)  # it holds the state's secrets, and is stale now
