"""A process that holds one machine, for a test that kills it: ``run_machine.py DIRECTORY ADDRESS PUBLIC_KEY``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pio_tf.sandbox.machine import SandboxMachine


async def main() -> None:
    directory, address, key = sys.argv[1:]
    machine = SandboxMachine(
        directory=Path(directory),
        role="master",
        name="master",
        address=address,
        user=None,
        authorized_keys=[key],
        memory_mib=2048,
        vcpus=2,
        master_address=None,
    )
    await machine.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
