"""A cluster's stack as it was applied last."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.cluster.messages import short
from pio_tf.errors import NotReady, PioTfError
from pio_tf.events import Warned
from pio_tf.infra.stack_directory import StackDirectory
from pio_tf.model import refuse_another_region

if TYPE_CHECKING:
    from pio_tf.context import ClusterContext
    from pio_tf.events import Reporter
    from pio_tf.model import Outputs


class CreatedStack(Struct, frozen=True, dict=True):
    """The stack of one cluster, for a command that changes nothing of it.

    Args:
        hear: gets steps, resources and warnings of Terraform.
    """

    context: ClusterContext
    hear: Reporter

    @cached_property
    def directory(self) -> StackDirectory:
        """The directory of the stack, with its state."""
        config = self.context.config
        return StackDirectory(
            config, reporter=self.hear, environ=self.context.environ, lock_timeout=config.terraform.lock_timeout
        )

    def outputs(self) -> Outputs:
        """Return Terraform's outputs. Raise NotReady if the cluster has not been created."""
        outputs = self.directory.outputs()
        if outputs is None:
            config = self.context.config
            raise NotReady(
                f"{config.cluster.name} has not been created",
                cause=f"the stack in {config.stack_dir} has no outputs",
                next_step="pio-tf up",
            )
        return outputs

    def outputs_if_any(self) -> Outputs | None:
        """Return Terraform's outputs if it can be asked: machines must stop even if Terraform or its state fails."""
        try:
            outputs = self.directory.outputs()
        except PioTfError as error:
            self.context.report(Warned(f"using only the tags of the machines: {short(error)}"))
            return None
        if outputs is not None:
            # Rather than find no machines there, and call them stopped.
            refuse_another_region(self.context.config, outputs.region)
        return outputs
