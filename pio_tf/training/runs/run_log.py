"""The log of a run: copied from the driver while the run continues.

A copy has every byte once, however often the connection breaks or a reader on the driver is killed.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from pio_tf.errors import RemoteError
from pio_tf.events import Reporter, Warned
from pio_tf.remote.lines import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from pio_tf.training.runs.driver_runs import DriverRun, DriverRuns

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
"""Seconds until pio-tf connects again: short at first, half as long again each time."""
OUT_OF_SIGHT = 600.0
"""Seconds without any answer from the driver after which a client gives up. The run continues."""
_PASSING = frozenset({"connection-lost", "unreachable", "timeout", "reader-killed"})
_BLOCK = 1 << 18


async def follow_log(
    runs: DriverRuns,
    run: str,
    *,
    copy: Path,
    on_text: Callable[[str], None],
    reporter: Reporter,
    runs_still: Callable[[], Awaitable[bool]],
    patience: float = OUT_OF_SIGHT,
    once: bool = False,
) -> DriverRun:
    """Copy a run's log to this computer, from where the copy ends, and pass on its text from the first line.

    Args:
        copy: file of the copy.
        on_text: called with the lines that came at once, each with a newline at its end.
        runs_still: tells, after a lost connection, whether the driver's power is on.
        patience: seconds without an answer until it gives up.
        once: copy only what there is now, also of a run that continues.

    Returns:
        The driver's facts about the run then.

    Raises:
        RemoteError: no answer for that long, or the driver's power is off; how the run ended is unknown.
    """
    splitter = LineSplitter()
    heard = time.monotonic()
    delay = FIRST_DELAY

    def hand_out(data: bytes) -> None:
        if text := splitter.feed_text(data):
            on_text(text)

    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Not opened to append: two clients that follow a run from one directory write the same bytes to the same places.
    with open(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as log:  # noqa: PTH123 - with a mode
        while data := log.read(_BLOCK):
            hand_out(data)

        def on_data(data: bytes) -> None:
            nonlocal heard, delay
            heard, delay = time.monotonic(), FIRST_DELAY
            log.write(data)
            hand_out(data)

        warned = False
        while True:
            try:
                await runs.follow(run, log.tell(), on_data, once=once)
                facts = await runs.one(run)
                break
            except RemoteError as error:
                if error.details.get("kind") not in _PASSING:
                    raise
                if not warned:
                    reporter(Warned(f"lost the connection to the log ({error.cause}): connecting to the driver again"))
                    warned = True
                if not await runs_still():
                    step = f"the run ended with it; run `pio-tf up`, then `pio-tf logs {run}` to see its log"
                    off = _out_of_sight(run, "the driver's power is off", step, error)
                    off.details["power_off"] = True
                    raise off from error
                if time.monotonic() - heard > patience:
                    step = f"run `pio-tf status`, then `pio-tf train --attach {run}` to follow it again"
                    raise _out_of_sight(
                        run, f"the driver has not answered for {patience:.0f} s", step, error
                    ) from error
            await asyncio.sleep(delay)
            delay = min(LONGEST_DELAY, delay * 1.5)
    if text := splitter.end_text():
        on_text(text)
    return facts


def read_log(log: Path) -> Iterator[str]:
    """Yield the lines of a copy in blocks, each line with a newline at its end."""
    splitter = LineSplitter()
    with log.open("rb") as file:
        while data := file.read(_BLOCK):
            yield splitter.feed_text(data)
    yield splitter.end_text()


def _out_of_sight(run: str, why: str, next_step: str, error: RemoteError) -> RemoteError:
    return RemoteError(
        f"could not ask the driver about run {run}: {why}",
        cause=error.cause or error.what,
        next_step=next_step,
        details={"run": run, "kind": "out-of-sight"},
    )
