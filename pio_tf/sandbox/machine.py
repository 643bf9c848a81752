"""A machine of the sandbox: what stands behind one running EC2 instance.

It has what pio-tf needs of a real one: an SSH server on the instance's own private address, a home directory that
survives stop and start, and by role a Spark master or worker. It runs in the caller's event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pio_tf.infra.outputs import Role


class SandboxMachine:
    """One machine. ``start``, ``stop`` and ``remove`` follow EC2's states; each may be called twice in a row.

    Args:
        directory: everything of this machine: its home directory, host key, logs and Spark's work directory.
        role: driver (with the stand-in for PredictionIO), master or worker (with a Spark process).
        name: its name for messages: ``worker-1``, or the instance's id.
        address: the private address, of 127.0.0.0/8, that it listens on.
        ssh_port: port of its SSH server.
        user: the only user name that may log in; None: any.
        authorized_keys: public keys (OpenSSH's one-line form) that may log in.
        memory_mib: memory of the instance type, MiB: a worker offers it to Spark, less 1 GiB.
        vcpus: a worker offers as many cores to Spark.
        master_address: address of the Spark master, for a worker; None: there is no master (yet).
    """

    def __init__(
        self,
        *,
        directory: Path,
        role: Role,
        name: str,
        address: str,
        ssh_port: int = 2222,
        user: str | None,
        authorized_keys: Sequence[str],
        memory_mib: int,
        vcpus: int,
        master_address: str | None,
    ) -> None:
        self.directory = directory
        self.role = role
        self.name = name
        self.address = address
        self.ssh_port = ssh_port
        self.user = user
        self.authorized_keys = tuple(authorized_keys)
        self.memory_mib = memory_mib
        self.vcpus = vcpus
        self.master_address = master_address

    async def start(self) -> None:
        """Boots: home directory, SSH server, and the Spark process, which is ready some seconds later.

        Raises:
            SandboxError: the address and port are taken, or a file cannot be written.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Ends every process of the machine, its SSH connections and its listener. Its files stay."""
        raise NotImplementedError

    async def remove(self) -> None:
        """Stops it and removes its directory."""
        raise NotImplementedError
