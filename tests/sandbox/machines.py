"""Real machines of the sandbox for tests: addresses of their own, a key, and a client."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.sandbox.machine import MachineSpec

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.model import Role

USER = "ubuntu"
SSH_PORT = 2222


def free_network() -> str:
    """Return a network ``127.77.N`` without an address in use, another one for each process."""
    for attempt in range(100):
        network = f"127.77.{128 + (os.getpid() + attempt) % 100}"
        if all(is_free(f"{network}.{host}", port) for host in range(10, 14) for port in (SSH_PORT, 7077, 8080, 8081)):
            return network
    raise AssertionError("no free network in 127.77.0.0/16")


def is_free(address: str, port: int) -> bool:
    """Tell if a server could listen there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen()
        except OSError:
            return False
    return True


def make_spec(
    directory: Path,
    *,
    role: Role,
    address: str,
    key: asyncssh.SSHKey,
    user: str | None = USER,
    master_address: str | None = None,
) -> MachineSpec:
    """Return the facts of a machine of the size of the sandbox's own."""
    return MachineSpec(
        directory=directory,
        role=role,
        name=directory.name,
        address=address,
        ssh_port=SSH_PORT,
        user=user,
        authorized_keys=(key.export_public_key().decode(),),
        memory_mib=2048,
        vcpus=2,
        master_address=master_address,
    )


async def log_in(
    address: str, key: asyncssh.SSHKey, *, user: str = USER, host_key: asyncssh.SSHKey | None = None
) -> asyncssh.SSHClientConnection:
    """Connect as a client; with ``host_key``, to that server only."""
    none: list[asyncssh.SSHKey] = []
    known = None if host_key is None else ([host_key], none, none)
    return await asyncssh.connect(
        address, SSH_PORT, username=user, client_keys=[key], known_hosts=known, config=None, agent_path=None
    )
