"""Machines with another type: ``resize``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, ResultData

if TYPE_CHECKING:
    from pio_tf.cluster.resize import Resize


class SizeData(ResultData):
    """An instance type."""

    instance_type: str
    memory_mib: int
    vcpus: int
    hourly_usd: float | None = Field(description="estimated price of an hour; null: unknown")

    def __str__(self) -> str:
        price = "unknown price" if self.hourly_usd is None else f"{self.hourly_usd:.3f} USD/hour"
        return f"{self.instance_type} ({self.memory_mib / 1024:g} GiB, {self.vcpus} cores, {price})"


class MachineResizeData(ResultData):
    """A change of a machine's type."""

    name: str
    instance_id: str
    before: SizeData
    after: SizeData

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.after}"


class ResizeResult(CommandResult):
    """The machines with a new type."""

    ROWS = "machines"
    COLUMNS: ClassVar[Columns] = {"NAME": "name", "ID": "instance_id", "BEFORE": "before", "NOW": "after"}

    machines: list[MachineResizeData] = Field(description="those that were changed; empty: all had the type already")

    @classmethod
    def of(cls, changes: Sequence[Resize]) -> ResizeResult:
        """Return the result of ``resize``."""
        machines = [
            {"name": one.machine.name, "instance_id": one.machine.instance_id, "before": one.before, "after": one.after}
            for one in changes
        ]
        return cls.model_validate({"machines": machines})

    def closing(self) -> str:
        return "" if self.machines else "nothing to change: the type is set already"
