"""The sandbox's one background process: ``python -m pio_tf.sandbox.server --dir DIR``.

It runs the local AWS, every machine behind it and the services that they connect to, until SIGTERM or SIGINT.
:mod:`pio_tf.sandbox.control` starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from importlib import import_module
from ipaddress import IPv4Network
from pathlib import Path
from typing import TextIO, cast

from pio_tf.errors import PioTfError, SandboxError
from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.address_range import claimed_range
from pio_tf.sandbox.alarms import PERIOD, CpuMeter
from pio_tf.sandbox.aws import LocalAws
from pio_tf.sandbox.layout import (
    SSH_PORT,
    SSH_USER,
    Layout,
    MachineStatus,
    ServerRecord,
)
from pio_tf.sandbox.processes import MARK, ProcessId
from pio_tf.sandbox.services import LocalServices
from pio_tf.sandbox.supervisor import MachineFactory, Supervisor

logger = logging.getLogger("pio_tf.sandbox")

DEFAULT_MACHINE = "pio_tf.sandbox.machine:SandboxMachine"
_POLL_SECONDS = 0.2
"""EC2's states also change with time, so the server polls them. It notices a call that changes one at once."""


async def serve(
    *,
    layout: Layout,
    addresses: IPv4Network,
    port: int,
    ssh_port: int,
    make_machine: MachineFactory,
    alarm_speed: float = 1.0,
) -> None:
    """Run the sandbox until SIGTERM or SIGINT.

    Args:
        addresses: no other sandbox uses them.
        alarm_speed: how many seconds of CloudWatch's time pass in one second.

    Raises:
        SandboxError: the port is taken, no address is left for the services, or the directory has no access key.
    """
    loop = asyncio.get_running_loop()
    changed, ended = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    supervisor = Supervisor(directory=layout.machines, make_machine=make_machine, ssh_port=ssh_port, user=SSH_USER)
    key = AccessKey.read(layout.credentials)
    aws = LocalAws(port=port, access_key=key, on_change=lambda: _wake(loop, changed), console=layout.console)
    services = LocalServices(addresses)
    aws.start()
    try:
        services.start()
        process = ProcessId.of(os.getpid())
        assert process is not None  # noqa: S101 - it is this one
        layout.server.write(ServerRecord(process, aws.url, services.where, str(addresses)))
        logger.info("AWS at %s, services at %s, machines in %s", aws.url, services.where, addresses)
        ending = asyncio.create_task(ended.wait())
        measuring = asyncio.create_task(_measure(aws, layout, every=PERIOD / alarm_speed))
        written: tuple[MachineStatus, ...] | None = None
        # If a user removes the directory, the server ends, too.
        while not ending.done() and layout.server.path.exists():
            changed.clear()
            # In a thread: it waits for the current request to moto, and SSH must continue meanwhile.
            supervisor.follow(await asyncio.to_thread(aws.instances))
            if supervisor.statuses() != written:
                written = supervisor.statuses()
                with suppress(FileNotFoundError):  # the directory is gone: see above
                    layout.statuses.write(written)
            waking = asyncio.create_task(changed.wait())
            await asyncio.wait({ending, waking}, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
        ending.cancel()
        measuring.cancel()
        await asyncio.wait([measuring])
    finally:
        logger.info("stopping")
        await supervisor.close()
        await asyncio.to_thread(services.stop)
        await asyncio.to_thread(aws.stop)
        layout.server.path.unlink(missing_ok=True)


async def _measure(aws: LocalAws, layout: Layout, *, every: float) -> None:
    """Measure the CPU utilization of the machines periodically, for the alarms."""
    meter = CpuMeter(layout.machines)
    while True:
        await asyncio.sleep(every)
        await asyncio.to_thread(lambda: aws.observe_cpu(meter.percents(aws.instances())))


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed, and needs no wake-up
        loop.call_soon_threadsafe(event.set)


def _lock(lock: TextIO, layout: Layout) -> None:
    """Hold the lock until this process ends. A status command may hold it for a moment, so retry."""
    for _ in range(100):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
    raise SandboxError(f"another sandbox is running in {layout.directory}")


def load_machine(name: str) -> MachineFactory:
    """Return the constructor with the name ``module:name``."""
    module, _, attribute = name.partition(":")
    return cast("MachineFactory", getattr(import_module(module), attribute))


def main(arguments: list[str] | None = None) -> int:
    """Run the server and return the exit code. Errors are in the log, which is its standard error."""
    parser = argparse.ArgumentParser(prog="python -m pio_tf.sandbox.server", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the sandbox's directory")
    parser.add_argument("--port", type=int, default=0, help="port of the AWS API; 0: a free one")
    parser.add_argument("--ssh-port", type=int, default=SSH_PORT, help="port of every machine's SSH server")
    parser.add_argument("--alarm-speed", type=float, default=1.0, help="seconds of CloudWatch's time that pass in one")
    parser.add_argument("--machine", default=DEFAULT_MACHINE, help="class of machines, as module:class")
    parser.add_argument("--network", type=IPv4Network, help="the addresses to use if they are free, as 127.N.0.0/16")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    layout = Layout(options.dir.resolve())
    os.environ[MARK] = str(layout.directory)  # marks every later process as this sandbox's
    try:
        with layout.server_lock.open("w") as lock, ExitStack() as stack:
            _lock(lock, layout)
            addresses = stack.enter_context(claimed_range(preferred=options.network))
            asyncio.run(
                serve(
                    layout=layout,
                    addresses=addresses,
                    port=options.port,
                    ssh_port=options.ssh_port,
                    make_machine=load_machine(options.machine),
                    alarm_speed=options.alarm_speed,
                )
            )
    except PioTfError as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected error, without a traceback
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
