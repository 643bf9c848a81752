"""The checks behind the guard's rules, on the JSON of a plan (``terraform show -json``)."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from pio_tf.config.roles import role_of
from pio_tf.config.type_lists import is_allowed
from pio_tf.infra.cost import plan_cost
from pio_tf.infra.guard import find_removals, machine_name
from pio_tf.infra.policy.rules import RULE, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.infra.guard import Removal

_GROUPS = ("aws_security_group", "aws_default_security_group")
_GROUP_RULES = ("aws_security_group_rule", "aws_vpc_security_group_ingress_rule")
_RANGES = ("cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6")
_SHORTEST = {4: 8, 6: 16}
"""Shorter prefixes count as the world: two /1 cover it, or a hundred /7 most of it."""
_WITHOUT_PORTS = ("icmp", "icmpv6", "1", "58")
_TCP = ("tcp", "6")
_ALL = ("-1", "all")


class _Breach(NamedTuple):
    """A finding of a check."""

    rule: str
    """The rule's id."""
    address: str
    message: str
    option: str
    """The dotted name in pio-tf.hcl of the cause: ``network.ssh_cidrs.0``."""
    removal: Removal | None = None


class _Planned(Struct, frozen=True):
    """A resource as it will be after the plan, changed or not."""

    address: str
    type: str
    machine: str
    """``worker-2`` for a machine; else empty."""
    values: Mapping[str, Any]
    unknown: Mapping[str, Any]
    """True at the arguments that only the apply can tell."""

    @property
    def label(self) -> str:
        return self.machine or self.address


class _Opening(Struct, frozen=True):
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
        one = self.first == self.last
        return f"{self.protocol} port {self.first}" if one else f"{self.protocol} ports {self.first} to {self.last}"


def evaluate(config: Config, plan_json: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return everything in a plan that breaks a rule, waived or not, in the order of the rules.

    Args:
        config: what the cluster asks for, allows and waives.
        plan_json: ``terraform show -json`` of the plan file.
    """
    file, waive = _relative_path(config.path), config.guard.waive
    checks = (_removals, _openings, _disks, _addresses, _workers, _instance_types, _cost, _shrinking)
    found = [breach for check in checks for breach in check(config, plan_json)]
    return tuple(
        Finding(
            rule=RULE[one.rule],
            address=one.address,
            message=one.message,
            file=file,
            line=config.line(one.option),
            waived=waive[one.rule].reason if one.rule in waive else "",
            removal=one.removal,
        )
        for one in sorted(found, key=lambda one: one.rule)
    )


def is_world(text: str) -> bool:
    """Tell whether an address range is the internet, or a large part of it."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return True  # the provider may understand it as anything
    return network.prefixlen < _SHORTEST[network.version]


def _removals(_config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF001 to PTF005."""
    for removal in find_removals(plan_json):
        yield _Breach(removal.rule, removal.address, str(removal), removal.option, removal)


def _openings(config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF006 and PTF007, for all three ways in which the provider can open a port."""
    ssh = {config.ssh.port, 22}
    ranges = {str(cidr): f"network.ssh_cidrs.{index}" for index, cidr in enumerate(config.network.ssh_cidrs)}
    for resource, opening in _find_openings(plan_json):
        if not is_world(opening.range):
            continue
        message = f"{resource.label} opens {opening} to {opening.range}"
        option = ranges.get(opening.range, "network.ssh_cidrs")
        if any(opening.has(port) for port in ssh):
            yield _Breach("PTF006", resource.address, message, option)
        if not any(opening.is_only(port) for port in ssh):
            yield _Breach("PTF007", resource.address, message, option)
    for resource in _planned(plan_json, *_GROUPS, *_GROUP_RULES):
        unknown = [name for name in _opening_arguments(resource) if _any_true(resource.unknown.get(name))]
        if unknown and _is_ingress(resource.values):
            message = f"{resource.label}: {', '.join(unknown)} is known only after the apply, so it may be the world"
            yield _Breach("PTF007", resource.address, message, "network")


def _disks(config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF008: disks without encryption, or without a word about it in the plan. No plan makes adopted ones."""
    for volume in _planned(plan_json, "aws_ebs_volume"):
        if volume.values.get("encrypted") is not True:
            yield _Breach("PTF008", volume.address, f"{volume.label} is not encrypted", "spark")
    for machine in () if config.adopted else _planned(plan_json, "aws_instance"):
        option = "driver" if machine.machine == "driver" else "spark"
        if not machine.values.get("root_block_device"):
            message = f"{machine.label}: the plan does not state that its root disk is encrypted"
            yield _Breach("PTF008", machine.address, message, option)
        for name in ("root_block_device", "ebs_block_device"):
            for disk in machine.values.get(name) or ():
                if disk.get("encrypted") is not True:
                    message = f"{machine.label}: {disk.get('device_name') or name} is not encrypted"
                    yield _Breach("PTF008", machine.address, message, option)


def _addresses(config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF009: public addresses, and subnets that assign them, beyond those in pio-tf.hcl."""
    network = config.network
    for extra in list(_planned(plan_json, "aws_eip"))[1 if network.driver_eip else 0 :]:
        message = f"{extra.label} is a public address that pio-tf.hcl does not ask for"
        yield _Breach("PTF009", extra.address, message, "network")
    if not network.public_ips:
        for subnet in (*_planned(plan_json, "aws_subnet"), *_data_sources(plan_json, "aws_subnet")):
            if subnet.values.get("map_public_ip_on_launch"):
                message = f"{subnet.label} gives every machine a public address while it runs"
                yield _Breach("PTF009", subnet.address, message, "network.subnet_id")
    for machine in () if config.adopted else _planned(plan_json, "aws_instance"):
        asked = network.public_ips or (network.driver_eip and machine.machine == "driver")
        if machine.values.get("associate_public_ip_address") and not asked:
            yield _Breach("PTF009", machine.address, f"{machine.label} has a public address", "network")
        if machine.values.get("ipv6_addresses") or machine.values.get("ipv6_address_count"):
            yield _Breach("PTF009", machine.address, f"{machine.label} has an IPv6 address, which is public", "network")


def _workers(config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF010."""
    most = config.guard.max_workers
    workers = [one for one in _planned(plan_json, "aws_instance") if one.machine.startswith("worker-")]
    if most is not None and len(workers) > most:
        message = f"the cluster would have {len(workers)} workers; guard.max_workers is {most}"
        yield _Breach("PTF010", workers[-1].address, message, "spark.workers")


def _instance_types(config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF011."""
    allowed = config.guard.instance_types
    for machine in _planned(plan_json, "aws_instance") if allowed else ():
        name = machine.machine
        wanted = config.types(role_of(name))
        kind = str(machine.values.get("instance_type") or "unknown")
        spare = [one for one in wanted.types if wanted.is_chosen and one != kind and not is_allowed(one, allowed)]
        if not is_allowed(kind, allowed):
            message = f"{machine.label} would be of type {kind}; guard.instance_types allows {', '.join(allowed)}"
            yield _Breach("PTF011", machine.address, message, wanted.option)
        elif spare:
            message = (
                f"{machine.label} may become {' or '.join(spare)}; guard.instance_types allows {', '.join(allowed)}"
            )
            yield _Breach("PTF011", machine.address, message, wanted.option)


def _cost(config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF012: an estimate above the limit, or none because a price is missing."""
    most, hours = config.guard.max_monthly_cost_usd, config.guard.training_hours_per_month
    if most is None:
        return
    _, after = plan_cost(config, plan_json)
    monthly = after.monthly_usd(hours)
    if monthly is None:
        message = f"the monthly cost is unknown: pio-tf knows no price for {', '.join(after.unknown)}"
    elif monthly > most:
        message = f"a month with {hours:g} hours of training would cost {monthly:.2f} USD; the limit is {most:.2f} USD"
    else:
        return
    yield _Breach("PTF012", "", message, "guard.max_monthly_cost_usd")


def _shrinking(_config: Config, plan_json: Mapping[str, Any]) -> Iterator[_Breach]:
    """Check PTF013: a smaller disk than before, be it that pio-tf.hcl asks for less, or that AWS was asked for more."""
    for change in plan_json.get("resource_changes") or ():
        if change["change"]["actions"] != ["update"] or change["type"] not in ("aws_instance", "aws_ebs_volume"):
            continue
        before, after = _sizes(change["change"].get("before")), _sizes(change["change"].get("after"))
        machine = machine_name(change)
        of_driver = ((change["change"].get("before") or {}).get("tags") or {}).get("pio-tf:machine") == "driver"
        disk_option = "root_volume_gib" if change["type"] == "aws_instance" else "scratch_volume.gib"
        for disk, (size, argument) in after.items():
            had = before.get(disk, (0, ""))[0]
            if size < had:
                option = f"{'driver' if of_driver else 'spark'}.{disk_option}"
                message = f"{machine or change['address']}: {argument} would shrink from {had} to {size} GiB"
                yield _Breach("PTF013", change["address"], message, option)


def _sizes(values: Mapping[str, Any] | None) -> dict[str, tuple[int, str]]:
    """Return the size (GiB) and the name of each disk of a resource; a size that the plan does not tell is left out."""
    found = {"": ((values or {}).get("size"), "the volume"), "root": (None, "the root disk")}
    for disk in (values or {}).get("root_block_device") or ():
        found["root"] = (disk.get("volume_size"), "the root disk")
    for disk in (values or {}).get("ebs_block_device") or ():
        found[str(disk.get("device_name"))] = (disk.get("volume_size"), f"the disk {disk.get('device_name')}")
    return {name: (size, label) for name, (size, label) in found.items() if isinstance(size, int)}


def _planned(plan_json: Mapping[str, Any], *kinds: str) -> Iterator[_Planned]:
    """Yield the resources of these types that exist after the plan."""
    for change in plan_json.get("resource_changes") or ():
        values = change["change"].get("after")
        if change.get("mode") == "managed" and change["type"] in kinds and values is not None:
            unknown = change["change"].get("after_unknown") or {}
            yield _Planned(change["address"], change["type"], machine_name(change), values, unknown)


def _data_sources(plan_json: Mapping[str, Any], kind: str) -> Iterator[_Planned]:
    """Yield the data sources of a type, as Terraform read them."""
    modules = [((plan_json.get("prior_state") or {}).get("values") or {}).get("root_module") or {}]
    while modules:
        module = modules.pop()
        for resource in module.get("resources") or ():
            if resource.get("mode") == "data" and resource["type"] == kind:
                yield _Planned(resource["address"], kind, "", resource.get("values") or {}, {})
        modules += module.get("child_modules") or ()


def _any_true(unknown: object) -> bool:
    values = unknown.values() if isinstance(unknown, dict) else unknown if isinstance(unknown, list) else ()
    return unknown is True or any(map(_any_true, values))


def _find_openings(plan_json: Mapping[str, Any]) -> Iterator[tuple[_Planned, _Opening]]:
    known = set()
    for change in plan_json.get("resource_changes") or ():
        for side in ("before", "after"):
            if change["type"] in _GROUP_RULES and change["change"].get(side):
                known |= set(_openings_of(change["change"][side]))
    for resource in _planned(plan_json, *_GROUP_RULES):
        for opening in _openings_of(resource.values):
            yield resource, opening
    for resource in _planned(plan_json, *_GROUPS):
        # A group as Terraform read it also shows the rules that are resources, even one that the plan removes. The
        # others are written into the group, or were added in AWS.
        for rule in resource.values.get("ingress") or ():
            for opening in _openings_of({**rule, "type": "ingress"}):
                if opening not in known:
                    yield resource, opening


def _openings_of(rule: Mapping[str, Any]) -> Iterator[_Opening]:
    protocol = str(rule.get("protocol") or rule.get("ip_protocol") or "-1").lower()
    if protocol in _WITHOUT_PORTS or not _is_ingress(rule):
        return
    every = protocol in _ALL or rule.get("from_port") is None or rule.get("to_port") is None
    first, last = (0, 65535) if every else (int(rule["from_port"]), int(rule["to_port"]))
    for name in _RANGES:
        found = rule.get(name) or ()
        for one in (found,) if isinstance(found, str) else found:
            if one:
                yield _Opening(protocol, first, last, one)


def _is_ingress(rule: Mapping[str, Any]) -> bool:
    return bool(rule.get("type", "ingress") == "ingress")


def _opening_arguments(resource: _Planned) -> tuple[str, ...]:
    """Return the arguments that open ports. All rules of a new group are unknown: it has none of its own."""
    if resource.type in _GROUPS:
        return () if resource.unknown.get("ingress") is True else ("ingress",)
    return (*_RANGES, "from_port", "to_port")


def _relative_path(path: Path) -> str:
    """Return a path as a code host wants it: relative to where the job runs, with forward slashes."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
