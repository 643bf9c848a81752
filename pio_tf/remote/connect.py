"""One SSH connection: attempts while the machine boots, and the check of its host key."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.errors import PioTfError
from pio_tf.remote.known_hosts import KnownHosts, user_known_hosts
from pio_tf.remote.proxy import Proxy, ProxyCommand
from pio_tf.remote.ssh_config import config_files
from pio_tf.remote.ssh_errors import HostKeyRefused, cannot_connect, connection_lost, may_pass, reason
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from pio_tf.remote.host_keys import HostKeyTrust
    from pio_tf.remote.target import Endpoint

KEEPALIVE_SECONDS = 15
KEEPALIVE_MISSED = 4
"""pio-tf notices within a minute that the other end is gone: a laptop's network, a stopped machine."""

_CLOSES_WITHIN = 5.0


class RetryPolicy(Struct, frozen=True):
    """Limits for connecting to one machine, in seconds.

    Args:
        timeout: in all. A booting machine refuses connections, or does not answer, for a minute or two.
        denied: how long to retry a refused key. Just after boot sshd answers before cloud-init has written the user's
            authorized_keys. Later, the key is wrong, and waiting does not help.
        attempt: for one attempt, including the login. A security group that drops packets never answers.
        first_delay: before the second attempt. Each delay is half as long again as the one before,
        longest_delay: up to this.
    """

    timeout: float = 60.0
    denied: float = 20.0
    attempt: float = 15.0
    first_delay: float = 0.25
    longest_delay: float = 3.0


class MachineConnection(asyncssh.SSHClient):
    """The client's side of one connection, which records how it ended.

    Attributes:
        ssh: asyncssh's connection.
        proxy: the program that carries it.
        first_trust: why the host key was trusted, if this connection has pinned it.
    """

    ssh: asyncssh.SSHClientConnection

    def __init__(self) -> None:
        self.proxy: Proxy | None = None
        self.first_trust: HostKeyTrust | None = None
        self.refused: asyncssh.SSHKey | None = None
        self.lost = False
        self.lost_because: Exception | None = None

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        """Refuse a key that is not among the trusted ones: asyncssh asks for no other."""
        self.refused = key
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.lost_because = exc

    async def close(self) -> None:
        """Close the connection, and end the program that carries it."""
        self.ssh.close()
        with contextlib.suppress(OSError, asyncssh.Error, asyncio.TimeoutError):
            await wait_for(self.ssh.wait_closed(), timeout=_CLOSES_WITHIN)
        if self.proxy is not None:
            await self.proxy.close()


class _NoKnownKey(Exception):
    """No key is known for this machine. It shows one."""

    def __init__(self, key: asyncssh.SSHKey) -> None:
        super().__init__()
        self.key = key


async def open_connection(
    endpoint: Endpoint,
    *,
    retry: RetryPolicy,
    tunnel: MachineConnection | None,
    slots: asyncio.Semaphore,
    decide_trust: Callable[[asyncssh.SSHKey], Awaitable[HostKeyTrust]],
    on_retry: Callable[[str], None],
) -> MachineConnection:
    """Connect and log in. Retry while the machine boots.

    Args:
        tunnel: the connection to go through. If it is lost, there are no further attempts.
        slots: limits the attempts at one time. The wait for the next attempt takes none.
        decide_trust: returns the keys to trust, for the key that a machine without a known one shows. That key is then
            pinned, once the machine has accepted the login.
        on_retry: called with the reason before each further attempt.

    Raises:
        RemoteError: the machine is unreachable, refuses the key, or shows another host key than the pinned or trusted
            ones. ``decide_trust`` may raise it, too.
    """
    started = time.monotonic()
    trust: HostKeyTrust | None = None
    denied_since: float | None = None
    delay = retry.first_delay
    while True:
        left = retry.timeout - (time.monotonic() - started)
        try:
            async with slots:
                return await wait_for(_attempt(endpoint, tunnel, trust), timeout=max(0.1, min(retry.attempt, left)))
        except _NoKnownKey as first:
            asked = time.monotonic()
            trust = await decide_trust(first.key)
            started += time.monotonic() - asked  # the machine answers: it may not run out of time meanwhile
            continue
        except PioTfError:
            raise
        except Exception as error:  # asyncssh lets through what ~/.ssh/config, keys and agents raise
            now = time.monotonic()
            denied = isinstance(error, asyncssh.PermissionDenied)
            if denied:
                denied_since = denied_since or now
            too_long = now + delay > started + retry.timeout
            denied_too_long = denied_since is not None and now + delay > denied_since + retry.denied
            if tunnel is not None and tunnel.lost:
                raise connection_lost(endpoint.via, f"connecting to {endpoint.machine}", tunnel.lost_because) from error
            if not may_pass(error) or too_long or denied_too_long:
                raise cannot_connect(error, endpoint, waited=now - started) from error
            trust = None  # a booting machine may get its keys only now: decide again
            on_retry("key refused so far" if denied else reason(error))
        await asyncio.sleep(delay)
        delay = min(retry.longest_delay, delay * 1.5)


async def shown_host_key(endpoint: Endpoint, *, tunnel: MachineConnection | None, timeout: float) -> asyncssh.SSHKey:
    """Return the host key that a machine shows now, trusted or not, without a login.

    Raises:
        RemoteError: the machine did not answer within ``timeout`` seconds.
    """
    started = time.monotonic()
    try:
        key = await wait_for(_read_host_key(endpoint, tunnel), timeout=timeout)
    except Exception as error:  # as above
        raise cannot_connect(error, endpoint, waited=time.monotonic() - started) from error
    assert key is not None  # noqa: S101 - only GSS key exchange has none
    return key


async def _read_host_key(endpoint: Endpoint, tunnel: MachineConnection | None) -> asyncssh.SSHKey | None:
    way = _way(endpoint, tunnel)
    async with _proxy(endpoint, way) as proxy:
        key = await asyncssh.get_server_host_key(sock=None if proxy is None else proxy.socket, **way)
    if proxy is not None:
        await proxy.close()
    return key


def _way(endpoint: Endpoint, tunnel: MachineConnection | None) -> dict[str, Any]:
    return {
        "host": endpoint.address,
        "port": endpoint.port or (),
        "tunnel": () if tunnel is None else tunnel.ssh,
        "config": config_files(),
    }


@contextlib.asynccontextmanager
async def _proxy(endpoint: Endpoint, options: Mapping[str, Any]) -> AsyncIterator[Proxy | None]:
    """Yield the running program that carries the connection; None: there is none. End it if the block fails.

    Args:
        options: of the connection. ~/.ssh/config may name a program for them. asyncssh would take its messages for a
            part of the connection, and not wait for its end.

    Raises:
        ProxyFailed: the block failed, and the program has said why.
    """
    command = endpoint.proxy
    if command is None and endpoint.direct:
        chosen = await asyncssh.SSHClientConnectionOptions.construct(**options)
        if chosen.proxy_command and not chosen.tunnel:
            command = ProxyCommand(tuple(chosen.proxy_command), "ProxyCommand in ~/.ssh/config")
    if command is None:
        yield None
        return
    proxy = await Proxy.start(command)
    try:
        yield proxy
    except BaseException as error:
        failed = await proxy.why() if isinstance(error, (asyncssh.ConnectionLost, OSError)) else None
        await proxy.close()
        if failed is None:
            raise
        raise failed from error


async def _attempt(
    endpoint: Endpoint, tunnel: MachineConnection | None, trust: HostKeyTrust | None
) -> MachineConnection:
    file = KnownHosts(endpoint.known_hosts)
    known: Sequence[asyncssh.SSHKey] = file.keys(endpoint.host_key_name)
    source = f"pinned for {endpoint.host_key_name} in {endpoint.known_hosts}"
    cas: Sequence[asyncssh.SSHKey] = ()
    revoked: Sequence[asyncssh.SSHKey] = ()
    if endpoint.is_bastion:  # it is not one of the cluster's machines: the user's own file counts, too
        theirs, cas, revoked = user_known_hosts(endpoint.address, endpoint.port)
        source = source if known else "that ~/.ssh/known_hosts has for it"
        known = (*known, *theirs)
    if known or cas:
        trust = None
    elif trust:
        known, source = trust.keys, "on its console" if trust.learned == "console" else "that it has just shown"
    connection = MachineConnection()
    options = {
        **_way(endpoint, tunnel),
        "client_factory": lambda: connection,
        "known_hosts": (list(known), list(cas), list(revoked)),
        "username": endpoint.login.user or (),
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVE_MISSED,
        "host_key_alias": () if endpoint.is_bastion else endpoint.host_key_name,
        "gss_auth": False,
        "gss_kex": False,
        "password_auth": False,
        "kbdint_auth": False,
        **endpoint.login.options,
    }
    try:
        async with _proxy(endpoint, options) as connection.proxy:
            sock = None if connection.proxy is None else connection.proxy.socket
            connection.ssh = await asyncssh.connect(sock=sock, **options)
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        if connection.refused and not known and not cas:
            raise _NoKnownKey(connection.refused) from error
        # If a server offers only other types of key than the trusted one, it fails before its key is compared.
        if isinstance(error, asyncssh.HostKeyNotVerifiable) or "host key" in error.reason.lower():
            raise HostKeyRefused(error.reason, expected=known, source=source, shown=connection.refused) from error
        raise
    if trust is not None:
        # Pin the key only of a machine that has accepted the login, not of any computer that answers at its address.
        key = connection.ssh.get_server_host_key()
        assert key is not None  # noqa: S101 - only GSS key exchange has none
        if not file.pin(endpoint.host_key_name, key, trust.learned):
            await connection.close()
            now = file.keys(endpoint.host_key_name)
            raise HostKeyRefused("another client has pinned another key", expected=now, source=source, shown=key)
        connection.first_trust = trust
    return connection
