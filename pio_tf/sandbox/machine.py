"""A machine of the sandbox: the process side of one running EC2 instance.

It has what pio-tf needs of a real machine: an SSH server on the instance's private address, a home directory that
survives stop and start, and by role a Spark master or worker. It runs in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import SandboxError
from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.layout import SSH_PORT
from pio_tf.sandbox.processes import end_processes
from pio_tf.sandbox.spark_daemon import MASTER_PORT, SparkDaemon, master_command, worker_command
from pio_tf.sandbox.ssh_server import MachineSshServer, read_host_key

if TYPE_CHECKING:
    import asyncssh

    from pio_tf.model import Role
    from pio_tf.sandbox.software import Software

_LARGEST = 64 * 1024
"""AWS keeps this many bytes: the last ones."""
_CONSOLE = Path(__file__).parent / "programs" / "console.txt"

_GRACE_SECONDS = 2.0
"""How long processes may take to end. EC2 gives minutes; a JVM needs much less than a second."""


def write_console(files: MachineFiles, key: asyncssh.SSHKey, *, name: str) -> None:
    """Append the output of a boot, with the host key and its fingerprint, as the unit pio-tf-boot prints them."""
    before = files.console.read_bytes() if files.console.exists() else b""
    now = datetime.now(timezone.utc)
    public = " ".join(key.export_public_key().decode().split()[:2])
    facts = {"name": name, "time": f"{now:%b %d %H:%M:%S}", "fingerprint": key.get_fingerprint(), "key": public}
    host_key = _CONSOLE.with_name("console-host-key.txt").read_text(encoding="utf-8").format(**facts)
    at = f"{now:%a, %d %b %Y %H:%M:%S} +0000"
    boot = _CONSOLE.read_text(encoding="utf-8").format(**facts, at=at, host_key=host_key)
    write_atomically(files.console, (before + boot.encode())[-_LARGEST:], mode=0o644)


@dataclass(frozen=True)
class MachineSpec:
    """The facts by which a machine is built. If one changes, another machine takes its place."""

    directory: Path
    """All files of the machine: its home directory, host key, logs and Spark's work directory."""
    role: Role | None
    """driver (with the stand-in for PredictionIO), master or worker (with a Spark process). None: pio-tf did not make
    it, and a user installs and starts what it runs."""
    name: str
    """Name for messages: ``worker-1``, or the instance's id."""
    address: str
    """The private address, in 127.0.0.0/8, that it listens on."""
    user: str | None
    """The only user name that may log in; None: any."""
    authorized_keys: tuple[str, ...]
    """Public keys (OpenSSH's one-line form) that may log in."""
    memory_mib: int
    """Memory of the instance type, MiB. A worker offers it to Spark, less 1 GiB."""
    vcpus: int
    """A worker offers as many cores to Spark."""
    master_address: str | None = None
    """Address of the Spark master, for a worker; None: there is no master (yet)."""
    ssh_port: int = SSH_PORT
    software: Software | None = None
    """Java and Spark; None: those of the installed packages."""


class SandboxMachine:
    """One machine. ``start``, ``stop`` and ``remove`` follow EC2's states; each may be called twice in a row."""

    timer_seconds = 60.0
    """How often master and workers look for their driver, once pio-tf has installed the timer."""

    def __init__(self, spec: MachineSpec) -> None:
        self._spec = spec
        self._files = MachineFiles(spec.directory, bare=spec.role is None)
        self._ssh = MachineSshServer(
            files=self._files,
            address=spec.address,
            port=spec.ssh_port,
            user=spec.user,
            authorized_keys=spec.authorized_keys,
        )
        self._spark = _spark_daemon(self._files, spec)
        self._following: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._on = False

    async def start(self) -> None:
        """Boot: home directory, SSH server, and the Spark process, which is ready some seconds later.

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
                if not booting.done():  # a thread and a listener cannot be cancelled: they finish first
                    await asyncio.wait([booting])
                await self._power_off()
                raise

    async def stop(self) -> None:
        """End every process of the machine, its SSH connections and its listener. Its files stay.

        Like a shutdown, it asks processes to end (SIGTERM), and kills those that still run a moment later.

        Raises:
            SandboxError: a process cannot be ended.
        """
        async with self._lock:
            await self._power_off()

    async def remove(self) -> None:
        """Stop the machine and remove its directory."""
        async with self._lock:
            await self._power_off()
            if self._files.root.exists():
                await asyncio.to_thread(shutil.rmtree, self._files.root)

    async def _boot(self) -> None:
        await asyncio.to_thread(end_processes, self._files.root)  # a crashed sandbox's
        spec = self._spec
        await asyncio.to_thread(lay_out, self._files, role=spec.role, address=spec.address, software=spec.software)
        key = read_host_key(self._files.host_key)
        await asyncio.to_thread(write_console, self._files, key, name=self._spec.name)
        await self._ssh.start()
        if self._spark is not None:
            self._spark.start()
        if self._spec.role != "driver":
            self._following = asyncio.create_task(self._follow_driver())
        elif self._files.scheduled_unit.exists():
            await self._run_unit()

    async def _run_unit(self) -> None:
        """Start the program of the unit that pio-tf installs on a driver, as systemd does at a boot."""
        unit = self._files.scheduled_unit.read_text(encoding="utf-8")
        (command,) = (line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart="))
        await asyncio.create_subprocess_exec(
            *shlex.split(command),
            cwd="/",
            env=self._files.environment(self._spec.user or "spark"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _follow_driver(self) -> None:
        """Do what the timer of systemd's does that pio-tf installs on master and workers."""
        booted, files = time.monotonic(), self._files
        environment = {**files.environment("root"), "PIO_TF_ROOT": str(files.system)}
        while True:
            await asyncio.sleep(self.timer_seconds)
            if files.follow_driver.exists():
                up = time.monotonic() - booted
                (files.system / "proc" / "uptime").write_text(f"{up:.2f} {up:.2f}\n", encoding="ascii")
                look = await asyncio.create_subprocess_exec(
                    "/bin/bash", files.follow_driver, env=environment, stdin=asyncio.subprocess.DEVNULL
                )
                await look.wait()

    async def _power_off(self) -> None:
        self._on = False
        if self._following is not None:
            self._following.cancel()
            self._following = None
        await self._ssh.stop()
        ended = asyncio.create_task(asyncio.to_thread(end_processes, self._files.root, grace=_GRACE_SECONDS))
        if self._spark is not None:
            await self._spark.stop()
        left = await ended
        await self._ssh.wait()
        if left:
            numbers = ", ".join(str(process.pid) for process in left)
            raise SandboxError(
                f"could not end these processes of {self._spec.name}: {numbers}", next_step=f"run `kill -9 {numbers}`"
            )


def _spark_daemon(files: MachineFiles, spec: MachineSpec) -> SparkDaemon | None:
    wait_for = None
    if spec.role == "master":
        command = master_command(files, address=spec.address)
    elif spec.role == "worker" and spec.master_address is not None:
        wait_for = (spec.master_address, MASTER_PORT)
        command = worker_command(
            files,
            address=spec.address,
            master_address=spec.master_address,
            memory_mib=spec.memory_mib,
            vcpus=spec.vcpus,
        )
    else:
        return None
    environment = files.environment(spec.user or "spark")
    return SparkDaemon(
        command=command,
        environment=environment,
        log=files.spark_log,
        directory=files.work,
        settings=files.spark_settings,
        pid=files.spark_pid,
        wait_for=wait_for,
    )
