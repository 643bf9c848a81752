"""The properties of machines before their first stop, for comparison with what comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.real_machines.machine import CARD

if TYPE_CHECKING:
    from tests.real_machines.machine import Machine

SCRATCH = "/var/lib/pio-tf/scratch"


@dataclass(frozen=True)
class Kept:
    """The properties of a machine that a stop must not change."""

    card: str
    host_keys: str
    links: str
    note: str
    passwd: str
    script: str


@dataclass(frozen=True)
class Left:
    """Notes from before a stop."""

    kept: Kept
    boot_id: str
    """Another one at every boot."""
    scratch: str
    """UUID of the file system there, if it has one of its own."""


def leave_marks(machine: Machine) -> Left:
    """Write files of a user into the machine's home and scratch directories; return notes about the machine."""
    machine.run("echo mine >note")
    machine.sudo(f"touch {SCRATCH}/work/from-before")
    return Left(kept(machine), boot_id(machine), scratch(machine))


def kept(machine: Machine) -> Kept:
    """Return the properties that a stop must not change, as they are now."""
    card = json.loads(machine.run(f"ip -j address show {CARD}"))[0]
    return Kept(
        card=f"{card['address']} {card['addr_info'][0]['local']}",
        host_keys=machine.run("cat /etc/ssh/ssh_host_*_key.pub"),
        links=machine.run("find /usr/local -maxdepth 1 -type l -printf '%f %l\\n' | sort"),
        note=machine.run("cat note"),
        passwd=machine.run("cat /etc/passwd /etc/hosts"),
        script=machine.sudo("sha512sum /usr/local/sbin/pio-tf-bootstrap"),
    )


def boot_id(machine: Machine) -> str:
    """Return the kernel's name of this boot."""
    return machine.run("cat /proc/sys/kernel/random/boot_id")


def scratch(machine: Machine) -> str:
    """Return the UUID of the file system there; none on the root disk."""
    return machine.sudo(f"findmnt -no SOURCE {SCRATCH} | xargs --no-run-if-empty blkid -s UUID -o value").strip()
