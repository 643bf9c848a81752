"""Drift: what has changed in AWS since the last apply, without power, which pio-tf itself changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pio_tf.infra.guard import ADOPTED, machine_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_CHANGES_WITH_POWER = frozenset({"instance_state", "public_ip", "public_dns", "associate_public_ip_address"})
_CHANGES_WITH_TYPE = frozenset(
    {"instance_type", "ebs_optimized", "cpu_core_count", "cpu_threads_per_core", "cpu_options"}
)
_POLICIES = ({"stop-machines"}, {"train-on-schedule"}, {"machines"})
"""Policies of each role that terraform/modules/failsafe and profile make."""
_TAGS = ("tags", "tags_all")
_SIDES = ("ingress", "egress")
_SOURCES = ("cidr_blocks", "ipv6_cidr_blocks", "prefix_list_ids", "security_groups", "self")
_Rule = tuple[str, str, str, int, int, str]
"""Group, side, protocol, ports, and one source."""


@dataclass(frozen=True)
class Difference:
    """An argument that is not as Terraform left it.

    Args:
        before: as Terraform left it.
        after: as AWS has it.
    """

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Drift:
    """A resource that is not as Terraform left it.

    Args:
        machine: its name if it is a machine: ``worker-2``.
    """

    address: str
    type: str
    machine: str
    change: Literal["changed", "gone"]
    differences: tuple[Difference, ...] = ()


def find_drift(
    plan_json: Mapping[str, Any],
    *,
    ignores_tag: Callable[[str], bool] = lambda _key: False,
    may_be: Callable[[str, str], bool] = lambda _machine, _kind: False,
) -> tuple[Drift, ...]:
    """Return the drift in ``terraform show -json`` of a refresh-only plan, from which secrets were removed.

    Without what changes with power, and without what Terraform learns only at its second look at what it has made: a
    security group's rules, a role's policy and a machine's volumes, which are resources of their own, and values that
    were null.

    Args:
        ignores_tag: tells, for the key of a disk's tag, whether aws.ignore_tags names it.
        may_be: tells whether a machine may have an instance type, which pio-tf has then changed itself.
    """
    rules = frozenset(_rules_of_the_stack(plan_json))
    volumes = frozenset(str(one["id"]) for one in _known(plan_json, "aws_ebs_volume"))
    found = []
    for change in plan_json.get("resource_drift") or ():
        if change.get("mode") != "managed":
            continue
        gone = "delete" in change["change"]["actions"]
        is_adopted = ADOPTED.match(change["address"]) is not None
        what_differs = _differences(
            change["type"], change["change"], rules, volumes, ignores_tag, is_adopted=is_adopted
        )
        differences = () if gone else tuple(what_differs)
        kind = (change["change"].get("after") or {}).get("instance_type")
        if kind is not None and may_be(machine_name(change), kind):
            differences = tuple(one for one in differences if one.name not in _CHANGES_WITH_TYPE)
        if gone or differences:
            what: Literal["changed", "gone"] = "gone" if gone else "changed"
            found.append(Drift(change["address"], change["type"], machine_name(change), what, differences))
    return tuple(found)


def _differences(
    kind: str,
    change: Mapping[str, Any],
    rules: frozenset[_Rule],
    volumes: frozenset[str],
    ignores_tag: Callable[[str], bool],
    *,
    is_adopted: bool,
) -> Iterator[Difference]:
    before, after = change.get("before") or {}, change.get("after") or {}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if name == "root_block_device":
            old, new = (disks and _without_tags(disks, ignores_tag) for disks in (old, new))
        if name == "volume_tags":
            old, new = (_kept(tags or {}, ignores_tag) for tags in (old, new))
        if name == "ebs_block_device":
            old, new = ([one for one in some or () if one.get("volume_id") not in volumes] for some in (old, new))
        if name == "metadata_options":  # pio-tf itself lets a driver with a schedule read its tags
            old, new = ([{**one, "instance_metadata_tags": None} for one in some or ()] for some in (old, new))
        if old == new or old is None or not (old or new):
            continue
        if name in _CHANGES_WITH_POWER and kind == "aws_instance":
            continue
        if name in _TAGS and is_adopted:  # others tag it, too; ours are resources of their own
            continue
        if kind == "aws_security_group" and name in _SIDES and rules.issuperset(_rules(after["id"], name, new or ())):
            continue  # a rule that is gone is reported as the resource that it was
        if kind == "aws_iam_role" and name == "inline_policy" and {one.get("name") for one in new or ()} in _POLICIES:
            continue  # a resource of its own, which reports its changes itself; any other policy is drift
        yield Difference(name, old, new)


def _without_tags(disks: Sequence[Mapping[str, Any]], ignores_tag: Callable[[str], bool]) -> list[Any]:
    """Return disks without tags that are ignored: the provider itself ignores only those of other resources."""
    return [
        {
            name: _kept(value or {}, ignores_tag) if name in ("tags", "tags_all") else value
            for name, value in disk.items()
        }
        for disk in disks
    ]


def _kept(tags: Mapping[str, Any], ignores_tag: Callable[[str], bool]) -> dict[str, Any]:
    return {key: tag for key, tag in tags.items() if not ignores_tag(key)}


def _rules(group: str, side: str, rules: Sequence[Mapping[str, Any]]) -> Iterator[_Rule]:
    """Yield one rule for each source: EC2 merges rules that differ in their sources only."""
    for rule in rules:
        for name in _SOURCES:
            value = rule.get(name)
            for source in [name] if value is True else value or ():
                yield group, side, str(rule["protocol"]), int(rule["from_port"]), int(rule["to_port"]), str(source)


def _rules_of_the_stack(plan_json: Mapping[str, Any]) -> Iterator[_Rule]:
    for values in _known(plan_json, "aws_security_group_rule"):
        group = str(values["security_group_id"])
        # AWS reads back the group itself as a source: as true in one place, and as its id in the other.
        sources = {**values, "security_groups": [values.get("source_security_group_id") or ""]}
        if values.get("self") or values.get("source_security_group_id") == group:
            sources |= {"self": True, "security_groups": [group]}
        yield from _rules(group, str(values["type"]), [sources])


def _known(plan_json: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield the values of all resources of a type in the state."""
    modules = [(plan_json.get("prior_state") or {}).get("values", {}).get("root_module") or {}]
    while modules:
        module = modules.pop()
        yield from (one["values"] for one in module.get("resources") or () if one["type"] == kind)
        modules += module.get("child_modules") or ()
