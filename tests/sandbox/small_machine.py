"""A machine without SSH and Spark: a listener, a process and a home directory, for tests of what drives machines."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pio_tf.sandbox.machine import MachineSpec


class SmallMachine:
    """Listens on its address while it is on, and has a child that ignores SIGTERM, as a stuck Spark might."""

    def __init__(self, spec: MachineSpec) -> None:
        self.directory = spec.directory
        self.address = (spec.address, spec.ssh_port)
        self.facts = (
            f"{spec.role} {spec.name} {spec.user} {len(spec.authorized_keys)} {spec.memory_mib} {spec.vcpus} "
            f"{spec.master_address}"
        )
        self._listener: asyncio.Server | None = None
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Switch it on."""
        home = self.directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        (self.directory / "facts").write_text(self.facts, encoding="utf-8")
        self._listener = await asyncio.start_server(lambda _reader, writer: writer.close(), *self.address)
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
            env={"HOME": str(home), "PATH": os.defpath},  # as after a login: the server's own variables are gone
            start_new_session=True,
        )
        (self.directory / "child").write_text(str(self._child.pid), encoding="ascii")

    async def stop(self) -> None:
        """Switch it off."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            await self._child.wait()
            self._child = None

    async def remove(self) -> None:
        """Remove it."""
        await self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
