"""A process that holds one machine, for a test that kills it: ``run_machine.py DIRECTORY ADDRESS PUBLIC_KEY``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pio_tf.sandbox.machine import MachineSpec, SandboxMachine


async def main() -> None:
    directory, address, key = sys.argv[1:]
    spec = MachineSpec(
        directory=Path(directory),
        role="master",
        name="master",
        address=address,
        user=None,
        authorized_keys=(key,),
        memory_mib=2048,
        vcpus=2,
    )
    await SandboxMachine(spec).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
