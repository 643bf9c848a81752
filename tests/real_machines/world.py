"""The machines' network, and the image that all their disks begin with."""

from __future__ import annotations

import shutil
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from tests.real_machines.commands import run
from tests.real_machines.disks import Disk
from tests.real_machines.machine import BRIDGE, Hardware, Machine
from tests.real_machines.metadata import ADDRESS, Metadata

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real_machines.machine import Launch

DISKS = "6g"
"""Memory that all disks together may take. They are in memory: nothing of them is left, whatever ends the world."""


class World:
    """A network with one bridge, on which this process listens at the network's first address.

    Args:
        directory: empty; a file system in memory is mounted there.
        image: what ``scripts/machine-image`` has printed.
        network: a VPC's.
        cgroup: name of a control group for the machines, of its own.
    """

    def __init__(self, directory: Path, *, image: Path, network: IPv4Network, cgroup: str) -> None:
        self.directory = directory
        self.network = network
        self.gateway = IPv4Address(network.network_address + 1)
        self.cgroup = cgroup
        run("mount", "-t", "tmpfs", "-o", f"size={DISKS},mode=0755", "machines", directory)
        self.base = directory / "base"
        self.base.mkdir()
        run("tar", "--extract", "--xattrs", "--numeric-owner", "--zstd", "--directory", self.base, "--file", image)
        run("ip", "link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge", "forward_delay", 0)
        run("ip", "address", "add", f"{self.gateway}/{network.prefixlen}", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        run("ip", "address", "add", f"{ADDRESS}/32", "dev", BRIDGE)
        self.metadata = Metadata()
        key = directory / "id"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test@example", "-f", key)
        self.key = key
        self._machines: dict[str, Machine] = {}

    @property
    def public_key(self) -> str:
        """Return the public key of the user on the machines, in one line."""
        return self.key.with_suffix(".pub").read_text().strip()

    def launch(self, launch: Launch, hardware: Hardware | None = None, *, root_mib: int | None = None) -> Machine:
        """Make a new machine, off. ``root_mib``: size of its root disk."""
        assert launch.name not in self._machines, f"{launch.name} is there already"
        assert launch.address in self.network
        machine = Machine(self, launch, hardware or Hardware(), root_mib)
        self._machines[launch.name] = machine
        return machine

    def driver_hardware(self) -> Hardware:
        """Return the hardware of one more driver, with a new volume for its scratch files."""
        return Hardware(disks={"nvme1n1": Disk(self.directory, kind="volume")})

    def terminate(self, machine: Machine) -> None:
        """Remove everything of the machine."""
        machine.crash()
        machine.forget()
        del self._machines[machine.name]

    def close(self) -> None:
        """End every machine at once, and the network with it."""
        for machine in list(self._machines.values()):
            self.terminate(machine)
        self.metadata.close()
        run("ip", "link", "delete", BRIDGE)
        run("umount", "--lazy", self.directory)
        shutil.rmtree(self.directory)
