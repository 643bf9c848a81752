"""Errors of SSH connections, with a cause and a next step for the user."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from pio_tf.errors import RemoteError
from pio_tf.remote.proxy import ProxyFailed
from pio_tf.remote.ssh_config import NO_PLACE, blame
from pio_tf.ssh_library import asyncssh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.remote.target import Endpoint


class HostKeyRefused(asyncssh.HostKeyNotVerifiable):
    """A machine shows a host key that is not among the trusted ones.

    Args:
        expected: the trusted keys.
        source: where they come from, after "the one": ``pinned for i-0123 in …/known_hosts``.
        shown: the key that the machine shows; None if it has none of the trusted types.
    """

    def __init__(
        self, reason: str, *, expected: Sequence[asyncssh.SSHKey], source: str, shown: asyncssh.SSHKey | None
    ) -> None:
        super().__init__(reason)
        self.expected = tuple(key.get_fingerprint() for key in expected)
        self.source = source
        self.shown = shown.get_fingerprint() if shown else None


def is_local(error: BaseException) -> bool:
    """Return whether this computer caused an error: its SSH configuration, a file, an address of its own.

    asyncssh raises whatever its parts raise: ValueError, UnicodeError, KeyError, RecursionError.
    """
    if isinstance(error, OSError):
        return error.filename is not None or error.errno == errno.EADDRNOTAVAIL
    return not isinstance(error, (asyncio.TimeoutError, asyncssh.Error))


def may_pass(error: BaseException) -> bool:
    """Return whether the same attempt may succeed later, because the machine is booting."""
    if isinstance(error, ProxyFailed):
        return not error.final
    if isinstance(error, (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed, asyncssh.ProtocolNotSupported)):
        return False
    if is_local(error) or isinstance(error, socket.gaierror):
        return False
    # While sshd starts, it cuts its banner short, resets or closes the connection; the tunnel's far end refuses.
    return isinstance(error, (OSError, asyncio.TimeoutError, asyncssh.DisconnectError, asyncssh.ChannelOpenError))


def reason(error: BaseException) -> str:
    """Return an error in a few words, without asyncssh's or the system's wrapping."""
    if isinstance(error, asyncio.TimeoutError):  # also the system's TimeoutError, from Python 3.11 on
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, (asyncssh.DisconnectError, asyncssh.ChannelOpenError)):
        refused = "Errno 111" in error.reason or error.reason == "Connection refused"
        return "connection refused" if refused else error.reason or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def cannot_connect(error: BaseException, endpoint: Endpoint, *, waited: float) -> RemoteError:
    """Return the error for a connection that could not be made. ``waited``: seconds since the first attempt."""
    details = {"machine": endpoint.machine, "address": endpoint.address, "port": endpoint.port, "reason": reason(error)}
    if is_local(error):
        place, cause = blame(error)
        return RemoteError(
            f"could not connect to {endpoint}: SSH on this computer failed",
            cause=f"{place}: {cause}" if place else cause,
            next_step=f"correct {place}" if place else NO_PLACE,
            details={**details, "kind": "local"},
        )
    if isinstance(error, asyncssh.PermissionDenied):
        user = f" for user {endpoint.login.user!r}" if endpoint.login.user else ""
        return RemoteError(
            f"{endpoint} refuses the key {endpoint.login.key_file}{user}",
            cause=f"{reason(error)} (tried for {waited:.0f} s)",
            next_step="check ssh.user (ubuntu on Ubuntu images, ec2-user on Amazon Linux) and ssh.key: the machine "
            "trusts the key that it was created with",
            details={**details, "kind": "permission-denied"},
        )
    if isinstance(error, HostKeyRefused):
        shown = f"it shows {error.shown}" if error.shown else f"it shows none of those ({reason(error)})"
        expected = " or ".join(error.expected) or "one that the host's authority has signed"
        return RemoteError(
            f"{endpoint} shows another SSH host key than the one {error.source}",
            cause=f"{shown}, not {expected}; another computer may answer at this address, or sshd has new keys",
            next_step="if you know why it changed (a new root disk, a new image), accept the new one: "
            f"pio-tf host-keys accept {endpoint.name}",
            details={**details, "kind": "host-key-changed", "shown": error.shown, "expected": list(error.expected)},
        )
    if isinstance(error, ProxyFailed):
        return RemoteError(
            f"cannot reach {endpoint} (tried for {waited:.0f} s)",
            cause=reason(error),
            next_step=error.next_step,
            details={**details, "kind": "local" if error.final else "unreachable"},
        )
    if isinstance(error, socket.gaierror):
        return RemoteError(
            f"cannot find {endpoint}: its name does not resolve",
            cause=reason(error),
            next_step='check the host name (ssh.bastion) and your DNS; for ssh.address = "instance-id", add a '
            "ProxyCommand for hosts i-* to ~/.ssh/config",
            details={**details, "kind": "unresolved"},
        )
    advice = (
        "check that network.ssh_cidrs contains your address (the security group; `pio-tf apply` renews that of "
        '"my-ip"), that ssh.port is right, and, for a private address, that your VPN is up or ssh.bastion is set'
    )
    if not endpoint.direct:
        advice = (
            "pio-tf connects through the driver: check that the machine runs (`pio-tf status`), that the security "
            f"group lets the cluster's machines connect to each other, and that sshd listens on port {endpoint.port}"
        )
    return RemoteError(
        f"cannot reach {endpoint} over SSH (tried for {waited:.0f} s)",
        cause=reason(error),
        next_step=advice,
        details={**details, "kind": "unreachable"},
    )


def connection_lost(machine: str, doing: str, error: BaseException | None) -> RemoteError:
    """Return the error for an established connection that was lost."""
    return RemoteError(
        f"the SSH connection to {machine} was lost while {doing}",
        cause=reason(error) if error else "the machine closed it",
        next_step="`pio-tf status` shows whether the machine still runs; if it does, check the network and retry",
        details={"machine": machine, "kind": "connection-lost"},
    )
