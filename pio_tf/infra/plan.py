"""A plan, and what it would do."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pio_tf.errors import TerraformError
from pio_tf.infra.guard import machine_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.errors import PioTfError
    from pio_tf.infra.policy import Finding


@dataclass(frozen=True)
class ResourceChange:
    """What a plan does to one resource."""

    address: str
    type: str
    actions: tuple[str, ...]
    """Terraform's words: ``("create",)``, ``("update",)``, ``("delete", "create")``."""
    reasons: tuple[str, ...] = ()
    """Arguments that change (in place), or that force a replacement."""
    machine: str = ""
    """The machine that it is, where it is one: ``worker-2``."""

    @property
    def verb(self) -> str:
        """``create``, ``update``, ``replace``, ``delete``, …"""
        if "delete" in self.actions:
            return "replace" if "create" in self.actions else "delete"
        return self.actions[0]


@dataclass(frozen=True)
class Plan:
    """A plan file, and what it would do."""

    path: Path
    changes: tuple[ResourceChange, ...]
    has_changes: bool
    """Whether there is anything to apply: resources, or outputs only."""
    destroy: bool = False
    json: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """``terraform show -json`` of the file. It may hold secrets."""
    findings: tuple[Finding, ...] = ()
    """What the guard has found, waived or not."""
    error: PioTfError | None = None
    """Why Terraform would not apply it, though it wrote it."""

    @property
    def counts(self) -> dict[str, int]:
        """How many resources are to be created, updated, replaced and deleted."""
        counted = Counter(change.verb for change in self.changes)
        return {verb: counted[verb] for verb in ("create", "update", "replace", "delete")}

    @property
    def new_machines(self) -> dict[str, str]:
        """The machines that it would create, each with its address in Terraform."""
        return {
            change.machine: change.address
            for change in self.changes
            if change.machine and change.actions == ("create",)
        }

    @property
    def changed_machines(self) -> list[str]:
        """The machines that it would change, each of which may be stopped and started for it."""
        return [change.machine for change in self.changes if change.machine and "update" in change.actions]


@contextmanager
def reading_plan() -> Iterator[None]:
    """What is inside reads ``terraform show -json``.

    Raises:
        TerraformError: something in it is not as Terraform writes it: nobody knows what such a plan would do.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise TerraformError(
            "the plan cannot be read, so nothing of it is applied",
            cause=f"something in it is not as Terraform writes it: {error!r}",
            next_step="check terraform.binary and its version: `terraform show -json` must have format version 1",
        ) from error


def find_changes(plan_json: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """What a plan does to resources, from its ``terraform show -json``."""
    return tuple(
        ResourceChange(
            address=change["address"],
            type=change["type"],
            actions=tuple(change["change"]["actions"]),
            reasons=_reasons(change["change"]),
            machine=machine_name(change),
        )
        for change in plan_json.get("resource_changes") or ()
        if change.get("mode") == "managed" and change["change"]["actions"] != ["no-op"]
    )


def changes_anything(plan_json: Mapping[str, Any]) -> bool:
    """Whether there is anything to apply: resources, or outputs only."""
    outputs = (plan_json.get("output_changes") or {}).values()
    return bool(find_changes(plan_json)) or any(output["actions"] != ["no-op"] for output in outputs)


def _reasons(change: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = change.get("before"), change.get("after")
    if not before or not after:
        return ()
    unknown = change.get("after_unknown") or {}
    return tuple(
        name
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name) and unknown.get(name) is not True
    )
