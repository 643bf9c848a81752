"""A machine as EC2 sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from pio_tf.infra.outputs import Role

PowerState: TypeAlias = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]

GONE: Final[tuple[PowerState, ...]] = ("shutting-down", "terminated")
"""On their way out, or gone."""

CLUSTER_TAG = "pio-tf:cluster"
"""Tag on everything of a cluster; its value is the cluster's name. What does not carry it is not touched."""
ROLE_TAG = "pio-tf:role"
MACHINE_TAG = "pio-tf:machine"


@dataclass(frozen=True)
class Machine:
    """One EC2 instance of the cluster."""

    name: str
    role: Role
    instance_id: str
    instance_type: str
    state: PowerState
    private_ip: str
    public_ip: str | None
    since: datetime | None
    """When it was last started, or stopped (UTC): launch time, or the time in EC2's state transition reason."""
    spot: bool = False
    """Whether it is a Spot instance: not one of pio-tf's making, and not one that it starts."""
    in_outputs: bool = True
    """False for a machine that carries the cluster's tags but is not in Terraform's outputs (a half-created stack)."""
    zone: str = ""
    """Availability zone."""
    cluster: str = ""
    """The cluster that it is tagged for; empty: none."""

    @property
    def is_on(self) -> bool:
        """Whether it runs, or is about to."""
        return self.state in ("pending", "running")

    @property
    def is_going(self) -> bool:
        """Whether it is being removed for good, or has been."""
        return self.state in GONE

    @property
    def is_off(self) -> bool:
        """Whether nothing of it runs any more. One that is stopping does until it is stopped."""
        return self.state == "stopped" or self.is_going
