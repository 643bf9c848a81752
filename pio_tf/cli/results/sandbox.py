"""The sandbox."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pio_tf.cli.results.base import CommandResult
from pio_tf.sandbox.layout import MachineStatus, SandboxInfo


class SandboxResult(CommandResult):
    """The sandbox."""

    ROWS = "machines"
    COLUMNS: ClassVar = {
        "CLUSTER": "cluster",
        "NAME": "name",
        "ID": "instance_id",
        "STATE": "state",
        "ADDRESS": "address",
    }

    state: Literal["running", "stopped", "crashed"]
    info: SandboxInfo | None
    machines: list[MachineStatus]

    def closing(self) -> str:
        info = self.info
        return f"running at {info.url}, process {info.pid}, files in {info.directory}" if info else "not running"


class SandboxStopResult(CommandResult):
    """The end of the sandbox."""

    stopped: bool = Field(description="false: there was none")
