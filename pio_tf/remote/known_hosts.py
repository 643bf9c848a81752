"""The file of the machines' host keys, pinned at the first connection.

A machine's entry has the name of its instance id, not of its address (OpenSSH's HostKeyAlias idea). An instance keeps
its id, its disk and so its host key through every stop and start; AWS gives its public address to other customers.
The file has OpenSSH's format, with the source of each key in place of the comment.
"""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from msgspec import Struct

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import RemoteError
from pio_tf.ssh_library import asyncssh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Learned: TypeAlias = Literal["console", "first use", "accepted"]
"""The source of a key: the machine's console, as AWS shows it; the first connection; the user."""


class Pin(Struct, frozen=True):
    """A pinned key. ``name`` is an instance id, or a bastion's ``[host]:port``."""

    name: str
    key: asyncssh.SSHKey
    learned: Learned

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -l`` shows it."""
        return self.key.get_fingerprint()


class KnownHosts:
    """The file of the pinned keys of one cluster. Several clients may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pins(self, name: str = "") -> tuple[Pin, ...]:
        """Return the pins of one machine, or all, in the order of pinning.

        Raises:
            RemoteError: a line contains no key, or the file cannot be read.
        """
        return tuple(self._pin(line) for line in self._lines() if not name or _name(line) == name)

    def keys(self, name: str) -> tuple[asyncssh.SSHKey, ...]:
        """Return the keys of :meth:`pins`, which raises the same."""
        return tuple(pin.key for pin in self.pins(name))

    def pin(self, name: str, key: asyncssh.SSHKey, learned: Learned) -> bool:
        """Pin a machine's key, unless it has one. Return False if another client has pinned another key meanwhile.

        Raises:
            RemoteError: the file cannot be written.
        """
        with self._locked():
            known = self.keys(name)
            if not known:
                self._write([*self._lines(), _line(name, key, learned)])
            return not known or key in known

    def replace(self, name: str, key: asyncssh.SSHKey, learned: Learned) -> None:
        """Pin a machine's key in place of its pinned ones.

        Raises:
            RemoteError: the file cannot be written.
        """
        with self._locked():
            others = [line for line in self._lines() if _name(line) != name]
            self._write([*others, _line(name, key, learned)])

    def _pin(self, line: str) -> Pin:
        name, _, text = line.partition(" ")
        try:
            key = asyncssh.import_public_key(text)
        except asyncssh.KeyImportError as error:
            raise RemoteError(
                f"{self.path}: the line of {name} contains no host key",
                cause=str(error),
                next_step="remove that line: the next connection pins the key again",
                details={"kind": "host-keys-file", "file": str(self.path)},
            ) from error
        comment = key.get_comment()
        return Pin(name, key, cast("Learned", comment) if comment in ("console", "accepted") else "first use")

    def _lines(self) -> list[str]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]

    def _write(self, lines: Sequence[str]) -> None:
        write_atomically(self.path, "".join(f"{line}\n" for line in lines))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one client write at a time. The lock is a file of its own, because writing replaces the other one."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_name(f"{self.path.name}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:  # it must not look like an error of the connection, which is an OSError, too
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> RemoteError:
        return RemoteError(
            f"cannot use {self.path}, the file of the machines' pinned host keys",
            cause=error.strerror or str(error),
            next_step=f"check the permissions, and whether the disk is full: ls -la {self.path.parent}; df -h",
            details={"kind": "host-keys-file", "file": str(self.path)},
        )


def user_known_hosts(host: str, port: int) -> tuple[Sequence[asyncssh.SSHKey], ...]:
    """Return the host, CA and revoked keys of a host (a bastion) in the user's own ~/.ssh/known_hosts."""
    path = Path("~/.ssh/known_hosts").expanduser()
    if not path.is_file():
        return (), (), ()
    not_the_default = port if port not in (0, 22) else None
    host_keys, ca_keys, revoked, *_ = asyncssh.read_known_hosts(str(path)).match(host, "", not_the_default)
    return host_keys, ca_keys, revoked


def _name(line: str) -> str:
    return line.partition(" ")[0]


def _line(name: str, key: asyncssh.SSHKey, learned: Learned) -> str:
    kind, data = key.export_public_key().decode().split()[:2]
    return f"{name} {kind} {data} {learned}"
