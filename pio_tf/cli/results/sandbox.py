"""The sandbox."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult
from pio_tf.sandbox.layout import MachineStatus, SandboxInfo, ServiceStatus


class SandboxResult(CommandResult):
    """The sandbox."""

    ROWS = "machines"
    COLUMNS: ClassVar[Columns] = {
        "CLUSTER": "cluster",
        "NAME": "name",
        "ID": "instance_id",
        "STATE": "state",
        "ADDRESS": "address",
    }

    state: Literal["running", "stopped", "crashed"]
    info: SandboxInfo | None
    machines: list[MachineStatus]
    services: list[ServiceStatus] = Field(description="the real services; empty: it has stand-ins")

    def closing(self) -> str:
        info = self.info
        if info is None:
            return "not running"
        services = "".join(f"\n{service.name}: {service.state}" for service in self.services)
        return f"running at {info.url}, process {info.pid}, files in {info.directory}{services}"


class SandboxServiceResult(CommandResult):
    """A service of the sandbox after a change."""

    service: ServiceStatus


class SandboxFireResult(CommandResult):
    """A scheduled training that comes now."""

    cluster: str
    fired: Literal[True] = Field(default=True, description="the schedule has marked the machines, and starts them")


class SandboxStopResult(CommandResult):
    """The end of the sandbox."""

    stopped: bool = Field(description="false: there was none")
