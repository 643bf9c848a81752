"""The removals that the guard refuses: of machines, disks, addresses, their network, and buckets.

``prevent_destroy`` in the modules tells plain Terraform the same. The guard adds what the user can do, and also holds
where a module has changed. :mod:`pio_tf.infra.policy` evaluates these rules together with the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.errors import GuardRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pio_tf.aws.cli_hints import AwsCliHints

GUARDED = {
    "aws_instance": ("PTF001", "spark"),
    "aws_ebs_volume": ("PTF002", "spark"),
    "aws_volume_attachment": ("PTF002", "spark"),
    "aws_eip": ("PTF003", "network.driver_eip"),
    "aws_eip_association": ("PTF003", "network.driver_eip"),
    "aws_network_interface": ("PTF004", "network"),
    "aws_security_group": ("PTF004", "network"),
    "aws_subnet": ("PTF004", "network.cidr"),
    "aws_vpc": ("PTF004", "network.cidr"),
    "aws_s3_bucket": ("PTF005", "terraform.backend"),
    "aws_s3_bucket_versioning": ("PTF005", "terraform.backend"),
}
"""Terraform's types of what must survive, with the rule against a removal and the option of pio-tf.hcl that causes one.

A key pair is not among them: a machine reads it only at its first boot."""

ADOPTED = re.compile(r'^module\.machine\["([\w-]+)"\]\.aws_instance\.this$')
"""The address of a machine that Terraform has imported (terraform/modules/adopted-machine), with its name."""

_STOPPING_ARGUMENTS = ("instance_type", "user_data", "user_data_base64", "ebs_optimized", "cpu_options")
"""Arguments that the AWS provider changes in place, by stopping and starting the machine."""

_TAINTED = "replace_because_tainted"
_WHY_DELETED = {
    "delete_because_no_resource_config": "it is no longer in the configuration",
    "delete_because_no_module": "its module is no longer in the configuration",
    "delete_because_each_key": "its name is no longer in the configuration",
    "delete_because_count_index": "the configuration no longer asks for it",
    "delete_because_wrong_repetition": "it is no longer in the configuration under this name",
}
_WHY_REPLACED = {
    _TAINTED: "Terraform marked it as tainted, because its creation was interrupted",
    "replace_by_request": "its replacement was requested",
    "replace_by_triggers": "something that it depends on is replaced",
}


class Removal(Struct, frozen=True):
    """A resource that a plan would delete, or delete and create again."""

    address: str
    type: str
    name: str
    """``worker-2`` for a machine; else empty."""
    replaced: bool
    reason: str
    """Terraform's word: ``replace_because_tainted``, ``delete_because_each_key``, …"""
    arguments: tuple[str, ...]
    """The arguments whose change forces it: ``private_ip``, ``root_block_device[0].encrypted``."""

    def __str__(self) -> str:
        what = f"{self.address} ({self.name})" if self.name else self.address
        verb = "would be replaced" if self.replaced else "would be deleted"
        if self.arguments:
            return f"{what} {verb}: {', '.join(self.arguments)} cannot change on an existing resource"
        why = (_WHY_REPLACED if self.replaced else _WHY_DELETED).get(self.reason, "")
        return f"{what} {verb}" + (f": {why}" if why else "")

    @property
    def is_adopted(self) -> bool:
        """Whether it is a machine that Terraform has imported, and not made."""
        return ADOPTED.match(self.address) is not None

    @property
    def rule(self) -> str:
        """Return the id of the rule that the removal breaks."""
        return GUARDED[self.type][0]

    @property
    def option(self) -> str:
        """Return the dotted name in pio-tf.hcl of what causes the removal."""
        if self.is_adopted:
            return "machines"
        if self.type == "aws_instance":
            if "private_ip" in self.arguments:
                return "network.first_host"
            if self.name.startswith("worker-") and not self.replaced:
                return "spark.workers"
            if self.name == "driver":
                return "driver"
        if self.rule == "PTF002" and self.address.startswith("module.driver."):
            return "driver"
        return GUARDED[self.type][1]


def find_removals(plan_json: Mapping[str, Any]) -> tuple[Removal, ...]:
    """Return every guarded resource that a plan would delete or replace, from its ``terraform show -json``."""
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
        if change["type"] in GUARDED
        and change.get("mode") == "managed"
        and {"delete", "forget"}.intersection(change["change"]["actions"])
    )


def refusal(removals: Sequence[Removal]) -> GuardRefused:
    """Return the error for these removals. It names each resource, the arguments that force it, and what to do."""
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
    """Return a line for each machine that the plan changes in place, but only by stopping and starting it."""
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
            lines.append(f"{name}: {values}: AWS changes this only on a stopped machine; Terraform stops and starts it")
    return tuple(lines)


def refuse_doubles(
    created: Mapping[str, str], existing: Mapping[str, str], *, directory: Path, by_hand: str, hints: AwsCliHints
) -> None:
    """Refuse a plan that would create a machine that already exists: the state is lost, or knows less than AWS does.

    Args:
        created: machines that the plan creates, each with its address in Terraform.
        existing: machines that carry the cluster's tags, each with its instance id.
        directory: the stack's.
        by_hand: the command line of Terraform there.
        hints: for the command that terminates the existing machines.

    Raises:
        GuardRefused: a machine is in both.
    """
    doubled = [(name, created[name], existing[name]) for name in created if name in existing]
    if not doubled:
        return
    imports = "\n".join(f"       {by_hand} import '{address}' {id_}" for _, address, id_ in doubled)
    raise GuardRefused(
        f"the plan would create {', '.join(name for name, _, _ in doubled)} a second time",
        cause="AWS has "
        + ", ".join(f"{name} ({id_})" for name, _, id_ in doubled)
        + f" with this cluster's tags, but Terraform's state of {directory} does not: the state was lost, it is "
        "another cluster's state, or an earlier apply was interrupted",
        next_step="restore the state; if it has the machines' security group, `pio-tf apply` imports them itself. "
        f"To import them yourself:\n{imports}\n       If you need none of them: "
        f"{hints.terminate(id_ for _, _, id_ in doubled)}",
        details={
            "machines": {name: id_ for name, _, id_ in doubled},
            "addresses": {address: id_ for _, address, id_ in doubled},
        },
    )


def machine_name(change: Mapping[str, Any]) -> str:
    """Return the machine that a change of ``terraform show -json`` is about; empty for other resources."""
    for side in ("before", "after"):
        tags = (change["change"].get(side) or {}).get("tags") or {}
        if change["type"] == "aws_instance" and "pio-tf:machine" in tags:
            return str(tags["pio-tf:machine"])
    adopted = ADOPTED.match(change["address"])  # it has no tags before its import
    return adopted[1] if adopted else ""


def adopted_address(machine: str) -> str:
    """Return the address in Terraform of a machine that exists already."""
    return f'module.machine["{machine}"].aws_instance.this'


def _argument(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _count(removals: Sequence[Removal]) -> str:
    parts = []
    for verb, replaced in (("replace", True), ("delete", False)):
        group = [removal for removal in removals if removal.replaced is replaced]
        machines = sum(removal.type == "aws_instance" for removal in group)
        for number, noun in ((machines, "machine"), (len(group) - machines, "other resource")):
            if number:
                parts.append(f"{verb} {number} {noun}{'s' * (number > 1)}")
    return " and ".join(parts)


def _advice(removals: Sequence[Removal]) -> str:
    steps = []
    if any(removal.replaced and removal.reason != _TAINTED for removal in removals):
        steps.append("put the old values back into pio-tf.hcl")
    made = [removal for removal in removals if not removal.is_adopted]
    if len(made) < len(removals):
        steps.append(
            "put the machine's id back into the machines block; or let Terraform forget the machine, which stays as it "
            "is: its `state rm ADDRESS` in the stack's directory, then `pio-tf apply`"
        )
    if any(not removal.replaced and removal.name.startswith("worker-") for removal in made):
        steps.append("put spark.workers back: a stopped worker costs its disk only")
    elif any(not removal.replaced for removal in made):
        steps.append("put the removed lines back into pio-tf.hcl")
    if any(removal.reason == _TAINTED for removal in removals):
        steps.append("if a tainted resource works, run Terraform's `untaint ADDRESS` in the stack's directory")
    if made:
        steps.append("only `pio-tf destroy` removes machines, and it removes all of them")
    return "; ".join(steps)
