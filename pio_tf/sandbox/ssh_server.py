"""A machine's SSH server: public keys, commands and shells, SFTP, and tunnels within loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import SandboxError
from pio_tf.sandbox.ssh_session import SshSession
from pio_tf.ssh_library import asyncssh

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncssh.channel import SSHChannel

    from pio_tf.sandbox.home import MachineFiles

logger = logging.getLogger("pio_tf.sandbox")

_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_CLOSE_SECONDS = 2.0


@dataclass(kw_only=True, eq=False)
class MachineSshServer:
    """An SSH server on one address."""

    files: MachineFiles
    """The machine's disk, with the home directory and the host key."""
    address: str
    """An address in 127.0.0.0/8."""
    port: int
    user: str | None
    """The only user name that may log in; None: any."""
    authorized_keys: Sequence[str]
    """Public keys in OpenSSH's form that may log in."""
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set, init=False)
    sessions: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _acceptor: asyncssh.SSHAcceptor | None = field(default=None, init=False)

    async def start(self) -> None:
        """Listen.

        Raises:
            SandboxError: other computers could reach the address, it and the port are taken, or a key is not valid.
        """
        if ipaddress.ip_address(self.address) not in _LOOPBACK:
            raise SandboxError(
                f"the sandbox starts no machine at {self.address}",
                cause=f"it is outside {_LOOPBACK}, so that other computers may reach it",
                next_step="set network.cidr to a part of `network` of `pio-tf sandbox status --json`",
                details={"address": self.address, "port": self.port},
            )
        try:
            keys = frozenset(asyncssh.import_public_key(line).public_data for line in self.authorized_keys)
        except asyncssh.KeyImportError as error:
            raise SandboxError(f"cannot read an authorized SSH key for {self.address}", cause=str(error)) from error
        try:
            self._acceptor = await asyncssh.listen(
                self.address,
                self.port,
                server_factory=lambda: _Connection(self, keys),
                server_host_keys=[read_host_key(self.files.host_key)],
                encoding=None,
                line_editor=False,
                agent_forwarding=False,
            )
        except OSError as error:
            raise SandboxError(
                f"the SSH server cannot listen on {self.address}:{self.port}",
                cause=error.strerror or str(error),
                next_step=f"see what listens there with `ss -ltnp 'sport = :{self.port}'`, and stop it",
                details={"address": self.address, "port": self.port},
            ) from error

    async def stop(self) -> None:
        """Close the listener and every connection. The machine ends the processes; then call :meth:`wait`."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        connections = tuple(self.connections)
        for connection in connections:
            connection.close()
        if connections:
            closing = [asyncio.ensure_future(connection.wait_closed()) for connection in connections]
            _, late = await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
            for connection in connections if late else ():
                connection.abort()
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)

    async def wait(self) -> None:
        """Wait until every session has noticed that its process has ended."""
        if self.sessions:
            await asyncio.wait(tuple(self.sessions), timeout=_CLOSE_SECONDS)

    def accepts(self, username: str) -> bool:
        """Return whether a user may log in."""
        return self.user is None or username == self.user

    def open_session(self, username: str) -> SshSession:
        """Return a session for one command, shell or SFTP client."""

        def begin(session: asyncssh.SSHServerProcess[bytes]) -> None:
            assert isinstance(session, SshSession)  # noqa: S101 - made below
            task = asyncio.ensure_future(session.serve())
            self.sessions.add(task)
            task.add_done_callback(self._ended)

        session = SshSession(begin, self._open_sftp, 3, False)  # SFTP version 3, OpenSSH's; no SCP of asyncssh's own
        session.configure(home=self.files.home, environment=self.files.environment(username))
        return session

    def _open_sftp(self, channel: SSHChannel[bytes]) -> asyncssh.SFTPServer:
        return _HomeSftp(channel, self.files.home)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.sessions.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s: an SSH session failed", self.address, exc_info=task.exception())


class _Connection(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, machine: MachineSshServer, keys: frozenset[bytes]) -> None:
        self._machine = machine
        self._keys = keys
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._machine.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._connection is not None:
            self._machine.connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._machine.accepts(username) and key.public_data in self._keys

    def session_requested(self) -> SshSession:
        assert self._connection is not None  # noqa: S101 - a session has a connection
        return self._machine.open_session(str(self._connection.get_extra_info("username")))

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:  # noqa: ARG002
        """Allow tunnels to other machines and Spark's web pages, never out of loopback."""
        try:
            return ipaddress.ip_address(dest_host) in _LOOPBACK
        except ValueError:  # a name
            return False


class _HomeSftp(asyncssh.SFTPServer):
    """The host's files. Relative paths start at the machine's home directory, as after a login."""

    def __init__(self, channel: SSHChannel[bytes], home: Path) -> None:
        super().__init__(cast("asyncssh.SSHServerChannel[bytes]", channel))  # asyncssh's types disagree
        self._home = str(home).encode()

    def map_path(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self._home + b"/" + path


def read_host_key(path: Path) -> asyncssh.SSHKey:
    """Return the machine's host key, which is made at the first boot."""
    if path.exists():
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    write_atomically(path, key.export_private_key())
    return key
