"""Times that a run has measured, for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.real_machines.cluster import Start


class Figures:
    """Lines of a table, in the order in which they were measured."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, what: str, start: Start) -> None:
        """Add the start of a whole cluster."""
        self._lines.append(f"{what}: logins {start.login:.1f} s, all workers ALIVE {start.workers:.1f} s")

    def add_command(self, command: str, seconds: float) -> None:
        """Add a command of pio-tf, from its start to its end."""
        self._lines.append(f"{command}: {seconds:.1f} s")

    def lines(self) -> list[str]:
        """Return the figures as lines of text."""
        return list(self._lines)
