"""One HTML file about a cluster's runs: plots, a table behind them, and failures with their causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError
from pio_tf.report.page import render

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from pio_tf.infra.cost import Prices
    from pio_tf.training.runs.record import RunRecord

__all__ = ["render", "write_report"]


def write_report(path: Path, cluster: str, records: Iterable[RunRecord], prices: Prices, *, now: datetime) -> None:
    """Write the report, completely or not at all. Only its owner can read it: causes of failures are lines of logs.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a directory")
        write_atomically(path, render(cluster, records, prices, now=now))
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}", cause=error.strerror or str(error), next_step="name another file with --output"
        ) from error
