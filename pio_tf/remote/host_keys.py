"""A machine's host key as it shows it now, beside what is pinned for it: for whoever decides about a changed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.events import Reporter, silent
from pio_tf.remote.connect import shown_host_key
from pio_tf.remote.console_keys import FirstTrust
from pio_tf.remote.known_hosts import KnownHosts, Pin
from pio_tf.remote.retry import Patience
from pio_tf.remote.ssh import Remote
from pio_tf.remote.target import known_hosts_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.console_keys import ConsoleKeys
    from pio_tf.remote.target import SshTarget


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


async def look_at_host_key(
    config: Config,
    targets: Sequence[SshTarget],
    machine: str,
    *,
    reporter: Reporter = silent,
    patience: Patience | None = None,
    console_keys: ConsoleKeys | None = None,
) -> HostKey:
    """The host key of a machine, or of the ``bastion``. Nobody logs in there, and nothing is pinned for it.

    Raises:
        ConfigError: ``ssh.key`` cannot be used, or there is no bastion.
        RemoteError: it could not be reached; for a machine behind the driver, the driver could not.
    """
    patience = patience or Patience()
    remote = Remote(config, targets, reporter=reporter, patience=patience, console_keys=console_keys)
    try:
        endpoint, tunnel = await remote.route(machine)
        key = await shown_host_key(endpoint, tunnel=tunnel, timeout=patience.attempt)
    finally:
        await remote.close()
    name = endpoint.host_key_name
    trust = await FirstTrust(None if machine == "bastion" else console_keys).decide(name, key)
    on_console = key in trust.keys if trust.learned == "console" else None
    shown = Pin(name, key, "console" if on_console else "accepted")
    return HostKey(shown, KnownHosts(known_hosts_file(config)).pins_of(name), on_console)


def accept_host_key(config: Config, key: HostKey) -> None:
    """Pin what a machine shows in place of what was pinned for it."""
    KnownHosts(known_hosts_file(config)).replace(key.shown.name, key.shown.key, key.shown.learned)
