"""The lock on the driver: one run at a time, whatever client asks.

The kernel there holds it (flock): for a shell while this client talks to it, then for the process of the run from its
start to its end. It ends with its holder, so that no lock is ever stale.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from pio_tf.errors import Locked, PioTfError, RemoteError
from pio_tf.remote.commands import InteractiveCommand
from pio_tf.training.runs.driver_runs import LockHolder, program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.runs.record import Client

_HEARTBEAT_SECONDS = 15.0
_GONE_SECONDS = 60
"""A client that is silent for so long loses the lock, unless its run holds it."""
_ANSWER_SECONDS = 20.0


class DriverLock:
    """The lock, held by this client."""

    def __init__(self, command: InteractiveCommand, client: Client) -> None:
        self._command = command
        self._client = client

    async def start(self, run: str) -> float:
        """Start a prepared run, which holds the lock from now on. Return the time of its start, by the driver's clock.

        Raises:
            PioTfError: the driver could not start it.
            RemoteError: the connection was lost: the run may have started.
        """
        self._command.write_line(f"start {run} {LockHolder('running', str(self._client), run).to_json()}")
        answer = await self._command.read_line(timeout=_ANSWER_SECONDS)
        if not answer:
            raise RemoteError(
                "lost the driver's lock before the run began",
                cause=f"the driver heard nothing from this client for {_GONE_SECONDS} s",
                next_step="try again",
                details={"kind": "connection-lost"},
            )
        if not answer.startswith("started "):
            raise PioTfError(
                f"the driver could not start the run {run}",
                cause=answer.removeprefix("failed ") or "no message",
                next_step="check whether its disk is full (df -h ~): pio-tf ssh",
                details={"run": run},
            )
        return float(answer.removeprefix("started "))

    async def hold_for_stopping(self) -> None:
        """Let the driver itself hold the lock until its power is off: a run that began now would be cut off."""
        self._command.write_line(f"stop {LockHolder('stopping', str(self._client)).to_json()}")
        await self._command.read_line(timeout=_ANSWER_SECONDS)


@contextlib.asynccontextmanager
async def hold_driver_lock(
    remote: ClusterConnection, client: Client, *, doing: str, run: str = "", linger: int | None = None
) -> AsyncIterator[DriverLock]:
    """Hold the lock while the block runs.

    Args:
        linger: from now on, the driver powers itself off once it was unused for so many seconds; 0: never by itself;
            None: as before.

    Raises:
        Locked: another client has it; the error names that client and its run.
        RemoteError: the driver is unreachable.
    """
    driver = remote.driver.name
    command = await InteractiveCommand.open(
        await remote.connection(driver), driver, f"{program()}\nhold {_GONE_SECONDS} {'' if linger is None else linger}"
    )
    beating: asyncio.Task[None] | None = None
    try:
        command.write_line(LockHolder(doing, str(client), run).to_json())
        answer = await command.read_line(timeout=_ANSWER_SECONDS)
        if answer.startswith("held "):
            raise locked_by(LockHolder.from_json(answer.removeprefix("held ")))
        if answer != "yours":
            raise RemoteError(
                "could not take the driver's lock",
                cause=answer or "no message",
                next_step="check whether its disk is full (df -h ~) and the owner of ~/.pio-tf: pio-tf ssh",
                details={"machine": driver, "kind": "runs-directory"},
            )
        beating = asyncio.create_task(_beat(command))
        yield DriverLock(command, client)
    finally:
        if beating is not None:
            beating.cancel()
        await command.close()


async def _beat(command: InteractiveCommand) -> None:
    while True:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        command.write_line("")


def locked_by(holder: LockHolder) -> Locked:
    """Return the error that names the lock's holder and what to do."""
    run = holder.run
    what = {
        "running": f"run {run} is active, started by",
        "preparing": f"run {run} is being prepared by",
        "provisioning": "the machines are being provisioned by",
        "changing": "the machines are being changed by",
        "engine": "the engine on the driver is being changed or saved by",
        "model": "the model that is served is being changed by",
    }.get(holder.doing, "the machines are being stopped by")
    next_step = {
        "running": f"`pio-tf train --attach {run}` follows it, `pio-tf cancel {run}` ends it; `pio-tf down --force` "
        "ends it and stops the machines",
        "preparing": "wait until it has begun (`pio-tf runs`), then `pio-tf train --attach` follows it; `pio-tf down "
        "--force` prevents it, and stops the machines",
        "provisioning": "wait until that has ended, then try again; `pio-tf down --force` does not wait",
        "changing": "wait until that has ended, then try again; `pio-tf down --force` stops the machines all the same",
        "engine": "wait until that has ended, then try again; `pio-tf down --force` stops the machines all the same",
        "model": "wait until that has ended, then try again; `pio-tf down --force` stops the machines all the same",
        "stopping": "wait until they are stopped (`pio-tf status`), then try again",
    }.get(holder.doing, "try again")
    return Locked(
        f"{what} {holder.who}",
        cause="only one run at a time: another client holds the driver's lock",
        next_step=next_step,
        details={"run": run, "who": holder.who, "doing": holder.doing},
    )
