"""Trust in host keys that are not pinned yet: from the machine's console, else on first use if that is allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from pio_tf.aws.errors import THROTTLED, UNAVAILABLE
from pio_tf.errors import PioTfError, RemoteError
from pio_tf.remote.known_hosts import KnownHosts, Learned, Pin
from pio_tf.remote.target import known_hosts_file
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.remote.target import Endpoint

ConsoleKeys: TypeAlias = Callable[[str], tuple[str, ...]]
"""A function of the instance id: the public host keys on the machine's console, as ``ssh-ed25519 AAAA…``, or none.
It may block, because it asks AWS, and may raise any :class:`PioTfError`."""
CONSOLE_SECONDS = 20.0
"""How long AWS may take to answer a request for a console."""
CONSOLE_DELAY = 8 * 60.0
"""How long after a start the keys may be missing on the console. AWS copies the console of a machine that is not of the
Nitro system some minutes after its boot."""
FIRST_POLL, LONGEST_POLL = 2.0, 20.0
"""Seconds between two requests for a console. Each delay is half as long again as the one before: EC2 limits the rate
of these requests, and there is one for each new machine."""


class HostKeyTrust(Struct, frozen=True):
    """The host keys that a machine may show. ``because``: why they do not come from its console."""

    keys: tuple[asyncssh.SSHKey, ...]
    learned: Learned
    because: str = ""
    may_come: bool = False
    """True if its console may show keys later."""


class ConsoleTrust:
    """Chooses the host keys to trust of machines without a pinned key.

    Args:
        console_keys: None: no console can be read.
        first_use: trust the shown key of a machine without keys on its console, at once. Otherwise, wait for the
            console of a machine that started a short time ago, and refuse the key if none appears there.
        timeout: seconds for an answer.
        delay: seconds after a start in which keys may appear on the console.
        first_poll: seconds before the second request.
    """

    def __init__(
        self,
        console_keys: ConsoleKeys | None,
        *,
        first_use: bool,
        timeout: float = CONSOLE_SECONDS,
        delay: float = CONSOLE_DELAY,
        first_poll: float = FIRST_POLL,
    ) -> None:
        self._console_keys = console_keys
        self._first_use = first_use
        self._timeout = timeout
        self._delay = delay
        self._first_poll = first_poll
        self._answers: dict[str, HostKeyTrust] = {}

    async def decide(
        self, endpoint: Endpoint, shown: asyncssh.SSHKey, *, patience: float, on_wait: Callable[[], None]
    ) -> HostKeyTrust:
        """Return the keys on the machine's console; if there are none, the key that it shows now.

        Args:
            patience: the most seconds to wait for the console.
            on_wait: called once before a wait.

        Raises:
            RemoteError: there are none, and first use is not trusted (kind "host-key-unknown").
        """
        name = endpoint.host_key_name
        if name not in self._answers:
            self._answers[name] = await self._wait_for_console(endpoint, patience, on_wait)
        trust = self._answers[name]
        if trust.keys:
            return trust
        if not self._first_use:
            raise _unknown(endpoint, shown, trust.because)
        return HostKeyTrust((shown,), "first use", trust.because)

    async def read(self, endpoint: Endpoint) -> HostKeyTrust:
        """Return the keys of an endpoint's console now; without keys, the trust says why there are none."""
        if endpoint.is_bastion:
            return HostKeyTrust((), "first use", "it is not a machine of this cluster, with a console in AWS")
        return await self.read_console(endpoint.host_key_name)

    async def read_console(self, instance_id: str) -> HostKeyTrust:
        """Return the keys of a machine's console now, as :meth:`read`."""
        if self._console_keys is None:
            return HostKeyTrust((), "first use", "pio-tf did not read its console")
        ask, may_come = self._console_keys, True
        try:
            lines = await wait_for(asyncio.to_thread(ask, instance_id), timeout=self._timeout)
            if keys := tuple(key for line in lines if (key := _import(line)) is not None):
                return HostKeyTrust(keys, "console")
            because = "AWS shows no host keys on its console (yet)"
        except asyncio.TimeoutError:
            because = f"AWS did not show its console within {self._timeout:g} s"
        except PioTfError as error:
            because = f"AWS did not show its console: {error.what}"
            may_come = error.details.get("code", "") in {"", *THROTTLED, *UNAVAILABLE}
        return HostKeyTrust((), "first use", because, may_come)

    async def _wait_for_console(self, endpoint: Endpoint, patience: float, on_wait: Callable[[], None]) -> HostKeyTrust:
        """Return the keys of the console, as soon as it has some, or when no more are to be expected."""
        trust = await self.read(endpoint)
        if self._first_use or endpoint.started is None:
            return trust
        age = (datetime.now(tz=timezone.utc) - endpoint.started).total_seconds()
        end = time.monotonic() + min(patience, self._delay - age)
        delay = self._first_poll
        while trust.may_come and time.monotonic() + delay < end:
            if delay == self._first_poll:
                on_wait()
            await asyncio.sleep(delay)
            delay = min(LONGEST_POLL, delay * 1.5)
            trust = await self.read(endpoint)
        return trust


class HostKey(Struct, frozen=True):
    """The host key that a machine shows now, and its pinned keys."""

    shown: Pin
    pinned: tuple[Pin, ...]
    on_console: bool | None
    """True if the machine's console has the shown key; None if AWS shows no key there."""

    @property
    def is_pinned(self) -> bool:
        """True if the shown key is pinned."""
        return self.shown.key in [pin.key for pin in self.pinned]


def trusts_first_use(config: Config, *, attended: bool) -> bool:
    """Return whether to trust keys on first use.

    Args:
        attended: whether a person at a terminal reads the warning.
    """
    return config.ssh.host_keys == "accept-new" or (config.ssh.host_keys == "auto" and attended)


def accept_host_key(config: Config, key: HostKey) -> None:
    """Pin the key that a machine shows, in place of its pinned keys."""
    KnownHosts(known_hosts_file(config)).replace(key.shown.name, key.shown.key, key.shown.learned)


def _unknown(endpoint: Endpoint, shown: asyncssh.SSHKey, because: str) -> RemoteError:
    fingerprint = shown.get_fingerprint()
    return RemoteError(
        f"{endpoint} shows an SSH host key that pio-tf cannot verify",
        cause=f"{fingerprint} ({shown.get_algorithm()}) is not pinned, and {because}; without a person at a terminal, "
        "pio-tf trusts no key on first use",
        next_step=f"at a terminal: pio-tf host-keys accept {endpoint.name}; give {endpoint.known_hosts} to CI jobs as "
        'PIO_TF_KNOWN_HOSTS. To trust new keys without a check: ssh.host_keys = "accept-new"',
        details={
            "machine": endpoint.machine,
            "address": endpoint.address,
            "port": endpoint.port,
            "kind": "host-key-unknown",
            "shown": fingerprint,
        },
    )


def _import(line: str) -> asyncssh.SSHKey | None:
    """Return a key; None for a type that SSH no longer knows, and for a key that a serial console has cut short."""
    try:
        return asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return None
