"""The log of a run that is kept on this computer, or beside the state in S3, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.remote.lines import LineSplitter
from pio_tf.training.runs.record import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pio_tf.training.runs.archive import Archive
    from pio_tf.training.runs.bucket import RunBucket


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


def read_kept(run: str, archive: Archive, shared: RunBucket | None, on_line: Callable[[str], None]) -> None:
    """Hand out the lines of a run's log without asking the driver. A log that is not here, whole, is copied from S3.

    Raises:
        AwsError: it cannot be had from there.
    """
    record, log = archive.load(run), archive.log(run)
    whole = record is not None and record.state in ENDED and log.exists()
    if shared is not None and not whole:
        shared.fetch_log(run, log)
    read_lines(log, on_line)
