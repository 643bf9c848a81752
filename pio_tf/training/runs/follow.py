"""Following a run: its log to the end, through lost connections and killed readers, no line lost or repeated."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pio_tf.errors import RemoteError
from pio_tf.events import Reporter, Warned
from pio_tf.remote.lines import LineSplitter
from pio_tf.training.runs.archive import LogCopy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pio_tf.training.runs.on_driver import DriverRun, DriverRuns

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
"""Seconds before the connection is made again: short at first, half as long again each time."""
OUT_OF_SIGHT = 600.0
"""Seconds without any answer from the driver after which a client gives up. The run does not."""
_PASSING = frozenset({"connection-lost", "unreachable", "timeout", "reader-killed"})


async def follow_log(
    runs: DriverRuns,
    run: str,
    *,
    copy: Path,
    on_line: Callable[[str], None],
    reporter: Reporter,
    runs_still: Callable[[], Awaitable[bool]],
    patience: float = OUT_OF_SIGHT,
    once: bool = False,
) -> DriverRun:
    """Copy a run's log here, from where the copy ends, and hand out its lines, all of them from the first.

    Args:
        copy: file of the copy.
        runs_still: asked after a lost connection, whether the driver's power is on.
        patience: seconds without an answer until it gives up.
        once: only what there is now, also of a run that goes on.

    Returns:
        What the driver says of the run then.

    Raises:
        RemoteError: no answer for so long, or the driver's power is off; nobody knows how the run ended.
    """
    splitter = LineSplitter()
    heard = time.monotonic()
    delay = FIRST_DELAY

    def hand_out(data: bytes) -> None:
        for line in splitter.feed(data):
            on_line(line)

    with LogCopy(copy) as log:
        while data := log.read():
            hand_out(data)

        def on_data(data: bytes) -> None:
            nonlocal heard, delay
            heard, delay = time.monotonic(), FIRST_DELAY
            log.write(data)
            hand_out(data)

        told = False
        while True:
            try:
                await runs.follow(run, log.size, on_data, once=once)
                facts = await runs.one(run)
                break
            except RemoteError as error:
                if error.details.get("kind") not in _PASSING:
                    raise
                if not told:
                    reporter(Warned(f"the log was lost from sight ({error.cause}): connecting to the driver again"))
                    told = True
                if not await runs_still():
                    step = f"the run has ended with it; `pio-tf up`, then `pio-tf logs {run}` shows how far it came"
                    raise _out_of_sight(run, "its power is off", step, error) from error
                if time.monotonic() - heard > patience:
                    step = f"`pio-tf status` tells what runs; then `pio-tf train --attach {run}` follows it again"
                    raise _out_of_sight(run, f"nothing was heard of it for {patience:.0f} s", step, error) from error
            await asyncio.sleep(delay)
            delay = min(LONGEST_DELAY, delay * 1.5)
    for line in splitter.end():
        on_line(line)
    return facts


def _out_of_sight(run: str, why: str, next_step: str, error: RemoteError) -> RemoteError:
    return RemoteError(
        f"the driver cannot be asked about run {run}: {why}",
        cause=error.cause or error.what,
        next_step=next_step,
        details={"run": run, "kind": "out-of-sight"},
    )
