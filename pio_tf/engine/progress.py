"""The progress of a copy to or from a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.events import MachineProgress

if TYPE_CHECKING:
    from pio_tf.events import Reporter

_EVERY = 16 * 1024**2
"""Bytes between two reports. A smaller copy takes a moment, and reports nothing."""


@dataclass
class CopyProgress:
    """Counts the bytes of one copy, and reports them now and then.

    Args:
        total: 0: unknown.
    """

    machine: str
    reporter: Reporter
    total: int = 0
    done: int = 0
    _reported: int = 0

    def add(self, size: int) -> None:
        """Count bytes that were copied."""
        self.done += size
        if self.done - self._reported >= _EVERY:
            self._reported = self.done
            of = f" of {self.total / 1e6:,.0f}" if self.total else ""
            self.reporter(MachineProgress(self.machine, f"copied {self.done / 1e6:,.0f}{of} MB"))
