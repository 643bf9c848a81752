"""PTF006, PTF007 and PTF009: what can be reached from the internet."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from pio_tf.infra.policy.found import Found
from pio_tf.infra.policy.planned import Planned, planned, read_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config

_GROUPS = ("aws_security_group", "aws_default_security_group")
_RULES = ("aws_security_group_rule", "aws_vpc_security_group_ingress_rule")
_RANGES = ("cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6")
_SHORTEST = {4: 8, 6: 16}
"""Prefixes shorter than these are the world: of /1 it takes two, of /7 a hundred."""
_WITHOUT_PORTS = ("icmp", "icmpv6", "1", "58")
_TCP = ("tcp", "6")
_ALL = ("-1", "all")


@dataclass(frozen=True)
class _Opening:
    """Ports that an address range may reach."""

    protocol: str
    first: int
    last: int
    range: str

    def has(self, port: int) -> bool:
        return self.protocol in (*_TCP, *_ALL) and self.first <= port <= self.last

    def is_only(self, port: int) -> bool:
        return self.protocol in _TCP and self.first == self.last == port

    def __str__(self) -> str:
        if self.protocol in _ALL:
            return "every port"
        if (self.first, self.last) == (0, 65535):
            return f"every {self.protocol} port"
        ports = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.protocol} port {ports}" if self.first == self.last else f"{self.protocol} ports {ports}"


def check_openings(config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """Ports that are open to the world, in whichever of the provider's three ways."""
    ssh = {config.ssh.port, 22}
    for resource, opening in _openings(plan_json):
        if not is_world(opening.range):
            continue
        message = f"{resource.label} opens {opening} to {opening.range}"
        place = _place(config, opening.range)
        if any(opening.has(port) for port in ssh):
            yield Found("PTF006", resource.address, message, place)
        if not any(opening.is_only(port) for port in ssh):
            yield Found("PTF007", resource.address, message, place)
    for resource in planned(plan_json, *_GROUPS, *_RULES):
        unknown = [name for name in _names(resource) if resource.is_unknown(name)]
        if unknown and _lets_in(resource.values):
            message = f"{resource.label}: {', '.join(unknown)} cannot be told before the apply, so may be the world"
            yield Found("PTF007", resource.address, message, "network")


def check_addresses(config: Config, plan_json: Mapping[str, Any]) -> Iterator[Found]:
    """Public addresses, and subnets that give them, beyond those that pio-tf.hcl asks for."""
    network = config.network
    addresses = list(planned(plan_json, "aws_eip"))
    for extra in addresses[1 if network.driver_eip else 0 :]:
        yield Found("PTF009", extra.address, f"{extra.label} is a public address that is not asked for", "network")
    if not network.public_ips:
        for subnet in (*planned(plan_json, "aws_subnet"), *read_data(plan_json, "aws_subnet")):
            if subnet.values.get("map_public_ip_on_launch"):
                message = f"{subnet.label} gives every machine a public address while it runs"
                yield Found("PTF009", subnet.address, message, "network.subnet_id")
    for machine in planned(plan_json, "aws_instance"):
        asked = network.public_ips or (network.driver_eip and machine.machine == "driver")
        if machine.values.get("associate_public_ip_address") and not asked:
            yield Found("PTF009", machine.address, f"{machine.label} has a public address", "network")
        if machine.values.get("ipv6_addresses") or machine.values.get("ipv6_address_count"):
            yield Found("PTF009", machine.address, f"{machine.label} has an IPv6 address, which is public", "network")


def is_world(text: str) -> bool:
    """Whether an address range is all of the internet, or so much of it that a few of them are."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return True  # nobody knows what the provider would make of it
    return network.prefixlen < _SHORTEST[network.version]


def _openings(plan_json: Mapping[str, Any]) -> Iterator[tuple[Planned, _Opening]]:
    known = set()
    for change in plan_json.get("resource_changes") or ():
        for side in ("before", "after"):
            if change["type"] in _RULES and change["change"].get(side):
                known |= set(_of_rule(change["change"][side]))
    for resource in planned(plan_json, *_RULES):
        for opening in _of_rule(resource.values):
            yield resource, opening
    for resource in planned(plan_json, *_GROUPS):
        # Rules that are resources of their own show here too, as the group was read: even one that the plan removes.
        # What is left has been written into the group, or was opened by hand.
        for rule in resource.values.get("ingress") or ():
            for opening in _of_rule({**rule, "type": "ingress"}):
                if opening not in known:
                    yield resource, opening


def _of_rule(rule: Mapping[str, Any]) -> Iterator[_Opening]:
    protocol = str(rule.get("protocol") or rule.get("ip_protocol") or "-1").lower()
    if protocol in _WITHOUT_PORTS or not _lets_in(rule):
        return
    every = protocol in _ALL or rule.get("from_port") is None or rule.get("to_port") is None
    first, last = (0, 65535) if every else (int(rule["from_port"]), int(rule["to_port"]))
    for name in _RANGES:
        found = rule.get(name) or ()
        for one in (found,) if isinstance(found, str) else found:
            if one:
                yield _Opening(protocol, first, last, one)


def _lets_in(rule: Mapping[str, Any]) -> bool:
    return bool(rule.get("type", "ingress") == "ingress")


def _names(resource: Planned) -> tuple[str, ...]:
    """The arguments that say what is open. A new group's rules are unknown as a whole: it has none of its own."""
    if resource.type in _GROUPS:
        return () if resource.unknown.get("ingress") is True else ("ingress",)
    return (*_RANGES, "from_port", "to_port")


def _place(config: Config, text: str) -> str:
    for index, cidr in enumerate(config.network.ssh_cidrs):
        if str(cidr) == text:
            return f"network.ssh_cidrs.{index}"
    return "network.ssh_cidrs"
