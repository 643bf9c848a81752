"""Waiting with a time limit, and work in the background."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine
    from typing import Any

_T = TypeVar("_T")


async def wait_for(work: Awaitable[_T], timeout: float | None) -> _T:
    """Return the result of the work, as :func:`asyncio.wait_for` does, and lose no cancellation.

    Before Python 3.12, asyncio's own loses one that arrives together with the result (CPython issue 86296). A task that
    works in a loop then never ends, and a wait for its end lasts forever.

    Args:
        timeout: seconds; None: no limit.

    Raises:
        asyncio.TimeoutError: the work took longer; it was cancelled, and has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=timeout)
        if task.done():
            return task.result()
        await _end(task)
    except asyncio.CancelledError:
        await _end(task)
        raise
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()  # it has ended meanwhile


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, _T]) -> AsyncIterator[asyncio.Task[_T]]:
    """Do some work while the block runs, which may await its result. At the block's end, cancel it and wait.

    If the block does not await the result, an error of the work is lost.
    """
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        await _end(task)


async def _end(task: asyncio.Future[_T]) -> None:
    """Cancel the work, and wait for its end. Its error, if it has one, is of no interest any more."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
