"""One SSH connection: attempts, host key, errors."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.remote.host_keys import trust_on_first_use
from pio_tf.remote.known_hosts import KnownHosts, user_known_hosts
from pio_tf.remote.ssh_errors import Endpoint, HostKeyRefused, explain, may_pass, reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pio_tf.remote.host_keys import HostKeyTrust

KEEPALIVE_SECONDS = 15
KEEPALIVE_MISSED = 4
"""A connection whose other end has gone without a word (a laptop's network, a stopped machine) shows in a minute."""


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of connecting to one machine; all in seconds.

    Args:
        timeout: in all. A booting machine refuses connections, or does not answer, for a minute or two.
        denied: how long a refused key is tried again. Just after boot sshd answers before cloud-init has written the
            user's authorized_keys; later than that, the key is wrong, and waiting does not help.
        attempt: for one attempt, through to the login. A security group that drops packets never answers.
        first_delay: before the second attempt; each delay is half as long again as the one before,
        longest_delay: up to this.
    """

    timeout: float = 60.0
    denied: float = 20.0
    attempt: float = 15.0
    first_delay: float = 0.25
    longest_delay: float = 3.0


class Link(asyncssh.SSHClient):
    """The client's side of one connection: remembers the host key that is not trusted, and how the connection ended."""

    def __init__(self) -> None:
        self.refused: asyncssh.SSHKey | None = None
        self.lost = False
        self.lost_because: Exception | None = None

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        """Asked only for a key that is not among the trusted ones."""
        self.refused = key
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.lost_because = exc


class _NeverSeen(Exception):
    """No key is known for this machine, which shows one."""

    def __init__(self, key: asyncssh.SSHKey) -> None:
        super().__init__()
        self.key = key


async def open_connection(
    endpoint: Endpoint,
    *,
    options: dict[str, Any],
    retry: RetryPolicy,
    tunnel: asyncssh.SSHClientConnection | None = None,
    trust_user_file: bool = False,
    slots: asyncio.Semaphore | None = None,
    on_retry: Callable[[str], None] = lambda _why: None,
    give_up: Callable[[], bool] = lambda: False,
    first_trust: Callable[[asyncssh.SSHKey], Awaitable[HostKeyTrust]] = trust_on_first_use,
    on_first_use: Callable[[asyncssh.SSHKey, HostKeyTrust], None] = lambda _key, _trust: None,
) -> tuple[asyncssh.SSHClientConnection, Link]:
    """Connect and log in, trying again while the machine boots.

    Args:
        endpoint: where to.
        options: asyncssh's options for the login (keys).
        retry: how often and how long.
        tunnel: connection to go through.
        trust_user_file: whether the user's own known_hosts counts too (bastions, which are not ours).
        slots: how many attempts may be made at the same time; waiting for another one takes none.
        on_retry: told the reason before each further attempt.
        give_up: asked before each further attempt, e.g. whether the tunnel has broken.
        first_trust: told the host key that is shown where none is known; the keys to trust. The key is then pinned,
            once the machine has accepted ours.
        on_first_use: told the key that was pinned, and by what trust.

    Raises:
        RemoteError: it could not be reached, refuses the key, or shows another host key than the pinned one, or than
            those to trust.
    """
    started = time.monotonic()
    trust: HostKeyTrust | None = None
    denied_since: float | None = None
    delay = retry.first_delay
    while True:
        left = retry.timeout - (time.monotonic() - started)
        try:
            async with slots or contextlib.nullcontext():
                connection, link, pinned = await asyncio.wait_for(
                    _attempt(endpoint, options=options, tunnel=tunnel, trust_user_file=trust_user_file, trust=trust),
                    timeout=max(0.1, min(retry.attempt, left)),
                )
        except _NeverSeen as first:
            trust = await first_trust(first.key)
            continue
        except (OSError, asyncio.TimeoutError, asyncssh.Error, asyncssh.ConfigParseError) as error:
            now = time.monotonic()
            if isinstance(error, asyncssh.PermissionDenied):
                denied_since = denied_since or now
            too_long = now + delay > started + retry.timeout
            denied_too_long = denied_since is not None and now + delay > denied_since + retry.denied
            if not may_pass(error) or too_long or denied_too_long or give_up():
                raise explain(error, endpoint, waited=now - started) from error
            trust = None  # a machine that boots may get its keys only now: look again
            on_retry("key refused so far" if isinstance(error, asyncssh.PermissionDenied) else reason(error))
        else:
            if trust and pinned:
                on_first_use(pinned, trust)
            return connection, link
        await asyncio.sleep(delay)
        delay = min(retry.longest_delay, delay * 1.5)


async def shown_host_key(
    endpoint: Endpoint, *, tunnel: asyncssh.SSHClientConnection | None, timeout: float
) -> asyncssh.SSHKey:
    """The host key that a machine shows at the moment, whoever it is: nobody logs in.

    Raises:
        RemoteError: it could not be reached within ``timeout`` seconds.
    """
    started = time.monotonic()
    try:
        key = await asyncio.wait_for(
            asyncssh.get_server_host_key(
                endpoint.address, endpoint.port or (), tunnel=() if tunnel is None else tunnel
            ),
            timeout=timeout,
        )
    except (OSError, asyncio.TimeoutError, asyncssh.Error, asyncssh.ConfigParseError) as error:
        raise explain(error, endpoint, waited=time.monotonic() - started) from error
    assert key is not None  # noqa: S101 - only GSS key exchange has none
    return key


async def _attempt(
    endpoint: Endpoint,
    *,
    options: dict[str, Any],
    tunnel: asyncssh.SSHClientConnection | None,
    trust_user_file: bool,
    trust: HostKeyTrust | None,
) -> tuple[asyncssh.SSHClientConnection, Link, asyncssh.SSHKey | None]:
    """The connection, its client, and the key that was pinned, if it was not before."""
    file = KnownHosts(endpoint.known_hosts)
    known: Sequence[asyncssh.SSHKey] = file.keys(endpoint.host_key_name)
    source = f"pinned for {endpoint.host_key_name} in {endpoint.known_hosts}"
    cas: Sequence[asyncssh.SSHKey] = ()
    revoked: Sequence[asyncssh.SSHKey] = ()
    if trust_user_file:
        theirs, cas, revoked = user_known_hosts(endpoint.address, endpoint.port)
        source = source if known else "that ~/.ssh/known_hosts has for it"
        known = (*known, *theirs)
    is_known = bool(known or cas)
    if trust and not is_known:
        known, source = trust.keys, "on its console" if trust.learned == "console" else "that it has just shown"
    link = Link()
    try:
        connection = await asyncssh.connect(
            endpoint.address,
            endpoint.port or (),
            client_factory=lambda: link,
            known_hosts=(list(known), list(cas), list(revoked)),
            username=endpoint.user or (),
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=KEEPALIVE_MISSED,
            host_key_alias=() if trust_user_file else endpoint.host_key_name,
            gss_auth=False,
            gss_kex=False,
            password_auth=False,
            kbdint_auth=False,
            tunnel=() if tunnel is None else tunnel,
            **options,
        )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        if link.refused and not known and not cas:
            raise _NeverSeen(link.refused) from error
        # A server that offers only other types of key than the trusted one fails before its key is compared.
        if isinstance(error, asyncssh.HostKeyNotVerifiable) or "host key" in error.reason.lower():
            raise HostKeyRefused(error.reason, expected=known, source=source, shown=link.refused) from error
        raise
    if is_known or trust is None:
        return connection, link, None
    # Only now: a key is pinned for a machine that has also accepted ours, not for whoever answers at its address.
    key = connection.get_server_host_key()
    assert key is not None  # noqa: S101 - only GSS key exchange has none
    if not file.pin(endpoint.host_key_name, key, trust.learned):
        connection.abort()
        now = file.keys(endpoint.host_key_name)
        raise HostKeyRefused("another client has pinned another key", expected=now, source=source, shown=key)
    return connection, link, key
