"""The fixture that tests/remote and tests/training share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
import pytest_asyncio

from pio_tf.model import Machine
from pio_tf.remote.connect import RetryPolicy
from pio_tf.sandbox.processes import end_processes
from tests.support.builders import make_config
from tests.support.ssh_servers import MachineServer, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.model import MachineOutput
    from pio_tf.remote.target import SshTarget

ADDRESSES = {"driver": "127.0.0.1", "master": "127.0.0.2", "worker-1": "127.0.0.3", "worker-2": "127.0.0.4"}
QUICK = RetryPolicy(timeout=60, denied=0.5, attempt=30, first_delay=0.05, longest_delay=0.2)
"""For a machine that is there, or comes. Its limits are those of a busy computer: no test waits for them."""
ONE_ATTEMPT = RetryPolicy(timeout=30, denied=30, attempt=30, first_delay=60)
"""For a machine that is not there: a second attempt would come too late."""


def put_first_on_path(name: str, program: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the machines find this program before any other of its name. Return its file."""
    path = directory / "programs" / name
    path.parent.mkdir()
    path.write_text(program)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return path


def running(machine: MachineOutput | SshTarget) -> Machine:
    """Return a machine of the outputs as EC2 shows it while it runs."""
    return Machine(
        name=machine.name,
        role=machine.role,
        instance_id=machine.instance_id,
        instance_type="r5.xlarge",
        state="running",
        private_ip=machine.private_ip,
        public_ip=None,
        since=None,
        in_outputs=True,
    )


@dataclass
class TestCluster:
    """Servers by machine name. Only the driver runs at first."""

    __test__ = False

    directory: Path
    port: int
    servers: dict[str, MachineServer]
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def driver(self) -> MachineServer:
        return self.servers["driver"]

    def config(self, **blocks: dict[str, Any]) -> Config:
        """Return a configuration that trusts host keys on first use: these servers have no consoles."""
        ssh = {"key": "id_ed25519", "port": self.port, "host_keys": "accept-new", **blocks.pop("ssh", {})}
        return make_config(self.directory, ssh=ssh, **blocks)

    def targets(self, *names: str) -> list[SshTarget]:
        roles = {"driver": "driver", "master": "master"}
        return [
            self.servers[name].target(name, roles.get(name, "worker"), f"i-{name}")  # type: ignore[arg-type]
            for name in names or ("driver",)
        ]

    @property
    def known_hosts(self) -> Path:
        return self.directory / ".pio-tf" / "ur" / "known_hosts"


@pytest.fixture(autouse=True)
def no_ssh_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the tests a home directory of their own, without the user's ~/.ssh/config, agent or known_hosts."""
    home = tmp_path / "client-home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    # The machines are this computer: no test may become root on it, or power it off.
    refusal = tmp_path / "no-root" / "sudo"
    refusal.parent.mkdir()
    refusal.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    refusal.chmod(0o755)
    monkeypatch.setenv("PATH", str(refusal.parent), prepend=":")
    return home


@pytest_asyncio.fixture
async def cluster(tmp_path: Path, no_ssh_config: Path) -> AsyncIterator[TestCluster]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "id_ed25519")
    key.write_public_key(tmp_path / "id_ed25519.pub")
    port = free_port(tuple(ADDRESSES.values()))
    servers = {
        name: MachineServer(home=tmp_path / "homes" / name, address=address, port=port, key=key)
        for name, address in ADDRESSES.items()
    }
    await servers["driver"].start()
    yield TestCluster(tmp_path, port, servers)
    for server in servers.values():
        await server.stop()
    # What a test started to outlive its connection: no more than a machine does a test leave it behind.
    assert end_processes(tmp_path / "homes") == []
