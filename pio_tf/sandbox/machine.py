"""A machine of the sandbox: what stands behind one running EC2 instance.

It has what pio-tf needs of a real one: an SSH server on the instance's own private address, a home directory that
survives stop and start, and by role a Spark master or worker. It runs in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from typing import TYPE_CHECKING

from pio_tf.errors import SandboxError
from pio_tf.sandbox.console import write_console
from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.processes import ProcessId, end_processes, find_processes
from pio_tf.sandbox.spark import MASTER_PORT, SparkDaemon, master_command, worker_command
from pio_tf.sandbox.ssh_server import MachineSshServer, read_host_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pio_tf.model import Role

_GRACE_SECONDS = 2.0
"""How long processes have to end by themselves. EC2 gives minutes; a JVM needs much less than a second."""
_POLL_SECONDS = 0.05


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
        self._name = name
        self._role: Role = role
        self._address = address
        self._files = MachineFiles(directory)
        self._ssh = MachineSshServer(
            self._files, address=address, port=ssh_port, user=user, authorized_keys=authorized_keys
        )
        self._spark = self._spark_daemon(
            user=user or "spark", memory_mib=memory_mib, vcpus=vcpus, master_address=master_address
        )
        self._lock = asyncio.Lock()
        self._on = False

    async def start(self) -> None:
        """Boots: home directory, SSH server, and the Spark process, which is ready some seconds later.

        Raises:
            SandboxError: the address and port are taken, or a file cannot be written.
        """
        async with self._lock:
            if self._on:
                return
            booting = asyncio.create_task(self._boot())
            try:
                await asyncio.shield(booting)
                self._on = True
            except BaseException:
                if not booting.done():  # cancelled half-way; a thread and a listener are not: they finish first
                    await asyncio.wait([booting])
                await self._power_off()
                raise

    async def stop(self) -> None:
        """Ends every process of the machine, its SSH connections and its listener. Its files stay.

        Like a shutdown, it asks processes to end (SIGTERM) and kills those that still run a moment later.

        Raises:
            SandboxError: a process cannot be ended.
        """
        async with self._lock:
            await self._power_off()

    async def remove(self) -> None:
        """Stops it and removes its directory."""
        async with self._lock:
            await self._power_off()
            if self._files.root.exists():
                await asyncio.to_thread(shutil.rmtree, self._files.root)

    async def _boot(self) -> None:
        await asyncio.to_thread(end_processes, self._files.root)  # a crashed sandbox's
        await asyncio.to_thread(lay_out, self._files, role=self._role, address=self._address)
        key = read_host_key(self._files.host_key)
        await asyncio.to_thread(write_console, self._files, key, name=self._name)
        await self._ssh.start()
        if self._spark is not None:
            self._spark.start()

    async def _power_off(self) -> None:
        self._on = False
        await self._ssh.stop()
        ended = asyncio.create_task(asyncio.to_thread(_shut_down, self._files.root))
        if self._spark is not None:
            await self._spark.stop()
        left = await ended
        await self._ssh.wait()
        if left:
            numbers = ", ".join(str(process.pid) for process in left)
            raise SandboxError(f"{self._name}: processes {numbers} cannot be ended", next_step="end them by hand")

    def _spark_daemon(
        self, *, user: str, memory_mib: int, vcpus: int, master_address: str | None
    ) -> SparkDaemon | None:
        files = self._files
        if self._role == "master":
            command = master_command(files, address=self._address)
            wait_for = None
        elif self._role == "worker" and master_address is not None:
            command = worker_command(
                files, address=self._address, master_address=master_address, memory_mib=memory_mib, vcpus=vcpus
            )
            wait_for = (master_address, MASTER_PORT)
        else:
            return None
        return SparkDaemon(
            command,
            environment=files.environment(user),
            log=files.spark_log,
            directory=files.work,
            wait_for=wait_for,
        )


def _shut_down(root: Path) -> list[ProcessId]:
    """End every process of a machine; returns those that do not."""
    deadline = time.monotonic() + _GRACE_SECONDS
    asked: set[ProcessId] = set()
    while (running := find_processes(root)) and time.monotonic() < deadline:
        for process in running:
            if process not in asked:
                process.signal(signal.SIGTERM)
                asked.add(process)
        time.sleep(_POLL_SECONDS)
    return end_processes(root)
