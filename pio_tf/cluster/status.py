"""How a cluster stands, as `status` finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from pio_tf.model import Machine


@dataclass(frozen=True)
class ClusterStatus:
    """What ``status`` found."""

    cluster: str
    created: bool
    """Whether Terraform has outputs: the cluster has been created."""
    machines: tuple[Machine, ...]
    alive: frozenset[str] | None
    """Private addresses of the workers that Spark's master counts as ALIVE; None where it could not be asked."""
    run: str = ""
    """The run that is active, or being prepared; empty: none, or the driver could not be asked."""
    deadline: datetime | None = None
    """When AWS stops the machines, UTC; None: there is none, nothing runs, or AWS could not be asked."""

    def spark_alive(self, machine: Machine) -> bool | None:
        """Whether Spark has this worker; None for other roles and where it is not known."""
        if machine.role != "worker" or self.alive is None:
            return None
        return machine.private_ip in self.alive
