"""The Terraform stack, from ``init`` to ``destroy``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, Outputs, ResultData, Table
from pio_tf.infra.drift import Drift
from pio_tf.infra.plan import ResourceChange
from pio_tf.infra.saved_plan import SUMMARY
from pio_tf.model import Role, count

if TYPE_CHECKING:
    from typing_extensions import Self

    from pio_tf.infra.plan import Plan

_LONGEST_VALUE = 80
_HAS_CHANGES: Outputs = {"has-changes": ("has_changes", "`true` or `false`")}


class InitResult(CommandResult):
    """The pio-tf.hcl that was written; with `--backend` it may be an older one."""

    file: Path
    cluster: str
    bucket: str | None = Field(description="the bucket of the state; null without `--backend`")


class AdoptedMachine(ResultData):
    """A machine that exists already."""

    name: str
    role: Role
    instance_id: str
    label: str = Field(description="its tag `Name`; empty: it has none")
    instance_type: str
    state: str = Field(description="as EC2 names it")
    private_ip: str
    public_ip: str | None
    eip: str | None = Field(description="its Elastic IP")
    vpc: str
    subnet: str
    zone: str = Field(description="availability zone")
    image: str
    key_pair: str = Field(description="empty: it has none")
    security_groups: list[str] = Field(description="ids")
    network_interfaces: int = Field(description="how many it has")
    disks: list[str] = Field(description="such as `100 GiB gp2, not encrypted`, the root disk first")


class AdoptResult(CommandResult):
    """The machines that exist already, and the pio-tf.hcl for them."""

    ROWS = "machines"
    COLUMNS: ClassVar[Columns] = {
        "NAME": "name",
        "ID": "instance_id",
        "TYPE": "instance_type",
        "STATE": "state",
        "PRIVATE IP": "private_ip",
        "ZONE": "zone",
        "TAG NAME": "label",
    }
    SPARE: ClassVar[Sequence[str]] = ("ZONE", "PRIVATE IP")

    file: Path
    written: bool = Field(description="false with `--dry-run`")
    cluster: str
    machines: list[AdoptedMachine]
    role_arn: str | None = Field(
        description="the role that stops the machines at their deadline; null: none, or Terraform makes it"
    )
    changes: list[ResourceChange] | None = Field(
        description="the changes that `apply` would make; null with `--power-only`"
    )


class ValidateResult(CommandResult):
    """A pio-tf.hcl without mistakes."""

    file: Path
    cluster: str
    machines: list[str] = Field(description="names of the machines that it describes")
    warnings: list[str] = Field(description="what a plan would warn about, and values that are still examples")

    def closing(self) -> str:
        return f"{self.file} is valid: {self.cluster} with {count(self.machines)}"


class GenerateResult(CommandResult):
    """The stack, or the Packer template, that was written."""

    directory: Path


class PlanResult(CommandResult):
    """The changes that `apply` would make."""

    ROWS = "changes"
    COLUMNS: ClassVar[Columns] = {
        "ACTION": lambda change: "+".join(change.actions),
        "RESOURCE": "address",
        "BECAUSE": "reasons",
    }
    OUTPUTS: ClassVar[Outputs] = _HAS_CHANGES

    has_changes: bool
    changes: list[ResourceChange]
    directory: Path | None = Field(description="where the plan was saved")
    counts: dict[str, int] = Field(exclude=True)

    @classmethod
    def of(cls, plan: Plan, directory: Path | None = None, **more: object) -> Self:
        """Return the result of ``plan``.

        Args:
            directory: where the plan was saved.
            more: fields that a kind of plan has besides.
        """
        names = ("has_changes", "changes", "counts")
        return cls.model_validate({**{name: getattr(plan, name) for name in names}, "directory": directory, **more})

    def closing(self) -> str:
        counts = ", ".join(f"{number} to {word}" for word, number in self.counts.items() if number)
        saved = f"\nsaved in {self.directory}; to apply it: pio-tf apply {self.directory}" if self.directory else ""
        return (counts if self.has_changes else "no changes: the cluster is as pio-tf.hcl describes it") + saved

    def markdown(self) -> str:
        return (self.directory / SUMMARY).read_text(encoding="utf-8") if self.directory else ""


class ReviewedResult(PlanResult):
    """The plan to apply for a merge."""

    OUTPUTS: ClassVar[Outputs] = {
        "reviewed": (lambda plan: plan.pull is not None, "`true`: the plan of the pull request; `false`: a new one"),
        **_HAS_CHANGES,
    }

    pull: int | None = Field(description="the pull request on which it was reviewed; null: the plan is new")

    def markdown(self) -> str:
        origin = f"The plan of pull request #{self.pull}, as it was reviewed." if self.pull else _NEW
        return f"{origin}\n\n{super().markdown()}"


_NEW = "**A new plan, not yet reviewed.** The job's log says why it is not the plan of the pull request."


class DriftResult(CommandResult):
    """The changes that were made outside Terraform."""

    OUTPUTS: ClassVar[Outputs] = {"drift": ("drift", "`true` or `false`")}

    drift: bool
    resources: list[Drift]

    @classmethod
    def of(cls, found: Sequence[Drift]) -> DriftResult:
        """Return the result of ``drift``."""
        return cls.model_validate({"drift": bool(found), "resources": found})

    def table(self) -> Table:
        rows = []
        for one in self.resources:
            what = one.machine or one.address
            rows += [(what, "changed", d.name, _brief(d.before), _brief(d.after)) for d in one.differences]
            if one.change == "gone":
                rows.append((what, "gone", "", "", ""))
        return Table(("WHAT", "IS", "ARGUMENT", "TERRAFORM LEFT", "AWS HAS"), rows)

    def closing(self) -> str:
        return "" if self.drift else "no drift: AWS is as Terraform left it"


class DestroyResult(CommandResult):
    """The cluster that was removed."""

    cluster: str
    destroyed: Literal[True] = True


def _brief(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
