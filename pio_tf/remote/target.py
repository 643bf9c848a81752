"""Which machine is meant, and at which address it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError, RemoteError
from pio_tf.remote.ssh_errors import BASTION, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine, Role
    from pio_tf.remote.login import SshLogin


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


def find_target(targets: Iterable[SshTarget], wanted: str) -> SshTarget:
    """The target of that name (``worker-2``) or instance id.

    Raises:
        ConfigError: there is none.
    """
    among = tuple(targets)
    for target in among:
        if wanted in (target.name, target.instance_id):
            return target
    raise ConfigError(
        f"no machine that runs is called {wanted!r}",
        next_step=f"choose one of {', '.join(target.name for target in among)}, or its instance id",
    )


def machine_endpoint(config: Config, identity: SshLogin, target: SshTarget) -> Endpoint:
    """Where a machine is reached: the driver from here or from the bastion, the others from the driver."""
    direct, bastion = target.role == "driver", config.ssh.bastion
    return Endpoint(
        machine=target.name,
        address=target.address if direct else target.private_ip,
        port=config.ssh.port,
        user=identity.user,
        key_file=identity.key_file,
        host_key_name=target.instance_id,
        known_hosts=known_hosts_file(config),
        via=(f"bastion {bastion}" if bastion else "") if direct else "driver",
        direct=direct,
    )


def bastion_endpoint(config: Config, identity: SshLogin) -> Endpoint:
    """Where the bastion is reached.

    Raises:
        ConfigError: there is none.
    """
    if config.ssh.bastion is None:
        raise ConfigError(
            "there is no bastion", cause=f"{config.where('ssh')}: ssh.bastion is not set", next_step="name a machine"
        )
    user, _, host_port = config.ssh.bastion.rpartition("@")
    host, _, port = host_port.partition(":")
    return Endpoint(
        machine=BASTION,
        address=host,
        port=int(port or 0),
        user=user,
        key_file=identity.key_file,
        host_key_name=f"[{host}]:{port or 22}",
        known_hosts=known_hosts_file(config),
    )


def known_hosts_file(config: Config) -> Path:
    """The cluster's pinned host keys."""
    return config.work_dir / "known_hosts"


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
