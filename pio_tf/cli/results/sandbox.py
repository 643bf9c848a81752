"""The sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pio_tf.cli.results.base import CommandResult, ResultData, Table


class ServicesData(ResultData):
    """Host and ports of the sandbox's services."""

    host: str
    elasticsearch: int
    zookeeper: int
    namenode: int


class SandboxData(ResultData):
    """A running sandbox."""

    url: str
    pid: int
    directory: Path
    region: str
    profile: str
    credentials_file: Path
    cli_config_file: Path
    ssh_port: int
    ssh_user: str
    services: ServicesData
    log_file: Path


class SandboxMachineData(ResultData):
    """An instance of the sandbox, and the machine behind it."""

    cluster: str
    name: str
    role: str
    instance_id: str
    state: str = Field(description="EC2's")
    address: str
    power: str = Field(description="the machine's: `on`, `off`, `starting`, `stopping`, `failed`")
    error: str


class SandboxResult(CommandResult):
    """The sandbox."""

    state: Literal["running", "stopped", "crashed"]
    info: SandboxData | None
    machines: list[SandboxMachineData]

    def table(self) -> Table:
        rows = [(one.cluster, one.name, one.instance_id, one.state, one.address) for one in self.machines]
        return Table(("CLUSTER", "NAME", "ID", "STATE", "ADDRESS"), rows)

    def closing(self) -> str:
        info = self.info
        return f"running at {info.url}, process {info.pid}, files in {info.directory}" if info else "not running"


class SandboxStopResult(CommandResult):
    """The end of the sandbox."""

    stopped: bool = Field(description="false: there was none")
