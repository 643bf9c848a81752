"""A machine's console log, which EC2's GetConsoleOutput returns: the one of an Ubuntu image with cloud-init."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically

if TYPE_CHECKING:
    import asyncssh

    from pio_tf.sandbox.home import MachineFiles

_LARGEST = 64 * 1024
"""AWS keeps this many bytes: the last ones."""
_RULE = "#" * 61


def write_console(files: MachineFiles, key: asyncssh.SSHKey, *, name: str) -> None:
    """Append the output of a boot. The first boot also prints the host key and its fingerprint."""
    before = files.console.read_bytes() if files.console.exists() else b""
    now = datetime.now(timezone.utc)
    at = f"{now:%a, %d %b %Y %H:%M:%S} +0000"
    lines = [
        "[    0.000000] Linux version 5.15.0-sandbox (a machine of pio-tf's sandbox, not a virtual one)",
        f"[    2.104000] systemd[1]: Hostname set to <{name}>.",
        f"[    9.871000] cloud-init[601]: Cloud-init v. 24.1 running 'modules:final' at {at}. Up 9.87 seconds.",
        *([] if before else _host_key(key, name, now)),
        f"[   10.002000] cloud-init[601]: Cloud-init v. 24.1 finished at {at}. Datasource DataSourceEc2Local.",
        "",
        f"Ubuntu 22.04 LTS {name} ttyS0",
        "",
        f"{name} login: ",
        "",
    ]
    write_atomically(files.console, (before + "\n".join(lines).encode())[-_LARGEST:], mode=0o644)


def _host_key(key: asyncssh.SSHKey, name: str, now: datetime) -> tuple[str, ...]:
    """Return the output of cloud-init's modules ssh_authkey_fingerprints and keys_to_console."""
    prefix = f"<14>{now:%b %d %H:%M:%S} cloud-init:"
    public = key.export_public_key().decode().split()
    return (
        f"{prefix} {_RULE}",
        f"{prefix} -----BEGIN SSH HOST KEY FINGERPRINTS-----",
        f"{prefix} 256 {key.get_fingerprint()} root@{name} (ED25519)",
        f"{prefix} -----END SSH HOST KEY FINGERPRINTS-----",
        f"{prefix} {_RULE}",
        "-----BEGIN SSH HOST KEY KEYS-----",
        f"{public[0]} {public[1]} root@{name}",
        "-----END SSH HOST KEY KEYS-----",
    )
