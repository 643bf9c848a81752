"""The Spark process of a machine: a standalone master or worker, restarted as systemd would do it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pio_tf.sandbox.processes import dying_with_parent
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.home import MachineFiles

logger = logging.getLogger("pio_tf.sandbox")

MASTER_PORT = 7077
MASTER_UI_PORT = 8080
WORKER_UI_PORT = 8081
MINIMUM_WORKER_MEMORY_MIB = 512
_POLL_SECONDS = 0.1
_RESTART_SECONDS = 1.0


def worker_memory_mib(memory_mib: int) -> int:
    """Return a worker's memory for Spark: the machine's less 1 GiB (Spark's default), and at least 512 MiB.

    https://spark.apache.org/docs/3.5.5/spark-standalone.html, SPARK_WORKER_MEMORY.
    """
    return max(MINIMUM_WORKER_MEMORY_MIB, memory_mib - 1024)


def master_command(files: MachineFiles, *, address: str) -> tuple[str, ...]:
    """Return the command of a master that listens only on its address."""
    where = ("--host", address, "--port", str(MASTER_PORT), "--webui-port", str(MASTER_UI_PORT))
    program = (str(files.spark_daemon), "org.apache.spark.deploy.master.Master")
    return (*program, "--properties-file", str(files.spark_settings), *where)


def worker_command(
    files: MachineFiles, *, address: str, master_address: str, memory_mib: int, vcpus: int
) -> tuple[str, ...]:
    """Return the command of a worker for the master at ``master_address``. ``memory_mib`` is the whole machine's."""
    return (
        str(files.spark_daemon),
        "org.apache.spark.deploy.worker.Worker",
        *("--properties-file", str(files.spark_settings)),
        *("--host", address, "--webui-port", str(WORKER_UI_PORT), "--work-dir", str(files.work)),
        *("--cores", str(vcpus), "--memory", f"{worker_memory_mib(memory_mib)}m"),
        f"spark://{master_address}:{MASTER_PORT}",
    )


@dataclass(kw_only=True)
class SparkDaemon:
    """Runs a Spark process and restarts it when it ends, until :meth:`stop`."""

    command: tuple[str, ...]
    """Program and arguments."""
    environment: dict[str, str]
    """The whole environment of the process."""
    log: Path
    """The file to which its output is appended."""
    directory: Path
    """Its working directory."""
    settings: Path
    """A file that must exist first. On a new machine, it comes with the secret."""
    pid: Path
    """The file with the process's number, while it runs."""
    wait_for: tuple[str, int] | None = None
    """Address and port that must answer first. A worker that finds no master retries only after 5 to 15 s
    (Worker.INITIAL_REGISTRATION_RETRY_INTERVAL_SECONDS), so it must not start before the master."""
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the process in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """End the process, with SIGTERM and then SIGKILL, and do not restart it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await wait_for(self._process.wait(), 3)
            except asyncio.TimeoutError:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        self._process = None

    async def _keep_running(self) -> None:
        while True:
            while not self.settings.exists():
                await asyncio.sleep(_POLL_SECONDS)
            if self.wait_for is not None:
                await wait_for_port(*self.wait_for)
            with self.log.open("ab") as log:
                # Shielded from cancellation, because stop() must know a process that has started.
                self._process = await asyncio.shield(asyncio.ensure_future(self._spawn(log.fileno())))
            self.pid.write_text(str(self._process.pid))
            code = await self._process.wait()
            self.pid.unlink(missing_ok=True)
            logger.warning("%s ended with %d; restarting it", self.command[1], code)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _spawn(self, log: int) -> asyncio.subprocess.Process:
        start = dying_with_parent(*self.command)
        self._process = await asyncio.create_subprocess_exec(
            *start.command,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=start.preexec_fn,
        )
        return self._process


async def wait_for_port(address: str, port: int) -> None:
    """Wait until something listens on a port."""
    while not await _listens(address, port):
        await asyncio.sleep(_POLL_SECONDS)


async def _listens(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
