"""What a sandbox keeps in its directory, and the records that its server and its clients exchange there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pio_tf.atomic_write import write_atomically
from pio_tf.sandbox.processes import ProcessId

PROFILE = "sandbox"
REGION = "us-east-1"
SSH_PORT = 2222
"""Above 1024, so that it needs no root."""
SSH_USER = "ubuntu"
"""The user of the Ubuntu images that the sandbox knows."""
CONSOLE = "console.log"
"""A machine's console, in its directory."""


@dataclass(frozen=True)
class Services:
    """Where the stand-ins for Elasticsearch, ZooKeeper and the HDFS name node listen."""

    host: str
    """An address on loopback."""
    elasticsearch: int
    zookeeper: int
    namenode: int


@dataclass(frozen=True)
class SandboxInfo:
    """A running sandbox: what a pio-tf.hcl for it must say, and where it lives."""

    url: str
    pid: int
    directory: Path
    region: str
    profile: str
    credentials_file: Path
    cli_config_file: Path
    ssh_port: int
    ssh_user: str
    services: Services
    log_file: Path


@dataclass(frozen=True)
class MachineStatus:
    """An instance and the machine behind it."""

    cluster: str
    name: str
    role: str
    instance_id: str
    state: str
    """EC2's state."""
    address: str
    power: str
    """``on``, ``off``, ``starting``, ``stopping`` or ``failed``: the machine itself, which follows EC2's state."""
    error: str = ""


@dataclass(frozen=True)
class ServerRecord:
    """The server process, as it records itself when it is ready."""

    process: ProcessId
    url: str
    services: Services


@dataclass(frozen=True)
class Layout:
    """The files of a sandbox."""

    directory: Path

    @property
    def marker(self) -> Path:
        """Says that the directory is a sandbox's and may be removed as a whole."""
        return self.directory / ".pio-tf-sandbox"

    @property
    def info(self) -> Path:
        """:class:`SandboxInfo`, for clients."""
        return self.directory / "sandbox.json"

    @property
    def server(self) -> Path:
        """:class:`ServerRecord`."""
        return self.directory / "server.json"

    @property
    def server_lock(self) -> Path:
        """Locked by the server as long as it lives, however it ends."""
        return self.directory / "server.lock"

    @property
    def machines_file(self) -> Path:
        """List of :class:`MachineStatus`, kept by the server."""
        return self.directory / "machines.json"

    @property
    def machines(self) -> Path:
        """One directory an instance, named by its id: its disk."""
        return self.directory / "machines"

    def console(self, instance_id: str) -> str:
        """What a machine has written to its console so far."""
        try:
            return (self.machines / instance_id / CONSOLE).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def log(self) -> Path:
        """What the server and the machines' own programs say."""
        return self.directory / "sandbox.log"

    @property
    def credentials(self) -> Path:
        """AWS credentials file with the profile ``sandbox``."""
        return self.directory / "credentials"

    @property
    def mirror(self) -> Path:
        """Terraform's provider mirror and the CLI configuration that names it."""
        return self.directory / "terraform"


Record = TypeVar("Record", SandboxInfo, ServerRecord)


def write_info(layout: Layout, info: SandboxInfo) -> None:
    """Write sandbox.json, 0600."""
    write_atomically(layout.info, json.dumps(asdict(info), indent=2, default=str))


def read_info(layout: Layout) -> SandboxInfo | None:
    """Read sandbox.json; None when it is missing or unreadable."""
    raw = _read(layout.info)
    try:
        paths = {name: Path(raw[name]) for name in ("directory", "credentials_file", "cli_config_file", "log_file")}
        return SandboxInfo(**{**raw, **paths, "services": Services(**raw["services"])})
    except (KeyError, TypeError):
        return None


def write_server(layout: Layout, record: ServerRecord) -> None:
    """Write server.json, 0600."""
    write_atomically(layout.server, json.dumps(asdict(record)))


def read_server(layout: Layout) -> ServerRecord | None:
    """Read server.json; None when it is missing or unreadable."""
    raw = _read(layout.server)
    try:
        process, services = ProcessId(**raw["process"]), Services(**raw["services"])
        return ServerRecord(process=process, url=raw["url"], services=services)
    except (KeyError, TypeError):
        return None


def write_machines(layout: Layout, machines: tuple[MachineStatus, ...]) -> None:
    """Write machines.json, 0600."""
    write_atomically(layout.machines_file, json.dumps([asdict(machine) for machine in machines], indent=2))


def read_machines(layout: Layout) -> tuple[MachineStatus, ...]:
    """Read machines.json; nothing when it is missing or unreadable."""
    raw = _read(layout.machines_file)
    try:
        return tuple(MachineStatus(**item) for item in raw)
    except TypeError:
        return ()


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
