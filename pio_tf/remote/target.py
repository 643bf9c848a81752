"""Which machine is meant, and at which address it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.config.schema import Config
    from pio_tf.infra.outputs import Role
    from pio_tf.machines.model import Machine


@dataclass(frozen=True)
class SshTarget:
    """A machine to connect to.

    ``address`` is where this computer (or the bastion) reaches it: used for the driver alone. The others are
    reached through the driver, at their ``private_ip``.
    """

    name: str
    role: Role
    instance_id: str
    private_ip: str
    address: str


def ssh_target(config: Config, machine: Machine) -> SshTarget:
    """The target of a machine, with the address that ``ssh.address`` asks for.

    Raises:
        RemoteError: ``ssh.address`` is "public" and the driver has no public address.
    """
    return SshTarget(
        name=machine.name,
        role=machine.role,
        instance_id=machine.instance_id,
        private_ip=machine.private_ip,
        address=_driver_address(config, machine) if machine.role == "driver" else machine.private_ip,
    )


def ssh_targets(config: Config, machines: Iterable[Machine]) -> tuple[SshTarget, ...]:
    """The targets of these machines, in their order. Raises what :func:`ssh_target` raises."""
    return tuple(ssh_target(config, machine) for machine in machines)


def _driver_address(config: Config, machine: Machine) -> str:
    wanted = config.ssh.address
    if wanted == "private" or (wanted == "auto" and (config.ssh.bastion or not machine.public_ip)):
        return machine.private_ip
    if not machine.public_ip:
        raise RemoteError(
            f"{machine.name} ({machine.instance_id}) has no public address, but ssh.address is {wanted!r}",
            next_step=f'{config.where("ssh.address")}: set ssh.address = "private" and reach it over a VPN or '
            "ssh.bastion, or give the driver an address: network.driver_eip = true",
            details={"machine": machine.name, "address": machine.private_ip},
        )
    return machine.public_ip
