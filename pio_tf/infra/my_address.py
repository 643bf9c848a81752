"""The address for "my-ip" in network.ssh_cidrs: the public address of this computer when a plan is made.

A saved plan holds the address of the computer that made it. Commands that plan nothing go by the last known address,
so that none of them depends on the service that knows it.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import PioTfError
from pio_tf.events import Done

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter

_PATIENCE: Final = 5.0
"""Seconds to connect, and seconds to answer."""
_MOST_BYTES: Final = 64


def find_my_address(config: Config, *, reporter: Reporter) -> Config:
    """Return the configuration with this computer's public address for "my-ip"; ask for it once.

    Raises:
        PioTfError: the service does not answer with an address.
    """
    url = config.network.my_ip_url
    address = IPv4Network(_ask(config, url))
    reporter(Done(f'"my-ip" is {address.network_address}, says {urlsplit(url).hostname}'))
    return _remember(config, address)


def last_known_address(config: Config) -> Config:
    """Return the configuration with the address that the last plan here had for "my-ip", if any."""
    if not config.network.asks_for_my_ip:
        return config
    try:
        return config.at(IPv4Network(_file(config).read_text(encoding="ascii").strip()))
    except (OSError, ValueError):
        return config


def address_of_plan(config: Config, plan: bytes) -> Config:
    """Return the configuration with the address for "my-ip" in a plan file: the one range that pio-tf.hcl lacks.

    A plan file without exactly one such address stays different from the stack: it is refused like any other.
    """
    if not config.network.asks_for_my_ip:
        return config
    from pio_tf.infra.plan_file import read_plan_file

    try:
        planned = read_plan_file(plan).variables["network"]["ssh_cidrs"]
        fixed = Counter(str(one) for one in config.network.ssh_cidrs)
        (other,) = (Counter(planned) - fixed).elements()
        return _remember(config, IPv4Network(IPv4Address(other.removesuffix("/32"))))
    except (LookupError, TypeError, AttributeError, ValueError):
        return config


def _ask(config: Config, url: str) -> IPv4Address:
    from urllib3.exceptions import HTTPError

    from pio_tf.http_pool import http_pool, http_reason

    try:
        with http_pool(url, timeout=_PATIENCE) as pool:
            answer = pool.request("GET", url, redirect=False, preload_content=False)
            text = answer.read(_MOST_BYTES).decode("ascii", "replace").strip()
            answer.close()
    except HTTPError as error:
        raise _unknown(config, url, http_reason(error)) from error
    if answer.status != 200:
        raise _unknown(config, url, f"HTTP {answer.status} {answer.reason}")
    try:
        return IPv4Address(text)
    except ValueError:
        raise _unknown(config, url, f"it answers {text!r}, which is no IPv4 address") from None


def _unknown(config: Config, url: str, cause: str) -> PioTfError:
    return PioTfError(
        f'{config.where("network.ssh_cidrs")}: network.ssh_cidrs: could not find the address for "my-ip"',
        cause=f"{url}: {cause}",
        next_step="check this computer's connection and its proxy (HTTPS_PROXY), name another service in "
        'network.my_ip_url, or write your address instead of "my-ip", like "203.0.113.7/32"',
    )


def _remember(config: Config, address: IPv4Network) -> Config:
    file = _file(config)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(file, f"{address}\n")
    return config.at(address)


def _file(config: Config) -> Path:
    return config.work_dir / "my-ip"
