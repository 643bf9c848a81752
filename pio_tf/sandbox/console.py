"""What a machine writes to its console, which EC2's GetConsoleOutput shows: as on an Ubuntu image with cloud-init."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically

if TYPE_CHECKING:
    import asyncssh

    from pio_tf.sandbox.home import MachineFiles

_LARGEST = 64 * 1024
"""Bytes that AWS keeps: the last ones."""
_RULE = "#" * 61


def write_console(files: MachineFiles, key: asyncssh.SSHKey, *, name: str) -> None:
    """What a boot writes. The host key's fingerprint and the key itself come with a machine's first boot only."""
    before = files.console.read_bytes() if files.console.exists() else b""
    new = "\n".join((*_boot(name), *(() if before else _host_key(key, name)), *_ready(name), ""))
    write_atomically(files.console, (before + new.encode())[-_LARGEST:], mode=0o644)


def _boot(name: str) -> tuple[str, ...]:
    return (
        "[    0.000000] Linux version 5.15.0-sandbox (a machine of pio-tf's sandbox, not a virtual one)",
        f"[    2.104000] systemd[1]: Hostname set to <{name}>.",
        f"[    9.871000] cloud-init[601]: Cloud-init v. 24.1 running 'modules:final' at {_now()}. Up 9.87 seconds.",
    )


def _host_key(key: asyncssh.SSHKey, name: str) -> tuple[str, ...]:
    """cloud-init's modules ssh_authkey_fingerprints and keys_to_console."""
    said = f"<14>{datetime.now(timezone.utc):%b %d %H:%M:%S} cloud-init:"
    public = key.export_public_key().decode().split()
    return (
        f"{said} {_RULE}",
        f"{said} -----BEGIN SSH HOST KEY FINGERPRINTS-----",
        f"{said} 256 {key.get_fingerprint()} root@{name} (ED25519)",
        f"{said} -----END SSH HOST KEY FINGERPRINTS-----",
        f"{said} {_RULE}",
        "-----BEGIN SSH HOST KEY KEYS-----",
        f"{public[0]} {public[1]} root@{name}",
        "-----END SSH HOST KEY KEYS-----",
    )


def _ready(name: str) -> tuple[str, ...]:
    return (
        f"[   10.002000] cloud-init[601]: Cloud-init v. 24.1 finished at {_now()}. Datasource DataSourceEc2Local.",
        "",
        f"Ubuntu 22.04 LTS {name} ttyS0",
        "",
        f"{name} login: ",
    )


def _now() -> str:
    return f"{datetime.now(timezone.utc):%a, %d %b %Y %H:%M:%S} +0000"
