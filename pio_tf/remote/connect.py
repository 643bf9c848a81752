"""One SSH connection: attempts, host key, errors."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.remote.explain import Endpoint, explain, may_pass, reason
from pio_tf.remote.known_hosts import KnownHosts, user_known_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pio_tf.remote.retry import Patience

KEEPALIVE_SECONDS = 15
KEEPALIVE_MISSED = 4
"""A connection whose other end has gone without a word (a laptop's network, a stopped machine) shows in a minute."""


class Link(asyncssh.SSHClient):
    """The client's side of one connection: decides about the host key, remembers how the connection ended."""

    def __init__(self, *, may_pin: bool) -> None:
        self._may_pin = may_pin
        self.first_key: asyncssh.SSHKey | None = None
        self.lost = False
        self.lost_because: Exception | None = None

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        """Asked only for a key that is not among the trusted ones."""
        if self._may_pin:
            self.first_key = key
        return self._may_pin

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.lost_because = exc


async def open_connection(
    endpoint: Endpoint,
    *,
    options: dict[str, Any],
    patience: Patience,
    tunnel: asyncssh.SSHClientConnection | None = None,
    trust_user_file: bool = False,
    slots: asyncio.Semaphore | None = None,
    on_retry: Callable[[str], None] = lambda _why: None,
    give_up: Callable[[], bool] = lambda: False,
) -> tuple[asyncssh.SSHClientConnection, Link]:
    """Connect and log in, trying again while the machine boots.

    Args:
        endpoint: where to.
        options: asyncssh's options for the login (keys).
        patience: how often and how long.
        tunnel: connection to go through.
        trust_user_file: whether the user's own known_hosts counts too (bastions, which are not ours).
        slots: how many attempts may be made at the same time; waiting for another one takes none.
        on_retry: told the reason before each further attempt.
        give_up: asked before each further attempt, e.g. whether the tunnel has broken.

    Raises:
        RemoteError: it could not be reached, refuses the key, or shows another host key than the pinned one.
    """
    started = time.monotonic()
    denied_since: float | None = None
    delay = patience.first_delay
    while True:
        left = patience.timeout - (time.monotonic() - started)
        try:
            async with slots or contextlib.nullcontext():
                return await asyncio.wait_for(
                    _attempt(endpoint, options=options, tunnel=tunnel, trust_user_file=trust_user_file),
                    timeout=max(0.1, min(patience.attempt, left)),
                )
        except (OSError, asyncio.TimeoutError, asyncssh.Error, asyncssh.ConfigParseError) as error:
            now = time.monotonic()
            if isinstance(error, asyncssh.PermissionDenied):
                denied_since = denied_since or now
            too_long = now + delay > started + patience.timeout
            denied_too_long = denied_since is not None and now + delay > denied_since + patience.denied
            if not may_pass(error) or too_long or denied_too_long or give_up():
                raise explain(error, endpoint, waited=now - started) from error
            on_retry("key refused so far" if isinstance(error, asyncssh.PermissionDenied) else reason(error))
        await asyncio.sleep(delay)
        delay = min(patience.longest_delay, delay * 1.5)


async def _attempt(
    endpoint: Endpoint,
    *,
    options: dict[str, Any],
    tunnel: asyncssh.SSHClientConnection | None,
    trust_user_file: bool,
) -> tuple[asyncssh.SSHClientConnection, Link]:
    pinned = KnownHosts(endpoint.known_hosts)
    known = pinned.keys(endpoint.host_key_name)
    cas: Sequence[asyncssh.SSHKey] = ()
    revoked: Sequence[asyncssh.SSHKey] = ()
    if trust_user_file:
        theirs, cas, revoked = user_known_hosts(endpoint.address, endpoint.port)
        known = (*known, *theirs)
    link = Link(may_pin=not known and not cas)
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
        **({"tunnel": tunnel} if tunnel is not None else {}),
        **options,
    )
    # Only now: a key is pinned for a machine that has also accepted ours, not for whoever answers at its address.
    if link.first_key is not None:
        pinned.pin(endpoint.host_key_name, link.first_key)
    return connection, link
