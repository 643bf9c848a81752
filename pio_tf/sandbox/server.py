"""The sandbox's one background process: ``python -m pio_tf.sandbox --dir DIR``.

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
from typing import TYPE_CHECKING, Any, TextIO, cast

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
    TrainingRequest,
)
from pio_tf.sandbox.processes import MARK, ProcessId
from pio_tf.sandbox.real.real_services import RealServices
from pio_tf.sandbox.real.service_files import find_programs
from pio_tf.sandbox.sample_events import import_sample
from pio_tf.sandbox.services import LocalServices
from pio_tf.sandbox.software import Software, find_software
from pio_tf.sandbox.supervisor import MachineFactory, Supervisor

if TYPE_CHECKING:
    from collections.abc import Coroutine

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
    services: LocalServices | RealServices,
    software: Software | None = None,
    alarm_speed: float = 1.0,
) -> None:
    """Run the sandbox until SIGTERM or SIGINT.

    Args:
        addresses: no other sandbox uses them.
        services: the services, which are not running yet.
        software: Java and Spark of the machines.
        alarm_speed: how many seconds of CloudWatch's time pass in one second.

    Raises:
        SandboxError: the port is taken, no address is left for the services, or the directory has no access key.
    """
    loop = asyncio.get_running_loop()
    changed, ended = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    supervisor = Supervisor(
        directory=layout.machines, make_machine=make_machine, ssh_port=ssh_port, user=SSH_USER, software=software
    )
    key = AccessKey.read(layout.credentials)
    aws = LocalAws(port=port, access_key=key, on_change=lambda: _wake(loop, changed), console=layout.console)
    real = services if isinstance(services, RealServices) else None
    aws.start()
    try:
        if isinstance(services, RealServices):
            await _unless(ended, _start_real_services(services, software, layout))
        else:
            services.start()
        process = ProcessId.of(os.getpid())
        assert process is not None  # noqa: S101 - it is this one
        told = real.statuses() if real else ()
        if real:  # before any client can ask
            layout.service_statuses.write(told)
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
            if off := supervisor.powered_off():
                await asyncio.to_thread(aws.power_off, off)
            if supervisor.statuses() != written:
                written = supervisor.statuses()
                with suppress(FileNotFoundError):  # the directory is gone: see above
                    layout.statuses.write(written)
            await asyncio.to_thread(_fire, aws, layout)
            if real is not None:
                real.follow(layout.service_requests.read() or ())
                if real.statuses() != told:
                    told = real.statuses()
                    with suppress(FileNotFoundError):
                        layout.service_statuses.write(told)
            waking = asyncio.create_task(changed.wait())
            await asyncio.wait({ending, waking}, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
        ending.cancel()
        measuring.cancel()
        await asyncio.wait([measuring])
    finally:
        logger.info("stopping")
        await supervisor.close()
        if isinstance(services, RealServices):
            await services.stop()
        else:
            await asyncio.to_thread(services.stop)
        await asyncio.to_thread(aws.stop)
        layout.server.path.unlink(missing_ok=True)


def _fire(aws: LocalAws, layout: Layout) -> None:
    """Let a training come now, if a command asks for it."""
    request, answer = layout.training_request.read(), layout.training_answer.read()
    if request is None or (answer is not None and answer.number >= request.number):
        return
    error = ""
    try:
        aws.fire_training(request.cluster)
    except SandboxError as refused:
        error = refused.what
    with suppress(FileNotFoundError):  # the directory is gone
        layout.training_answer.write(TrainingRequest(request.cluster, request.number, error))


async def _start_real_services(services: RealServices, software: Software | None, layout: Layout) -> None:
    await services.start()
    if software is not None and software.pio is not None:
        await import_sample(
            services.where,
            software.pio,
            java=software.java,
            spark_jars=software.spark["jars"],
            directory=layout.services / "sample",
            mark=layout.directory,
        )


async def _unless(ended: asyncio.Event, starting: Coroutine[Any, Any, None]) -> None:
    """Wait for a start. If the sandbox is to end first, cancel it."""
    start, ending = asyncio.create_task(starting), asyncio.create_task(ended.wait())
    await asyncio.wait({start, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not start.done():
        start.cancel()
        await asyncio.wait({start})
        return
    await start


async def _measure(aws: LocalAws, layout: Layout, *, every: float) -> None:
    """Measure the CPU utilization of the machines periodically, for the alarms."""
    meter = CpuMeter(layout.machines)
    while True:
        await asyncio.sleep(every)
        await asyncio.to_thread(lambda: aws.observe_cpu(meter.percents(aws.instances())))


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed, and needs no wake-up
        loop.call_soon_threadsafe(event.set)


def _services(options: argparse.Namespace, layout: Layout, addresses: IPv4Network) -> LocalServices | RealServices:
    if options.services == "light":
        return LocalServices(addresses)
    return RealServices(
        addresses,
        directory=layout.services,
        mark=layout.directory,
        programs=find_programs(),
        with_password=options.password,
    )


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
    parser = argparse.ArgumentParser(prog="python -m pio_tf.sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the sandbox's directory")
    parser.add_argument("--port", type=int, default=0, help="port of the AWS API; 0: a free one")
    parser.add_argument("--ssh-port", type=int, default=SSH_PORT, help="port of every machine's SSH server")
    parser.add_argument("--alarm-speed", type=float, default=1.0, help="seconds of CloudWatch's time that pass in one")
    parser.add_argument("--machine", default=DEFAULT_MACHINE, help="class of machines, as module:class")
    parser.add_argument("--services", choices=("light", "real"), default="light", help="stand-ins or real services")
    parser.add_argument("--password", action="store_true", help="let the real Elasticsearch ask for a password")
    parser.add_argument("--spark", choices=("3.5", "2.4"), default="3.5", help="Spark of the machines")
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
                    services=_services(options, layout, addresses),
                    software=None if options.spark == "3.5" else find_software(options.spark),
                    alarm_speed=options.alarm_speed,
                )
            )
    except PioTfError as error:
        logger.error("%s", error)  # noqa: TRY400 - an expected error, without a traceback
        return error.exit_code
    return 0
