"""One machine: what EC2 gives it, its power, its console, and a login."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.machines.console import parse_host_keys
from tests.real_machines.commands import run
from tests.real_machines.disks import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from ipaddress import IPv4Address

    from tests.real_machines.disks import Disk
    from tests.real_machines.world import World

POWER_ON = Path(__file__).with_name("power-on.sh")
USER = "ubuntu"
SEED = "/var/lib/cloud/seed/nocloud"
"""Where cloud-init finds what EC2's metadata would tell it."""
BRIDGE = "vpc"
"""A world's."""
CARD = "ens5"
"""What a Nitro machine calls its network card."""
PATIENCE = 240.0
"""Seconds for what takes a few on an idle computer."""


@dataclass(frozen=True)
class Launch:
    """The inputs of a machine, and its parts that never change."""

    name: str
    instance_id: str
    address: IPv4Address
    user_data: bytes
    """As DescribeInstanceAttribute gives it; it may be compressed."""


@dataclass(frozen=True)
class Hardware:
    """The properties of a machine that another instance type changes.

    Args:
        memory_mib: what the machine believes to have; None: this computer's.
        disks: instance store and volumes by their names in /dev: xvdb and so on, or nvme1n1.
    """

    memory_mib: int | None = None
    disks: Mapping[str, Disk] = field(default_factory=dict)


@dataclass
class Machine:
    """A machine of a world, off at first. What :meth:`World.launch` makes."""

    world: World
    launch: Launch
    hardware: Hardware
    root_mib: int | None = None
    """Size of the root disk; None: as much as there is."""
    powered_on: float = 0.0
    """When, by the monotonic clock."""
    _nspawn: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._directory = self.world.directory / self.name
        self._disk = self._directory / "disk"
        self._disk.mkdir(parents=True)
        if self.root_mib is not None:
            run("mount", "-t", "tmpfs", "-o", f"size={self.root_mib}m,mode=0755", "disk", self._disk)
        self._log = self._directory / "console"
        self._seed = self._directory / "seed"
        self._seed.mkdir()
        (self._seed / "user-data").write_bytes(self.launch.user_data)
        (self._seed / "meta-data").write_text(
            json.dumps(
                {
                    "instance-id": self.launch.instance_id,
                    "local-hostname": "ip-" + str(self.launch.address).replace(".", "-"),
                    "public-keys": [self.world.public_key],
                }
            )
        )

    @property
    def name(self) -> str:
        """Unique in its world."""
        return self.launch.name

    @property
    def address(self) -> str:
        """Its private address."""
        return str(self.launch.address)

    @property
    def is_on(self) -> bool:
        """Return whether the machine runs, or is about to."""
        return self._nspawn is not None and self._nspawn.poll() is None

    @property
    def has_powered_itself_off(self) -> bool:
        """Return whether it was shut down from inside, in good order, and nothing has noticed yet."""
        return self._nspawn is not None and not self._asked_to_stop and self._nspawn.poll() == 0

    # Power

    def power_on(self) -> None:
        """Begin to boot, as after StartInstances. Its instance store is blank."""
        assert not self.is_on, f"{self.name} is on"
        self._asked_to_stop = False
        self._plug_in()
        arguments = [
            f"--machine={self.name}",
            f"--bind-ro={self._seed}:{SEED}",
            *self._hardware_arguments(),
        ]
        log = self._log.open("ab")
        command = [POWER_ON, f"{self.world.cgroup}/{self.name}", self.name, self.world.base, self._disk, *arguments]
        self.powered_on = time.monotonic()
        with log:
            self._nspawn = subprocess.Popen(
                ("unshare", "--mount", "--propagation", "private", *map(str, command)),  # noqa: S607 - where root's are
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def power_off(self) -> None:
        """Shut down in good order, as after StopInstances. Return when it is off."""
        self.begin_to_stop()
        self.wait_until_off()

    def begin_to_stop(self) -> None:
        """Begin to shut down, as after StopInstances; return at once."""
        assert self._nspawn is not None, f"{self.name} is off"
        self._asked_to_stop = True
        self._nspawn.send_signal(signal.SIGTERM)

    def wait_until_off(self) -> None:
        """Wait for the end of a machine that is being stopped, or stops itself."""
        assert self._nspawn is not None, f"{self.name} is off"
        code = self._nspawn.wait(timeout=PATIENCE)
        self._off()
        assert code == 0, f"{self.name}: exit status {code}\n{self.console()[-2000:]}"

    def crash(self) -> None:
        """Cut the power, as on a host that fails. Nothing happens to a machine that is off."""
        if self._nspawn is None:
            return
        # Only the whole control group: nspawn alone would leave everything inside running.
        for kill in self._cgroups("cgroup.kill"):
            kill.write_text("1")
        self._nspawn.wait(timeout=PATIENCE)
        self._off()

    def change_hardware(self, hardware: Hardware) -> None:
        """Change the hardware, as ModifyInstanceAttribute does on a stopped machine. The root disk stays as it is."""
        assert not self.is_on, f"{self.name} is on"
        self.hardware = hardware

    def grow_disk(self, mib: int) -> None:
        """Grow the disk as ModifyVolume does, and as cloud-init's growpart and resizefs then do at a boot."""
        assert self.root_mib is not None, f"{self.name}: there is no limit"
        run("mount", "-o", f"remount,size={mib}m", self._disk)
        self.root_mib = mib

    def begin_as(self, image: Machine) -> None:
        """Begin with the root disk of another machine, which is off, as after CreateImage and RunInstances."""
        assert not image.is_on, f"{image.name} is on"
        assert not self.powered_on, f"{self.name} has begun already"
        run("cp", "--archive", image._disk / "upper", self._disk)

    def forget(self) -> None:
        """Remove its disk. It must be off."""
        assert not self.is_on, f"{self.name} is on"
        if self.root_mib is not None:
            run("umount", self._disk)
        run("rm", "-rf", self._directory)

    def _off(self) -> None:
        self._nspawn = None
        # The connection that logins share does not notice.
        options = ("-F", "none", f"-oControlPath={self._directory / 'connection'}")
        subprocess.run(("ssh", *options, "-O", "exit", self.address), capture_output=True, check=False)  # noqa: S607
        deadline = time.monotonic() + PATIENCE
        for procs in self._cgroups("cgroup.procs"):
            while procs.read_text():
                assert time.monotonic() < deadline, f"{self.name} is off, but has processes"
                time.sleep(0.02)
        for card in run("ip", "-n", self.name, "-o", "link", "show", "type", "veth").splitlines():
            run("ip", "-n", self.name, "link", "delete", card.split(": ")[1].partition("@")[0])
        run("ip", "netns", "delete", self.name)
        for disk in self.hardware.disks.values():
            disk.detach()

    def _cgroups(self, name: str) -> list[Path]:
        """Return a file of its control group, in every hierarchy that has it."""
        top = Path("/sys/fs/cgroup")
        paths = [root / self.world.cgroup / self.name / name for root in (top, *top.iterdir())]
        return [path for path in paths if path.exists()]

    def _plug_in(self) -> None:
        """Make its own network, with one card on the bridge: the same addresses at every start."""
        last = int(self.launch.address) - int(self.world.network.network_address)
        mac = f"02:00:00:00:{last >> 8:02x}:{last & 255:02x}"
        outside = f"card{last}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", CARD, "address", mac, "netns", self.name)
        run("ip", "link", "set", outside, "master", BRIDGE, "up")
        inside = ("ip", "-n", self.name)
        run(*inside, "address", "add", f"{self.address}/{self.world.network.prefixlen}", "dev", CARD)
        run(*inside, "link", "set", CARD, "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "route", "add", "default", "via", self.world.gateway)

    def _hardware_arguments(self) -> Iterator[str]:
        metadata = {"instance-id": self.launch.instance_id, "local-ipv4": self.address}
        block = self._seed / "block"
        run("rm", "-rf", block)
        block.mkdir()
        for device in Path("/sys/block").iterdir():
            (block / device.name).symlink_to(device.readlink())
        for name, disk in self.hardware.disks.items():
            yield f"--bind={disk.attach()}:/dev/{name}"
            if name.startswith("nvme"):
                (block / name / "device").mkdir(parents=True)
                (block / name / "device" / "model").write_text(f"{MODELS[disk.kind]:40}\n")
            elif disk.kind == "instance store":
                number = sum("ephemeral" in path for path in metadata)
                metadata[f"block-device-mapping/ephemeral{number}"] = name.replace("xvd", "sd")
        self.world.metadata.of[self.address] = metadata
        yield f"--bind-ro={block}:/sys/block"
        if self.hardware.memory_mib is not None:
            kib = self.hardware.memory_mib << 10
            text = Path("/proc/meminfo").read_text()
            text = re.sub(r"(?m)^(Mem(?:Total|Free|Available): +)\d+", rf"\g<1>{kib}", text)
            (self._seed / "meminfo").write_text(text)
            # Mounts in /proc come last, when only files of the machine can be seen.
            yield f"--bind-ro={SEED}/meminfo:/proc/meminfo"

    # What is seen of it

    def console(self) -> str:
        """Return its console since its creation, as GetConsoleOutput shows it."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def file(self, path: str) -> Path:
        """Return a file of its disk without the machine: one that it has made or changed, not the image's."""
        return self._disk / "upper" / path.lstrip("/")

    def wait_for(self, what: str, happens: Callable[[], object], *, timeout: float = PATIENCE) -> float:
        """Wait until an event happens. Return the seconds since the power came on.

        A look takes a login or a page of Spark, and the CPU time of machines that boot meanwhile.
        """
        deadline = time.monotonic() + timeout
        while not happens():
            assert self.is_on, f"{self.name} has ended\n{self.console()[-4000:]}"
            assert time.monotonic() < deadline, f"{self.name}: no {what}\n{self.console()[-4000:]}"
            time.sleep(0.3)
        return time.monotonic() - self.powered_on

    def wait_for_login(self) -> float:
        """Wait until a login succeeds. Return the seconds since the power came on."""
        return self.wait_for("login", lambda: self._ssh("true").returncode == 0)

    def wait_for_cloud_init(self, *, timeout: float = PATIENCE) -> str:
        """Wait for the end of cloud-init's work. Return its state: done, or error.

        The file is what `cloud-init status --wait` waits for, with the CPU time of two starts of cloud-init.
        """
        self.wait_for_login()
        result = "/run/cloud-init/result.json"
        said = self._ssh(f"until [ -e {result} ]; do sleep 0.2; done; cat {result}", timeout=timeout).stdout
        return "error" if json.loads(said)["v1"]["errors"] else "done"

    def run(self, command: str, *, timeout: float = 60.0) -> str:
        """Run a shell command as the user who logs in. Return its output.

        Raises:
            AssertionError: its exit status is not 0.
        """
        done = self._ssh(command, timeout=timeout)
        assert done.returncode == 0, f"{self.name}: {command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def try_to_run(self, command: str, *, timeout: float = 60.0) -> tuple[int, str]:
        """Return the exit status of a shell command, and its whole output."""
        done = self._ssh(f"{{ {command}\n}} 2>&1", timeout=timeout)
        return done.returncode, done.stdout

    def sudo(self, command: str, *, timeout: float = 60.0) -> str:
        """Run a shell command as root. See :meth:`run`."""
        return self.run(f"sudo bash -c {shlex.quote(command)}", timeout=timeout)

    def write(self, path: str, text: str) -> None:
        """Write a text into a file, from the home directory on."""
        done = self._ssh(f"cat >{shlex.quote(path)}", text=text)
        assert done.returncode == 0, done.stderr

    def _ssh(self, command: str, *, text: str = "", timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Connect over SSH, and accept only the keys that its console has shown."""
        known = self._directory / "known_hosts"
        known.write_text("".join(f"{self.address} {key}\n" for key in parse_host_keys(self.console())))
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "ControlMaster": "auto",
            "ControlPath": str(self._directory / "connection"),
            "ControlPersist": "60",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known),
        }
        return subprocess.run(
            [
                *("ssh", "-F", "none", "-i", str(self.world.key)),
                *(f"-o{name}={value}" for name, value in options.items()),
                *(f"{USER}@{self.address}", command),
            ],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def wait_until(happens: Callable[[], object], *, timeout: float = PATIENCE) -> None:
    """Wait for an event that is not the fault of a single machine."""
    deadline = time.monotonic() + timeout
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.1)
