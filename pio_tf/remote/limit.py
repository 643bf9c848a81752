"""Work on machines that may not answer any more: its time is limited, and so is the wait for its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from pio_tf.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pio_tf.remote.ssh import Remote

_ENDS_WITHIN = 1.5
"""Seconds for work that is cancelled to end its commands on the machines."""
_T = TypeVar("_T")


async def at_most(seconds: float | None, work: Coroutine[Any, Any, _T], remote: Remote) -> _T:
    """Await work; cut every connection once its time is over, or when it does not end though it is cancelled.

    Args:
        seconds: for the work; None: as long as it takes.

    Raises:
        RemoteError: it was not done in time (kind "timeout").
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=_ENDS_WITHIN)
        await _cut_off(task, remote)
        raise
    if not task.done():
        await _cut_off(task, remote)
        raise RemoteError(
            "the driver does not answer",
            cause=f"not within {seconds:g} s, and an interrupted client waits no longer",
            next_step="pio-tf status",
            details={"machine": remote.driver.name, "kind": "timeout"},
        )
    return task.result()


async def _cut_off(task: asyncio.Future[Any], remote: Remote) -> None:
    if not task.done():
        task.cancel()
        remote.abort()
        await asyncio.wait([task])
