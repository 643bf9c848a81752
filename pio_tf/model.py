"""The model that all packages share: a machine, its role and power state, and Terraform's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.config import roles
from pio_tf.errors import ConfigError, TerraformError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence, Sized
    from datetime import datetime

    from pio_tf.config.schema import Config

Role: TypeAlias = roles.Role
PowerState: TypeAlias = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]

TERMINATED: Final[tuple[PowerState, ...]] = ("shutting-down", "terminated")
"""AWS is removing the machine, or has removed it."""

RIGHT_STATE = "Terraform's outputs name a machine of another cluster: restore the right state"
"""The next step after that."""
CLUSTER_TAG = "pio-tf:cluster"
"""The tag on everything of a cluster; its value is the cluster's name. pio-tf touches nothing without it."""
ROLE_TAG = "pio-tf:role"
MACHINE_TAG = "pio-tf:machine"
SCHEDULED_TAG = "pio-tf:scheduled-start"
"""EventBridge Scheduler sets it right before it starts the machines for a training: the schedule's token, a space, and
the scheduled time. Only machines that carry it may be started and stopped by the schedule."""


class Machine(Struct, frozen=True):
    """One EC2 instance of the cluster."""

    name: str
    role: Role
    instance_id: str
    instance_type: str
    state: PowerState
    private_ip: str
    public_ip: str | None
    since: datetime | None
    """When it last started or stopped (UTC): the launch time, or the time in EC2's state transition reason."""
    spot: bool = False
    """True for a Spot instance, which pio-tf neither creates nor starts."""
    in_outputs: bool = True
    """False for a machine that carries the cluster's tags but is not in Terraform's outputs (a half-created stack)."""
    zone: str = ""
    """Availability zone."""
    cluster: str = ""
    """The cluster in its tag; empty: none."""
    architecture: str = "x86_64"
    virtualization: str = "hvm"
    has_ena: bool = False
    """True if it supports enhanced networking (ENA), which current instance types need."""
    powered_itself_off: bool = False
    """True if it is off, or about to be, because of a shutdown from inside: no client and no deadline stopped it."""
    reads_tags: bool = False
    """True if it may read its own tags from its metadata service."""
    scheduled_start: str = ""
    """The value of :data:`SCHEDULED_TAG`; empty: it does not carry the tag."""

    @property
    def is_on(self) -> bool:
        """Tell whether it runs or is about to."""
        return self.state in ("pending", "running")

    @property
    def is_terminated(self) -> bool:
        """Tell whether AWS is removing it for good, or has removed it."""
        return self.state in TERMINATED

    @property
    def is_off(self) -> bool:
        """Tell whether it is stopped or terminated. A machine that is stopping still runs."""
        return self.state == "stopped" or self.is_terminated


def count(machines: Sized) -> str:
    """Return ``1 machine`` or ``4 machines``."""
    return f"{len(machines)} machine{'' if len(machines) == 1 else 's'}"


@dataclass(frozen=True)
class MachineOutput:
    """One machine as Terraform created it."""

    name: str
    role: Role
    instance_id: str
    private_ip: str
    eip: str | None = None
    """Its Elastic IP."""


class Outputs(Struct, frozen=True):
    """The outputs of an applied stack, from ``terraform output -json``.

    They hold only what never changes with power, so that a plan after a stop shows no output changes.
    """

    cluster: str
    region: str
    machines: tuple[MachineOutput, ...]
    deadline_role_arn: str | None = None
    """The role that EventBridge Scheduler stops the machines with; None: no role, or an older stack."""
    schedule_role_arn: str | None = None
    """The role that it starts and stops them with for scheduled trainings; None: no role."""

    @property
    def driver(self) -> MachineOutput:
        """Return the driver."""
        return next(machine for machine in self.machines if machine.role == "driver")

    @property
    def master(self) -> MachineOutput:
        """Return the Spark master."""
        return next(machine for machine in self.machines if machine.role == "master")

    @property
    def workers(self) -> tuple[MachineOutput, ...]:
        """Return the Spark workers, by number."""
        return tuple(machine for machine in self.machines if machine.role == "worker")

    def only(self, names: Container[str]) -> Outputs:
        """Return the outputs without the workers that are not in ``names``, for a cluster that continues with fewer."""
        kept = tuple(one for one in self.machines if one.role != "worker" or one.name in names)
        return replace(self, machines=kept)

    @classmethod
    def from_terraform(cls, raw: Mapping[str, Any]) -> Outputs | None:
        """Read the object of ``terraform output -json``; return None for a stack that is not complete yet.

        After a failed apply, the outputs that Terraform could not compute are missing.

        Raises:
            TerraformError: the outputs are not those of a pio-tf stack.
        """
        if not raw or ("machines" not in raw and "cluster" in raw):
            return None
        try:
            machines = tuple(
                MachineOutput(
                    name=name,
                    role=_role(item["role"]),
                    instance_id=_text(item["id"]),
                    private_ip=_text(item["private_ip"]),
                    eip=_text(item["eip"]) if item.get("eip") else None,
                )
                for name, item in sorted(raw["machines"]["value"].items(), key=_machine_order)
            )
            _check_ids(machines)
            if {"driver", "master"} - {machine.role for machine in machines}:
                return None
            return cls(
                cluster=_text(raw["cluster"]["value"]),
                region=_text(raw["region"]["value"]),
                machines=machines,
                deadline_role_arn=_text_if_any(raw.get("deadline_role_arn")),
                schedule_role_arn=_text_if_any(raw.get("schedule_role_arn")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TerraformError(
                "the stack's outputs are not those of a pio-tf stack",
                cause=f"missing or malformed: {error}",
                next_step="run `pio-tf generate` and `pio-tf apply`, or check which state the stack directory uses",
            ) from error


def refuse_another_region(config: Config, created_in: str | None) -> None:
    """Refuse another ``aws.region`` than the cluster's: pio-tf would find none of the machines there.

    A plan would create all of them a second time, and a destruction would forget the first ones, which keep running.

    Args:
        created_in: region in the state; None if there is no state yet.

    Raises:
        ConfigError: ``aws.region`` is another one.
    """
    if created_in is not None and created_in != config.aws.region:
        where = f"{config.where('aws.region')}: "
        raise another_region(config.cluster.name, config.aws.region, created_in=created_in, where=where)


def another_region(cluster: str, region: str, *, created_in: str, where: str = "") -> ConfigError:
    """Return the error for a cluster that was created in another region."""
    return ConfigError(
        f"{where}aws.region is {region}, but {cluster} was created in {created_in}",
        cause="machines can't move, and pio-tf would not find them in another region",
        next_step=f'set region = "{created_in}" again; for a cluster in {region}, choose another name',
        details={"region": region, "created_in": created_in},
    )


def _check_ids(machines: Sequence[MachineOutput]) -> None:
    if len({machine.instance_id for machine in machines}) < len(machines):
        raise ValueError("two machines have the same instance id")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} instead of a text")
    return value


def _text_if_any(output: Mapping[str, Any] | None) -> str | None:
    """Return the text of an output. Terraform leaves out one that is null."""
    return None if output is None or output["value"] is None else _text(output["value"])


def _role(value: object) -> Role:
    if value == "driver" or value == "master" or value == "worker":
        return value
    raise ValueError(f"{value!r} is not a role")


def _machine_order(item: tuple[str, object]) -> tuple[int, int]:
    """Return a key that sorts driver, master, worker-1, worker-2 … worker-10."""
    name = item[0]
    if name in ("driver", "master"):
        return (("driver", "master").index(name), 0)
    return (2, int(name.rpartition("-")[2]))
