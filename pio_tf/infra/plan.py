"""A plan, and what it would do."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pio_tf.infra.guard import machine_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.errors import PioTfError
    from pio_tf.infra.policy import Finding


@dataclass(frozen=True)
class ResourceChange:
    """The change of one resource in a plan.

    Args:
        actions: Terraform's words: ``create``, ``update``, ``delete``; a replacement has two of them. An import has
            ``import``, alone or before what else changes.
        reasons: arguments that change in place, or that force a replacement.
        machine: its name if it is a machine: ``worker-2``.
    """

    address: str
    type: str
    actions: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    machine: str = ""

    @property
    def verb(self) -> str:
        """Return the verb of the change, such as ``import``, ``create``, ``update``, ``replace`` or ``delete``."""
        if "delete" in self.actions:
            return "replace" if "create" in self.actions else "delete"
        return self.actions[0]


@dataclass(frozen=True)
class Plan:
    """A plan file, and what it would do.

    Args:
        has_changes: whether there is anything to apply: resources, or outputs only.
        json: ``terraform show -json`` of the file, or what the guard reads of it
            (:func:`pio_tf.infra.unchanged_plan.show_unchanged`). It may hold secrets.
        findings: what the guard has found, waived or not.
        error: why Terraform would not apply the plan that it wrote.
        digest: of the file that ``json`` shows (:func:`file_digest`); empty: not known.
    """

    path: Path
    changes: tuple[ResourceChange, ...]
    has_changes: bool
    destroy: bool = False
    json: Mapping[str, Any] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()
    error: PioTfError | None = None
    digest: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of resources to import, create, update, replace and delete."""
        counted = Counter(change.verb for change in self.changes)
        return {verb: counted[verb] for verb in ("import", "create", "update", "replace", "delete")}

    @property
    def new_machines(self) -> dict[str, str]:
        """The machines to create, each with its address in Terraform."""
        return {one.machine: one.address for one in self.changes if one.machine and one.actions == ("create",)}

    @property
    def changed_machines(self) -> list[str]:
        """The machines to change; AWS may stop and start each of them for it."""
        return [change.machine for change in self.changes if change.machine and "update" in change.actions]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a plan file; empty if it cannot be read.

    Take it before Terraform shows the file: one that is replaced meanwhile has another.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def find_changes(plan_json: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """Return the changes of resources in ``terraform show -json`` of a plan."""
    return tuple(
        ResourceChange(
            address=change["address"],
            type=change["type"],
            actions=_actions(change["change"]),
            reasons=_reasons(change["change"]),
            machine=machine_name(change),
        )
        for change in plan_json.get("resource_changes") or ()
        if change.get("mode") == "managed" and _actions(change["change"]) != ("no-op",)
    )


def changes_anything(plan_json: Mapping[str, Any]) -> bool:
    """Return whether there is anything to apply: resources, or outputs only."""
    outputs = (plan_json.get("output_changes") or {}).values()
    return bool(find_changes(plan_json)) or any(output["actions"] != ["no-op"] for output in outputs)


def _actions(change: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Terraform's words for a change. In its JSON, an import is a fact beside them."""
    actions = tuple(change["actions"])
    if not change.get("importing"):
        return actions
    return ("import", *(one for one in actions if one != "no-op"))


def _reasons(change: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = change.get("before") or {}, change.get("after") or {}
    unknown = change.get("after_unknown") or {}
    names = sorted({*before, *after}) if before and after else ()
    return tuple(name for name in names if before.get(name) != after.get(name) and unknown.get(name) is not True)
