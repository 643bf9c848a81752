"""The log of a run that is kept on this computer, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.remote.lines import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read_lines(log: Path, on_line: Callable[[str], None]) -> None:
    """Hand out the lines of a log; none of one that was never copied."""
    splitter = LineSplitter()
    if not log.exists():
        return
    with log.open("rb") as file:
        while data := file.read(1 << 18):
            for line in splitter.feed(data):
                on_line(line)
    for line in splitter.end():
        on_line(line)
