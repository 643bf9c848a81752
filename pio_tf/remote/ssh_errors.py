"""What went wrong between here and a machine -> an error that a user can act on."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

from pio_tf.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


BASTION = "the bastion"
"""Its name in sentences; commands call it ``bastion``."""


class HostKeyRefused(asyncssh.HostKeyNotVerifiable):
    """A machine shows a host key that is not among the trusted ones.

    Args:
        expected: the keys that it should have shown.
        source: where they stand, after "the one": ``pinned for i-0123 in …/known_hosts``.
        shown: the key that it showed; None where it has none of the type of those.
    """

    def __init__(
        self, reason: str, *, expected: Sequence[asyncssh.SSHKey], source: str, shown: asyncssh.SSHKey | None
    ) -> None:
        super().__init__(reason)
        self.expected = tuple(key.get_fingerprint() for key in expected)
        self.source = source
        self.shown = shown.get_fingerprint() if shown else None


@dataclass(frozen=True)
class Endpoint:
    """The far end of an SSH connection.

    ``port`` 0 and ``user`` "" mean: as ~/.ssh/config says. ``host_key_name`` is its entry in the file of pinned keys,
    ``via`` the name of what it is reached through, ``direct`` whether that is not the driver.
    """

    machine: str
    address: str
    port: int
    user: str
    key_file: Path
    host_key_name: str
    known_hosts: Path
    via: str = ""
    direct: bool = True

    def __str__(self) -> str:
        at = f"{self.address}:{self.port}" if self.port else self.address
        return f"{self.machine} at {at}" + (f" through {self.via}" if self.via else "")


def may_pass(error: BaseException) -> bool:
    """Whether the same attempt may succeed in a moment, because the machine is booting."""
    if isinstance(error, (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed, asyncssh.ProtocolNotSupported)):
        return False
    if isinstance(error, socket.gaierror):
        return False
    # The banner cut short, the connection reset or closed, the tunnel's far end refusing: sshd on its way up.
    return isinstance(error, (OSError, asyncio.TimeoutError, asyncssh.DisconnectError, asyncssh.ChannelOpenError))


def reason(error: BaseException) -> str:
    """The error in a few words, without asyncssh's or the system's wrapping."""
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


def explain(error: BaseException, endpoint: Endpoint, *, waited: float) -> RemoteError:
    """The error for a connection that could not be made. ``waited``: seconds since the first attempt."""
    details: dict[str, object] = {
        "machine": endpoint.machine,
        "address": endpoint.address,
        "port": endpoint.port,
        "reason": reason(error),
    }
    if isinstance(error, asyncssh.PermissionDenied):
        return RemoteError(
            f"{endpoint} refuses the key {endpoint.key_file}"
            + (f" for user {endpoint.user!r}" if endpoint.user else ""),
            cause=f"{reason(error)} (tried for {waited:.0f} s)",
            next_step="check ssh.user (ubuntu on Ubuntu images, ec2-user on Amazon Linux) and ssh.key: the machine "
            "trusts the key that it was created with",
            details={**details, "kind": "permission-denied"},
        )
    if isinstance(error, HostKeyRefused):
        return _host_key_refused(error, endpoint, details)
    if isinstance(error, socket.gaierror):
        return RemoteError(
            f"cannot find {endpoint}: its name does not resolve",
            cause=reason(error),
            next_step="check the host name (ssh.bastion) and your DNS",
            details={**details, "kind": "unresolved"},
        )
    return RemoteError(
        f"cannot reach {endpoint} over SSH (tried for {waited:.0f} s)",
        cause=reason(error),
        next_step=_network_advice(endpoint),
        details={**details, "kind": "unreachable"},
    )


def connection_lost(machine: str, doing: str, error: BaseException | None) -> RemoteError:
    """The error for a connection that was there and is gone."""
    return RemoteError(
        f"the SSH connection to {machine} was lost while {doing}",
        cause=reason(error) if error else "the machine closed it",
        next_step="`pio-tf status` tells whether it still runs; if it does, check the network and try again",
        details={"machine": machine, "kind": "connection-lost"},
    )


def _host_key_refused(error: HostKeyRefused, endpoint: Endpoint, details: dict[str, object]) -> RemoteError:
    shown = f"it shows {error.shown}" if error.shown else f"it shows none of those ({reason(error)})"
    expected = " or ".join(error.expected) or "one that the host's authority has signed"
    name = "bastion" if endpoint.machine == BASTION else endpoint.machine
    return RemoteError(
        f"{endpoint} shows another SSH host key than the one {error.source}",
        cause=f"{shown}, not {expected}; somebody else may be answering at this address, or sshd's keys were made anew",
        next_step="if you know why it changed (a new root disk, a new image), accept the new one: "
        f"pio-tf host-keys accept {name}",
        details={**details, "kind": "host-key-changed", "shown": error.shown, "expected": list(error.expected)},
    )


def _network_advice(endpoint: Endpoint) -> str:
    if not endpoint.direct:
        return (
            "it is reached through the driver: check that the machine runs (`pio-tf status`), that the security group "
            f"lets the cluster's machines connect to each other, and that sshd listens on port {endpoint.port}"
        )
    return (
        "check that network.ssh_cidrs lets your address in (the security group), that ssh.port is right, and, for a "
        "private address, that your VPN is up or ssh.bastion is set"
    )
