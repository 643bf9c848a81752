"""Machines to log in to: SSH servers on loopback addresses, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.remote.target import SshTarget
from tests.support.ssh_servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pio_tf.model import MachineOutput

ROOT = Path(__file__).parents[2]
SERVER = """\
import asyncio, json, logging, sys
from pathlib import Path
import asyncssh
from tests.support.ssh_servers import MachineServer
addresses, port, key, homes = json.loads(sys.argv[1])
logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the client closes connections before it reads all
key = asyncssh.read_private_key(key)
async def serve():
    for address in addresses:
        await MachineServer(home=Path(homes, address), address=address, port=port, key=key).start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(serve())
"""


@contextmanager
def ssh_machines(machines: Sequence[MachineOutput], directory: Path) -> Iterator[tuple[list[SshTarget], int]]:
    """Run a server for each machine. Yield how to reach them, all but the driver through the driver, and their port.

    Args:
        directory: gets the user's key, ``id_ed25519``, and the machines' home directories.
    """
    file = directory / "id_ed25519"
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(file)
    key.write_public_key(f"{file}.pub")
    addresses = [f"127.93.{number // 250}.{number % 250 + 1}" for number in range(len(machines))]
    port = free_port((addresses[0],))
    asked = json.dumps([addresses, port, str(file), str(directory / "homes")])
    pipe = subprocess.PIPE
    server = subprocess.Popen([sys.executable, "-c", SERVER, asked], stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None  # noqa: S101 - for the type: it is a pipe
        server.stdout.readline()
        targets = [
            SshTarget(one.name, one.role, one.instance_id, private_ip=address, address=address)
            for one, address in zip(machines, addresses, strict=True)
        ]
        yield targets, port
    finally:
        server.communicate()  # closes its standard input, which ends it
