"""The JSON of the sandbox."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pio_tf.cli.schemas.common import Version


class ServicesData(TypedDict):
    """Host and ports of the sandbox's stand-ins."""

    host: str
    elasticsearch: int
    zookeeper: int
    namenode: int


class SandboxData(TypedDict):
    """A running sandbox."""

    url: str
    pid: int
    directory: str
    region: str
    profile: str
    credentials_file: str
    cli_config_file: str
    ssh_port: int
    ssh_user: str
    services: ServicesData
    log_file: str


class SandboxMachineData(TypedDict):
    """An instance of the sandbox, and the machine behind it."""

    cluster: str
    name: str
    role: str
    instance_id: str
    state: Annotated[str, "EC2's"]
    address: str
    power: Annotated[str, "the machine's: `on`, `off`, `starting`, `stopping`, `failed`"]
    error: str


class SandboxResult(TypedDict):
    """The sandbox."""

    version: Version
    state: Literal["running", "stopped", "crashed"]
    info: SandboxData | None
    machines: list[SandboxMachineData]


class SandboxStopResult(TypedDict):
    """The sandbox is not there any more."""

    version: Version
    stopped: Annotated[bool, "false: there was none"]
