"""The machines to connect to, and their addresses for SSH."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import ConfigError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine, Role
    from pio_tf.remote.login import SshLogin
    from pio_tf.remote.proxy import ProxyCommand

BASTION = "bastion"
"""The bastion's name in commands."""


class SshTarget(Struct, frozen=True):
    """A machine to connect to.

    ``address`` is the driver's address for this computer or the bastion. pio-tf connects to the other machines through
    the driver, at their ``private_ip``.
    """

    name: str
    role: Role
    instance_id: str
    private_ip: str
    address: str
    started: datetime | None = None
    """When it last started (UTC); None: unknown."""


class Endpoint(Struct, frozen=True):
    """The far end of an SSH connection.

    Args:
        name: the machine's, or ``bastion``.
        port: 0: as ~/.ssh/config says. The same holds for an empty user in ``login``.
        host_key_name: its entry in the file of pinned keys.
        via: what the way leads through, for messages.
        direct: whether the way does not lead through the driver.
        started: when the machine last started (UTC); None: unknown.
        proxy: the program that carries the connection; None: as ~/.ssh/config says, else a connection of its own.
    """

    name: str
    address: str
    port: int
    login: SshLogin
    host_key_name: str
    known_hosts: Path
    via: str = ""
    direct: bool = True
    started: datetime | None = None
    proxy: ProxyCommand | None = None

    @property
    def is_bastion(self) -> bool:
        """True for the bastion, which is not one of the cluster's machines."""
        return self.name == BASTION

    @property
    def machine(self) -> str:
        """The name in sentences."""
        return "the bastion" if self.is_bastion else self.name

    def __str__(self) -> str:
        at = f"{self.address}:{self.port}" if self.port else self.address
        return f"{self.machine} at {at}" + (f" through {self.via}" if self.via else "")


def ssh_targets(config: Config, machines: Iterable[Machine]) -> tuple[SshTarget, ...]:
    """Return the targets of these machines, in their order, with the address that ``ssh.address`` chooses.

    Raises:
        RemoteError: ``ssh.address`` is "public" and the driver has no public address.
    """
    return tuple(
        SshTarget(
            name=machine.name,
            role=machine.role,
            instance_id=machine.instance_id,
            private_ip=machine.private_ip,
            address=_driver_address(config, machine) if machine.role == "driver" else machine.private_ip,
            started=machine.since if machine.is_on else None,
        )
        for machine in machines
    )


def find_target(targets: Iterable[SshTarget], wanted: str) -> SshTarget:
    """Return the target with that name (``worker-2``) or instance id.

    Raises:
        ConfigError: there is none.
    """
    among = tuple(targets)
    for target in among:
        if wanted in (target.name, target.instance_id):
            return target
    raise ConfigError(
        f"no running machine has the name {wanted!r}",
        next_step=f"choose one of {', '.join(target.name for target in among)}, or its instance id",
    )


def machine_endpoint(config: Config, login: SshLogin, target: SshTarget) -> Endpoint:
    """Return the endpoint of a machine: the driver for this computer or the bastion, the others for the driver."""
    from pio_tf.remote.proxy import proxy_command  # not for those who only name targets: it needs asyncssh

    direct, bastion = target.role == "driver", config.ssh.bastion
    proxy = proxy_command(config, target.instance_id) if direct else None
    way = proxy.way if proxy else f"bastion {bastion}" if bastion else ""
    return Endpoint(
        name=target.name,
        address=target.address if direct else target.private_ip,
        port=config.ssh.port,
        login=login,
        host_key_name=target.instance_id,
        known_hosts=known_hosts_file(config),
        via=way if direct else "driver",
        direct=direct,
        started=target.started,
        proxy=proxy,
    )


def bastion_endpoint(config: Config, login: SshLogin) -> Endpoint:
    """Return the endpoint of the bastion. Unlike a machine's, its login may use any key of ~/.ssh/config or an agent.

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
        name=BASTION,
        address=host,
        port=int(port or 0),
        login=replace(login, user=user, options={**login.options, "agent_path": ()}),
        host_key_name=f"[{host}]:{port or 22}",
        known_hosts=known_hosts_file(config),
    )


def known_hosts_file(config: Config) -> Path:
    """Return the file of the cluster's pinned host keys."""
    return config.work_dir / "known_hosts"


def _driver_address(config: Config, machine: Machine) -> str:
    wanted = config.ssh.address
    if wanted == "instance-id":
        return machine.instance_id
    from_inside = config.ssh.bastion or config.ssh.via != "address"
    if wanted == "private" or (wanted == "auto" and (from_inside or not machine.public_ip)):
        return machine.private_ip
    if not machine.public_ip:
        raise RemoteError(
            f"{machine.name} ({machine.instance_id}) has no public address, but ssh.address is {wanted!r}",
            next_step=f'{config.where("ssh.address")}: set ssh.address = "private" and use a VPN or ssh.bastion, or '
            "give the driver an address: network.driver_eip = true",
            details={"machine": machine.name, "address": machine.private_ip},
        )
    return machine.public_ip
