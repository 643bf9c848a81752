"""One at a time: the lock on the driver, which every client can see.

It is a lock of the driver's kernel (flock), held by a shell there for as long as this client talks to it, and by the
process that runs the run from its start to its end. So a stale one does not exist: nobody need judge by its age.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from pio_tf.errors import Locked, PioTfError, RemoteError
from pio_tf.remote.commands import InteractiveCommand
from pio_tf.training.runs.driver_runs import Holder, program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.runs.record import Client

_HEARTBEAT_SECONDS = 15.0
_GONE_SECONDS = 60
"""A client that has not said a word for so long has lost the lock, unless its run holds it."""
_ANSWER_SECONDS = 20.0


class DriverLock:
    """The lock, held."""

    def __init__(self, dialog: InteractiveCommand, client: Client) -> None:
        self._dialog = dialog
        self._client = client

    async def start(self, run: str) -> None:
        """Start a prepared run, which holds the lock from now on.

        Raises:
            PioTfError: the driver could not start it.
            RemoteError: the connection was lost: it may have started.
        """
        self._dialog.write_line(f"start {run} {Holder('running', str(self._client), run).to_json()}")
        answer = await self._dialog.read_line(timeout=_ANSWER_SECONDS)
        if not answer:
            raise RemoteError(
                "the driver's lock was lost before the run began",
                cause=f"nothing was heard of this client for {_GONE_SECONDS} s",
                next_step="try again",
                details={"kind": "connection-lost"},
            )
        if answer != "started":
            raise PioTfError(
                f"the driver could not start the run {run}",
                cause=answer.removeprefix("failed ") or "no reason was given",
                next_step="look whether its disk is full (df -h ~): pio-tf ssh",
                details={"run": run},
            )

    async def hold_for_stopping(self) -> None:
        """Let the driver itself hold the lock, until its power is off: nobody starts a run that would be cut off."""
        self._dialog.write_line(f"stop {Holder('stopping', str(self._client)).to_json()}")
        await self._dialog.read_line(timeout=_ANSWER_SECONDS)


@contextlib.asynccontextmanager
async def hold_driver_lock(
    remote: ClusterConnection, client: Client, *, doing: str, run: str = ""
) -> AsyncIterator[DriverLock]:
    """Hold the lock while the block runs.

    Raises:
        Locked: somebody else has it; they and their run are named.
        RemoteError: the driver could not be asked.
    """
    driver = remote.driver.name
    dialog = await InteractiveCommand.open(
        await remote.connection(driver), driver, f"{program()}\nhold {_GONE_SECONDS}"
    )
    beating: asyncio.Task[None] | None = None
    try:
        dialog.write_line(Holder(doing, str(client), run).to_json())
        answer = await dialog.read_line(timeout=_ANSWER_SECONDS)
        if answer.startswith("held "):
            raise locked_by(Holder.from_json(answer.removeprefix("held ")))
        if answer != "yours":
            raise RemoteError(
                "the driver's lock cannot be taken",
                cause=answer or "no reason was given",
                next_step="look whether its disk is full (df -h ~) and who owns ~/.pio-tf: pio-tf ssh",
                details={"machine": driver, "kind": "runs-directory"},
            )
        beating = asyncio.create_task(_beat(dialog))
        yield DriverLock(dialog, client)
    finally:
        if beating is not None:
            beating.cancel()
        await dialog.close()


def locked_by(holder: Holder) -> Locked:
    """The error that names them."""
    what = {
        "running": f"run {holder.run} is active, started by {holder.who}",
        "preparing": f"run {holder.run} is being prepared by {holder.who}",
        "provisioning": f"the machines are being provisioned by {holder.who}",
    }.get(holder.doing, f"the machines are being stopped by {holder.who}")
    steps = {
        "running": f"`pio-tf train --attach {holder.run}` follows it, `pio-tf cancel {holder.run}` ends it; `pio-tf "
        "down --force` ends it and stops the machines",
        "preparing": "wait until it has begun (`pio-tf runs`), then `pio-tf train --attach` follows it; `pio-tf down "
        "--force` keeps it from beginning, and stops the machines",
        "provisioning": "wait until that is through, then try again; `pio-tf down --force` does not wait",
        "stopping": "wait until they are stopped (`pio-tf status`), then try again",
    }
    return Locked(
        what,
        cause="one run at a time: the lock on the driver is held",
        next_step=steps.get(holder.doing, "try again"),
        details={"run": holder.run, "who": holder.who, "doing": holder.doing},
    )


async def _beat(dialog: InteractiveCommand) -> None:
    while True:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        dialog.write_line("")
