"""The program of the tests of shells, with the arguments PORT KEY [COMMAND]."""

from __future__ import annotations

import asyncio
import signal
import sys

import asyncssh

from pio_tf.remote.shell import open_shell


async def main(port: int, key: str, command: str | None) -> int:
    async with asyncssh.connect(
        "127.0.0.1", port, username="ubuntu", client_keys=[key], known_hosts=None, config=None, agent_path=None
    ) as connection:
        return await open_shell(connection, "driver", command, stdin=0, stdout=1, stderr=2)


def run() -> None:
    """Run it with this process's arguments."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as the command line does
    try:
        sys.exit(asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)))
    except KeyboardInterrupt:
        sys.exit(130)
