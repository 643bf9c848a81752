"""A training's log for a verdict, read as a client does that follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.training.verdict import TrainingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def read_training_log(saved: Callable[[], Iterable[str]]) -> TrainingLog:
    """Return the log that ``saved`` returns in blocks, read to its end."""
    log = TrainingLog(saved)
    for text in saved():
        log.add(text)
    return log


def training_log(text: str) -> TrainingLog:
    """Return a log of these lines, read to its end."""
    return read_training_log(lambda: [f"{text}\n"])
