"""A cluster's infrastructure: applied, taken over, read, destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import TerraformError
from pio_tf.events import Done, Step
from pio_tf.infra.backend.move import refuse_leaving
from pio_tf.infra.binary import locate_terraform
from pio_tf.infra.plan import Plan, reading_plan
from pio_tf.infra.planning import Planning
from pio_tf.infra.policy import evaluate, refuse
from pio_tf.model import Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Deployment(Planning):
    """A cluster's infrastructure."""

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

    def _apply(self, plan: Plan) -> None:
        try:
            with self._backups.named(self._backups.keep()):
                self.terraform.apply(plan.path, parallelism=self.parallelism)
        finally:
            plan.path.unlink(missing_ok=True)  # it holds the state's secrets, and is stale now
            self._close_state_files()
