"""A process that holds one machine, for a test that kills it: ``run_machine.py DIRECTORY ADDRESS PUBLIC_KEY``.

Its Spark master is a small program if the sandbox's directory has the mark of :mod:`tests.integration.light_spark`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pio_tf.sandbox.machine import MachineSpec
from tests.integration.light_spark import make_machine


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
    await make_machine(spec).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
