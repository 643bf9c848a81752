"""The destinations in ``network.egress``, to which machines may open connections."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Final

from msgspec import Struct

EVERYWHERE: Final = "0.0.0.0/0"
_WANTED: Final = (
    'must be an IPv4 address range or a prefix list, with or without TCP ports, like "10.0.0.0/8", "0.0.0.0/0:443", '
    '"10.1.0.0/16:9000-9100" or "pl-0a1b2c3d:443"'
)
_FORM: Final = re.compile(r"(?P<to>pl-[0-9a-f]+|[0-9.]+(?:/\d+)?)(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?")


class EgressRule(Struct, frozen=True):
    """A destination.

    Args:
        to: an address range, or the id of a prefix list.
        ports: the first and the last TCP port; None: all ports of all protocols.
    """

    to: str
    ports: tuple[int, int] | None

    @property
    def is_prefix_list(self) -> bool:
        """Whether AWS keeps the addresses in a list."""
        return self.to.startswith("pl-")

    def may_allow(self, host: str, port: int) -> bool:
        """Return whether the rule may allow connections to a host; one that is not an address may be anywhere."""
        if self.ports is not None and not self.ports[0] <= port <= self.ports[1]:
            return False
        try:
            return self.is_prefix_list or IPv4Address(host) in IPv4Network(self.to)
        except AddressValueError:
            return True


def parse_egress(text: str) -> EgressRule:
    """Return the destination that an item of ``network.egress`` names.

    Raises:
        ValueError: it names none.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(_WANTED)
    to = match["to"]
    if not to.startswith("pl-"):
        try:
            to = str(IPv4Network(to))
        except (AddressValueError, NetmaskValueError, ValueError):
            raise ValueError(_WANTED) from None
    ports = None
    if match["first"] is not None:
        ports = (int(match["first"]), int(match["last"] or match["first"]))
        if not 1 <= ports[0] <= ports[1] <= 65535:
            raise ValueError(_WANTED)
    return EgressRule(to, ports)
