"""The files of a sandbox, and the records that its server and its clients exchange there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - pydantic evaluates the annotations
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import TypeAdapter

from pio_tf.atomic_write import write_atomically
from pio_tf.sandbox.address_range import FIRST
from pio_tf.sandbox.processes import ProcessId  # noqa: TC001 - pydantic evaluates the annotations

PROFILE = "sandbox"
REGION = "us-east-1"
SSH_PORT = 2222
"""Above 1024, so that it needs no root."""
SSH_USER = "ubuntu"
"""The user of the Ubuntu images that the sandbox knows."""
CONSOLE = "console.log"
"""A machine's console, in its directory."""
POWER_OFF = "power-off"
"""The file in its directory that appears when a machine powers itself off."""
SCHEDULE_MARK = "scheduled-start"
"""The file in its directory with the instance's tag of that name, for the machine's metadata service."""

ServiceKind: TypeAlias = Literal["light", "real"]
WantedState: TypeAlias = Literal["running", "stopped", "hung"]
ServiceState: TypeAlias = Literal["running", "stopped", "hung", "failed"]


@dataclass(frozen=True)
class Services:
    """The addresses of the stand-ins for Elasticsearch, ZooKeeper and the HDFS name node."""

    host: str
    """An address on loopback."""
    elasticsearch: int
    zookeeper: int
    namenode: int
    kind: ServiceKind = "light"
    """``light``: stand-ins in the sandbox's own process; ``real``: processes of the real services."""
    elasticsearch_user: str | None = None
    """The user of Elasticsearch, if it asks for a password."""
    elasticsearch_password_file: Path | None = None
    """The file with that password."""


@dataclass(frozen=True)
class ServiceRequest:
    """A command's request to change the state of a real service."""

    name: str
    state: WantedState
    number: int
    """Higher than that of the request before."""


@dataclass(frozen=True)
class ServiceStatus:
    """A real service, and its process."""

    name: str
    state: ServiceState
    """``running``; ``stopped`` or ``hung`` by a command; ``failed``: its process has ended."""
    pid: int | None
    log: Path
    request: int
    """Number of the last request that was served or has failed."""
    error: str = ""


@dataclass(frozen=True)
class TrainingRequest:
    """A request to let the next training of a cluster's schedule come now; also the answer to it."""

    cluster: str
    number: int
    error: str = ""
    """Why it does not come; empty: it does, or there is no answer yet."""


@dataclass(frozen=True)
class SandboxInfo:
    """A running sandbox: the values for a pio-tf.hcl, and its files."""

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
    network: str = str(FIRST)
    """The addresses that are this sandbox's own. The network.cidr of a cluster is inside them."""
    spark: str = "3.5"
    """The version of Spark on the machines."""


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
    """The record that the server process writes when it is ready."""

    process: ProcessId
    url: str
    services: Services
    network: str


Record = TypeVar("Record")
_adapters: dict[object, TypeAdapter[Any]] = {}


class RecordFile(Generic[Record]):
    """A JSON file with one record, which only the user can read."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self.path = path
        self._kind = kind

    def write(self, record: Record) -> None:
        """Write the record in one step."""
        write_atomically(self.path, _adapter(self._kind).dump_json(record, indent=2))

    def read(self) -> Record | None:
        """Return the record; None if the file is missing or unreadable."""
        try:
            return _adapter(self._kind).validate_json(self.path.read_bytes())
        except (OSError, ValueError):
            return None


def _adapter(kind: type[Record]) -> TypeAdapter[Record]:
    """Return the adapter of a kind of records. To make one takes half a millisecond of CPU time."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


class Layout:
    """The files of a sandbox."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.marker = directory / ".pio-tf-sandbox"  # the directory belongs to a sandbox, and may be removed
        self.info = RecordFile(directory / "sandbox.json", SandboxInfo)
        self.server = RecordFile(directory / "server.json", ServerRecord)
        self.server_lock = directory / "server.lock"  # locked while the server lives, however it ends
        self.statuses = RecordFile(directory / "machines.json", tuple[MachineStatus, ...])
        self.machines = directory / "machines"  # a directory per instance, named by its id: its disk
        self.services = directory / "services"  # a directory for each real service: configuration, data, log
        self.service_requests = RecordFile(directory / "service-requests.json", tuple[ServiceRequest, ...])
        self.service_statuses = RecordFile(directory / "service-statuses.json", tuple[ServiceStatus, ...])
        self.training_request = RecordFile(directory / "training-request.json", TrainingRequest)
        self.training_answer = RecordFile(directory / "training-answer.json", TrainingRequest)
        self.log = directory / "sandbox.log"  # output of the server and of the machines' own programs
        self.credentials = directory / "credentials"  # AWS credentials file with the sandbox's access key
        self.mirror = directory / "terraform"  # Terraform's provider mirror, and the CLI configuration that names it

    def console(self, instance_id: str) -> str:
        """Return a machine's console log so far."""
        try:
            return (self.machines / instance_id / CONSOLE).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
