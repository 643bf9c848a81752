"""The guard's first rules: no plan that removes or replaces a machine, its disk, its address or its network is ever
applied. :mod:`pio_tf.infra.policy` holds plans against them, and against the others.

``prevent_destroy`` in the modules says the same to plain Terraform. The guard says it so that a user can act on it, and
holds where a module has been changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.errors import GuardRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

GUARDED = frozenset(
    {
        "aws_instance",
        "aws_ebs_volume",
        "aws_volume_attachment",
        "aws_eip",
        "aws_eip_association",
        "aws_network_interface",
        "aws_security_group",
        "aws_subnet",
        "aws_vpc",
        "aws_s3_bucket",
        "aws_s3_bucket_versioning",
    }
)
"""Terraform's types of what must survive: machines, disks, addresses, what holds the private addresses, and buckets,
which may hold a state. (A key pair is not among them: it is read at a machine's first boot only.)"""

_STOPPING_ARGUMENTS = ("instance_type", "user_data", "user_data_base64", "ebs_optimized", "cpu_options")
"""Arguments that the AWS provider changes in place, but with the machine stopped and started again."""

_WHY_DELETED = {
    "delete_because_no_resource_config": "it is no longer in the configuration",
    "delete_because_no_module": "its module is no longer in the configuration",
    "delete_because_each_key": "its name is no longer in the configuration",
    "delete_because_count_index": "it is no longer wanted by the configuration",
    "delete_because_wrong_repetition": "it is no longer in the configuration under this name",
}
_WHY_REPLACED = {
    "replace_because_tainted": "its creation was not seen to its end, so Terraform marked it as tainted",
    "replace_by_request": "its replacement was asked for",
    "replace_by_triggers": "something that it depends on is replaced",
}


@dataclass(frozen=True)
class Removal:
    """A resource that a plan would delete, or delete and make again."""

    address: str
    type: str
    name: str
    """The machine, where it is one: ``worker-2``; else empty."""
    replaced: bool
    reason: str
    """Terraform's word: ``replace_because_tainted``, ``delete_because_each_key``, …"""
    arguments: tuple[str, ...]
    """The arguments whose change forces it: ``private_ip``, ``root_block_device[0].encrypted``."""

    def __str__(self) -> str:
        what = f"{self.address} ({self.name})" if self.name else self.address
        verb = "would be replaced" if self.replaced else "would be deleted"
        if self.arguments:
            return f"{what} {verb}: {', '.join(self.arguments)} cannot change on what exists"
        why = (_WHY_REPLACED if self.replaced else _WHY_DELETED).get(self.reason, "")
        return f"{what} {verb}" + (f": {why}" if why else "")


def find_removals(plan_json: Mapping[str, Any]) -> tuple[Removal, ...]:
    """Every guarded resource that the plan would delete or replace, from ``terraform show -json`` of a plan file."""
    return tuple(
        Removal(
            address=change["address"],
            type=change["type"],
            name=machine_name(change),
            replaced="create" in change["change"]["actions"],
            reason=change.get("action_reason", ""),
            arguments=tuple(_argument(path) for path in change["change"].get("replace_paths") or ()),
        )
        for change in plan_json.get("resource_changes") or ()
        if change["type"] in GUARDED and change.get("mode") == "managed" and _removes(change["change"]["actions"])
    )


def refusal(removals: Sequence[Removal]) -> GuardRefused:
    """The error for these removals: it names each resource, the arguments that force it, and what to do."""
    return GuardRefused(
        f"the plan would {_count(removals)}: refused, nothing was changed",
        cause="\n".join(str(removal) for removal in removals),
        next_step=_advice(removals),
        details={
            "resources": [
                {
                    "address": removal.address,
                    "type": removal.type,
                    "machine": removal.name or None,
                    "action": "replace" if removal.replaced else "delete",
                    "arguments": list(removal.arguments),
                }
                for removal in removals
            ]
        },
    )


def find_restarts(plan_json: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each machine that the plan changes in place, but only by stopping and starting it."""
    lines = []
    for change in plan_json.get("resource_changes") or ():
        if change["type"] != "aws_instance" or change["change"]["actions"] != ["update"]:
            continue
        before, after = change["change"].get("before") or {}, change["change"].get("after") or {}
        changed = [name for name in _STOPPING_ARGUMENTS if name in after and before.get(name) != after.get(name)]
        if changed:
            values = ", ".join(
                f"{name} {before.get(name)} -> {after.get(name)}" if name == "instance_type" else name
                for name in changed
            )
            name = machine_name(change) or change["address"]
            lines.append(f"{name}: {values}: AWS changes that on a stopped machine only, so it is stopped and started")
    return tuple(lines)


def _removes(actions: Sequence[str]) -> bool:
    return "delete" in actions or "forget" in actions


def refuse_doubles(created: Mapping[str, str], existing: Mapping[str, str], *, directory: Path) -> None:
    """Refuse a plan that would make a machine that is there already: the state is lost, or knows less than AWS does.

    Args:
        created: machines that the plan creates, each with its address in Terraform.
        existing: machines that carry the cluster's tags, each with its instance id.
        directory: the stack's.

    Raises:
        GuardRefused: a machine stands in both.
    """
    doubled = [(name, created[name], existing[name]) for name in created if name in existing]
    if not doubled:
        return
    imports = "\n".join(f"       terraform -chdir={directory} import '{address}' {id_}" for _, address, id_ in doubled)
    raise GuardRefused(
        f"the plan would make {', '.join(name for name, _, _ in doubled)} a second time",
        cause="AWS has "
        + ", ".join(f"{name} ({id_})" for name, _, id_ in doubled)
        + f" with this cluster's tags, but Terraform's state of {directory} does not: the state was lost, or is "
        "another one, or a creation was cut off",
        next_step="bring the state back; `pio-tf apply` takes machines over by itself where the state has their "
        f"security group; by hand:\n{imports}\n       or, if nothing there is "
        f"needed: aws ec2 terminate-instances --instance-ids {' '.join(id_ for _, _, id_ in doubled)}",
        details={
            "machines": {name: id_ for name, _, id_ in doubled},
            "addresses": {address: id_ for _, address, id_ in doubled},
        },
    )


def machine_name(change: Mapping[str, Any]) -> str:
    """The machine that a change of ``terraform show -json`` is about; empty for other resources."""
    for side in ("before", "after"):
        tags = (change["change"].get(side) or {}).get("tags") or {}
        if change["type"] == "aws_instance" and "pio-tf:machine" in tags:
            return str(tags["pio-tf:machine"])
    return ""


def _argument(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _count(removals: Sequence[Removal]) -> str:
    parts = []
    for verb, replaced in (("replace", True), ("delete", False)):
        group = [removal for removal in removals if removal.replaced is replaced]
        machines = sum(removal.type == "aws_instance" for removal in group)
        others = len(group) - machines
        if machines:
            parts.append(f"{verb} {machines} machine{'s' * (machines > 1)}")
        if others:
            parts.append(f"{verb} {others} other resource{'s' * (others > 1)}")
    return " and ".join(parts)


def _advice(removals: Sequence[Removal]) -> str:
    steps = []
    if any(removal.replaced and removal.reason != "replace_because_tainted" for removal in removals):
        steps.append("put the old values back into pio-tf.hcl")
    if any(not removal.replaced and removal.name.startswith("worker-") for removal in removals):
        steps.append("put spark.workers back: a stopped worker costs its disk only")
    elif any(not removal.replaced for removal in removals):
        steps.append("put what was removed back into pio-tf.hcl")
    if any(removal.reason == "replace_because_tainted" for removal in removals):
        steps.append("if a tainted resource is good, say so with `terraform untaint ADDRESS` in the stack's directory")
    steps.append("only `pio-tf destroy` removes machines, and it removes all of them")
    return "; ".join(steps)
