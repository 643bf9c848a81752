"""The machines of a cluster without Terraform: instances that exist already, and that pio-tf.hcl names by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from pio_tf.config.roles import role_of
from pio_tf.errors import PioTfError
from pio_tf.machines.existing import refuse_terminating
from pio_tf.machines.inventory import describe_by_id, find_named_machines
from pio_tf.model import MachineOutput, Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pio_tf.cluster.deadline import Deadline
    from pio_tf.cluster.defaults import Agree
    from pio_tf.cluster.fleet import Fleet, FleetView
    from pio_tf.context import ClusterContext


class MachineSource(Protocol):
    """The place that knows which machines a cluster has: Terraform's outputs, or the ids in pio-tf.hcl."""

    def outputs(self) -> Outputs:
        """Return the machines.

        Raises:
            PioTfError: they do not exist.
        """

    def outputs_if_any(self) -> Outputs | None:
        """Return the machines if the source can be asked: they must stop in any case."""

    def prepare_start(self, until: datetime | None, *, apply: bool, agree: Agree) -> tuple[Outputs, FleetView]:
        """Return machines that may start: they exist, and their deadline is armed.

        Args:
            until: the deadline; None: no deadline.
            apply: first create and change what pio-tf.hcl asks for.
            agree: is asked before machines are created.
        """


class NamedMachines(Struct, frozen=True):
    """The instances that the machines block names. pio-tf neither creates, changes nor removes them."""

    context: ClusterContext
    fleet: Fleet
    deadline: Deadline

    def outputs(self) -> Outputs:
        """Return the machines. All of them must exist.

        Raises:
            AwsError: one is gone, is a Spot instance, or is another cluster's.
        """
        config = self.context.config
        found = find_named_machines(self.context.ec2, config.machines.ids, cluster=config.cluster.name)
        return self._outputs({one.instance_id: one.private_ip for one in found})

    def outputs_if_any(self) -> Outputs | None:
        """Return the machines, also terminated ones. None: AWS can't be asked, as the caller will find, too."""
        try:
            found = describe_by_id(self.context.ec2, self.context.config.machines.ids.values())
        except PioTfError:
            return None
        return self._outputs({one: instance.get("PrivateIpAddress", "") for one, instance in found.items()})

    def prepare_start(self, until: datetime | None, *, apply: bool, agree: Agree) -> tuple[Outputs, FleetView]:  # noqa: ARG002 - nothing is created
        """Return the machines with their deadline armed."""
        outputs = self.outputs()
        refuse_terminating(self.context.ec2, self.context.config)
        found = self.fleet.look(outputs)
        self.deadline.arm(outputs, found, until)
        return outputs, found

    def _outputs(self, addresses: Mapping[str, str]) -> Outputs:
        """Return the machines; ``addresses``: private addresses by instance id."""
        config = self.context.config
        return Outputs(
            cluster=config.cluster.name,
            region=config.aws.region,
            machines=tuple(
                MachineOutput(name, role_of(name), one, addresses.get(one, ""))
                for name, one in config.machines.ids.items()
            ),
            deadline_role_arn=config.failsafe.role_arn,
        )
