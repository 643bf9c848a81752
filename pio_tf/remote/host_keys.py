"""Trust in host keys that are not pinned yet: from the machine's console, else on first use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import asyncssh

from pio_tf.errors import PioTfError
from pio_tf.remote.known_hosts import KnownHosts, Learned, Pin
from pio_tf.remote.target import known_hosts_file

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

ConsoleKeys: TypeAlias = Callable[[str], tuple[str, ...]]
"""A function of the instance id: the public host keys on the machine's console, as ``ssh-ed25519 AAAA…``, or none.
It may block, because it asks AWS, and may raise any :class:`PioTfError`."""
CONSOLE_SECONDS = 20.0
"""How long AWS may take to show a console, before a machine is trusted on first use."""


@dataclass(frozen=True)
class HostKeyTrust:
    """The host keys that a machine may show. ``because``: why they do not come from its console."""

    keys: tuple[asyncssh.SSHKey, ...]
    learned: Learned
    because: str = ""


class ConsoleTrust:
    """Chooses the host keys to trust of machines without a pinned key. It reads each console at most once.

    Args:
        console_keys: None: no console can be read.
        timeout: seconds for an answer.
    """

    def __init__(self, console_keys: ConsoleKeys | None, *, timeout: float = CONSOLE_SECONDS) -> None:
        self._console_keys = console_keys
        self._timeout = timeout
        self._answers: dict[str, HostKeyTrust] = {}

    async def decide(self, instance_id: str, shown: asyncssh.SSHKey) -> HostKeyTrust:
        """Return the keys on the machine's console; if there are none, the key that it shows now."""
        if instance_id not in self._answers:
            self._answers[instance_id] = await self._read_console(instance_id)
        trust = self._answers[instance_id]
        return trust if trust.keys else replace(trust, keys=(shown,))

    async def _read_console(self, instance_id: str) -> HostKeyTrust:
        """Return the keys of the console; without keys, the trust says why there are none."""
        because = "AWS shows no host keys on its console (yet)"
        if self._console_keys is None:
            return HostKeyTrust((), "first use", "pio-tf did not read its console")
        try:
            lines = await asyncio.wait_for(asyncio.to_thread(self._console_keys, instance_id), timeout=self._timeout)
            if keys := tuple(key for line in lines if (key := _import(line)) is not None):
                return HostKeyTrust(keys, "console")
        except asyncio.TimeoutError:
            because = f"AWS did not show its console within {self._timeout:g} s"
        except PioTfError as error:
            because = f"AWS did not show its console: {error.what}"
        return HostKeyTrust((), "first use", because)


@dataclass(frozen=True)
class HostKey:
    """The host key that a machine shows now, and its pinned keys."""

    shown: Pin
    pinned: tuple[Pin, ...]
    on_console: bool | None
    """True if the machine's console has the shown key; None if AWS shows no key there."""

    @property
    def is_pinned(self) -> bool:
        """True if the shown key is pinned."""
        return self.shown.key in [pin.key for pin in self.pinned]


def accept_host_key(config: Config, key: HostKey) -> None:
    """Pin the key that a machine shows, in place of its pinned keys."""
    KnownHosts(known_hosts_file(config)).replace(key.shown.name, key.shown.key, key.shown.learned)


def _import(line: str) -> asyncssh.SSHKey | None:
    """Return a key; None for a type that SSH no longer knows, and for a key that a serial console has cut short."""
    try:
        return asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return None
