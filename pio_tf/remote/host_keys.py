"""Whether to trust a machine that nobody here has connected to before: by its console, else on first use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import asyncssh

from pio_tf.errors import PioTfError
from pio_tf.remote.known_hosts import KnownHosts, Learned, Pin
from pio_tf.remote.target import known_hosts_file

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

ConsoleKeys: TypeAlias = Callable[[str], tuple[str, ...]]
"""Instance id -> the public host keys on the machine's console, as ``ssh-ed25519 AAAA…``; none where it shows none.
May block (it asks AWS), and may raise any :class:`PioTfError`."""
ASKS_WITHIN = 20.0
"""Seconds that AWS has for an answer, before a machine is trusted on first use."""


@dataclass(frozen=True)
class HostKeyTrust:
    """The host keys of which a machine may show one. ``because``: why they are not from its console."""

    keys: tuple[asyncssh.SSHKey, ...]
    learned: Learned
    because: str = ""


async def trust_on_first_use(shown: asyncssh.SSHKey) -> HostKeyTrust:
    """For what is no machine of the cluster: a bastion."""
    return HostKeyTrust((shown,), "first use", "it is no machine of this cluster, whose console AWS would show")


class ConsoleTrust:
    """Decides about machines without a pinned key. Each console is asked for once, and only if it comes to that.

    Args:
        ask: None: nobody can be asked.
        within: seconds for an answer.
    """

    def __init__(self, ask: ConsoleKeys | None, *, within: float = ASKS_WITHIN) -> None:
        self._ask = ask
        self._within = within
        self._answers: dict[str, tuple[tuple[asyncssh.SSHKey, ...], str]] = {}

    async def decide(self, instance_id: str, shown: asyncssh.SSHKey) -> HostKeyTrust:
        """The keys of the machine's console; where AWS has none, the key that it has just shown."""
        if instance_id not in self._answers:
            self._answers[instance_id] = await self._answer(instance_id)
        keys, because = self._answers[instance_id]
        return HostKeyTrust(keys, "console") if keys else HostKeyTrust((shown,), "first use", because)

    async def _answer(self, instance_id: str) -> tuple[tuple[asyncssh.SSHKey, ...], str]:
        """The keys, or why there are none."""
        if self._ask is None:
            return (), "its console was not looked at"
        try:
            lines = await asyncio.wait_for(asyncio.to_thread(self._ask, instance_id), timeout=self._within)
        except asyncio.TimeoutError:
            return (), f"AWS did not show its console within {self._within:g} s"
        except PioTfError as error:
            return (), f"AWS did not show its console: {error.what}"
        keys = tuple(key for line in lines if (key := _import(line)) is not None)
        return keys, "" if keys else "AWS shows no host keys on its console (yet)"


@dataclass(frozen=True)
class HostKey:
    """What a machine shows, and what is pinned for it."""

    shown: Pin
    pinned: tuple[Pin, ...]
    on_console: bool | None
    """Whether it is among the keys on the machine's console; None where AWS shows none."""

    @property
    def is_pinned(self) -> bool:
        """Whether nothing has changed."""
        return self.shown.key in [pin.key for pin in self.pinned]


def accept_host_key(config: Config, key: HostKey) -> None:
    """Pin what a machine shows in place of what was pinned for it."""
    KnownHosts(known_hosts_file(config)).replace(key.shown.name, key.shown.key, key.shown.learned)


def _import(line: str) -> asyncssh.SSHKey | None:
    """None for a type that SSH no longer knows, and for a key that a serial console has cut short."""
    try:
        return asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return None
