"""Host keys of the machines, pinned on first use.

A machine's entry is named for its instance id, not for its address (OpenSSH's HostKeyAlias idea): an instance keeps
its id and its disk, and so its host key, through every stop and start, while a public address changes hands.
The file has OpenSSH's format; ``ssh-keygen -R i-0123 -f FILE`` removes an entry.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Sequence


class KnownHosts:
    """The pinned keys of one cluster."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(self, name: str) -> tuple[asyncssh.SSHKey, ...]:
        """The keys pinned for a machine; none before its first use."""
        found = []
        for line in self._lines():
            host, _, key = line.partition(" ")
            if host == name:
                found.append(asyncssh.import_public_key(key))
        return tuple(found)

    def pin(self, name: str, key: asyncssh.SSHKey) -> None:
        """Write a machine's key down. One short append: two clients at once cannot mix their lines."""
        if key in self.keys(name):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = f"{name} {key.export_public_key().decode().strip()}\n".encode()
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def _lines(self) -> Sequence[str]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ()
        return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def user_known_hosts(host: str, port: int) -> tuple[Sequence[asyncssh.SSHKey], ...]:
    """The host, CA and revoked keys that the user's own ~/.ssh/known_hosts has for a host (a bastion)."""
    path = Path("~/.ssh/known_hosts").expanduser()
    if not path.is_file():
        return (), (), ()
    not_the_default = port if port not in (0, 22) else None
    host_keys, ca_keys, revoked, *_ = asyncssh.read_known_hosts(str(path)).match(host, "", not_the_default)
    return host_keys, ca_keys, revoked
