"""The Terraform stack, from ``init`` to ``destroy``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pio_tf.cli.results.base import CommandResult, ResultData, Table
from pio_tf.infra.saved_plan import SUMMARY
from pio_tf.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan

_LONGEST_VALUE = 80
_HAS_CHANGES = {"has-changes": "`true` or `false`"}


class InitResult(CommandResult):
    """The pio-tf.hcl that was written; with `--backend` it may be an older one."""

    file: Path
    cluster: str
    bucket: str | None = Field(description="the bucket of the state; null without `--backend`")


class GenerateResult(CommandResult):
    """The stack, or the Packer template, that was written."""

    directory: Path


class ChangeData(ResultData):
    """The change of one resource."""

    address: str
    type: str
    actions: list[str] = Field(description="Terraform's words: `create`, `update`, `delete`, …")
    reasons: list[str] = Field(description="arguments that change")
    machine: str = Field(description="the name of the machine, if the resource is one; else empty")


class PlanResult(CommandResult):
    """What `apply` would do."""

    OUTPUTS: ClassVar = _HAS_CHANGES

    has_changes: bool
    changes: list[ChangeData]
    directory: Path | None = Field(description="where the plan was saved")
    counts: dict[str, int] = Field(exclude=True)

    @classmethod
    def of(cls, plan: Plan, directory: Path | None = None) -> PlanResult:
        """Return the result of ``plan``.

        Args:
            directory: where the plan was saved.
        """
        return cls.model_validate(_fields(plan, directory))

    def table(self) -> Table:
        rows = [("+".join(one.actions), one.address, ", ".join(one.reasons)) for one in self.changes]
        return Table(("ACTION", "RESOURCE", "BECAUSE"), rows)

    def closing(self) -> str:
        counts = ", ".join(f"{number} to {word}" for word, number in self.counts.items() if number)
        saved = f"\nkept in {self.directory}; to apply it: pio-tf apply {self.directory}" if self.directory else ""
        return (counts if self.has_changes else "no changes: what is there is what pio-tf.hcl asks for") + saved

    def outputs(self) -> dict[str, object]:
        return {"has-changes": self.has_changes}

    def markdown(self) -> str:
        return (self.directory / SUMMARY).read_text(encoding="utf-8") if self.directory else ""


class ReviewedResult(PlanResult):
    """The plan to apply for a merge."""

    OUTPUTS: ClassVar = {"reviewed": "`true`: the plan of the pull request; `false`: a new one", **_HAS_CHANGES}

    pull: int | None = Field(description="the pull request on which it was reviewed; null: the plan is new")

    @classmethod
    def of_pull(cls, pull: int | None, plan: Plan, directory: Path) -> ReviewedResult:
        """Return the result of ``ci reviewed``."""
        return cls.model_validate({**_fields(plan, directory), "pull": pull})

    def outputs(self) -> dict[str, object]:
        return {**super().outputs(), "reviewed": self.pull is not None}

    def markdown(self) -> str:
        origin = f"The plan of pull request #{self.pull}, as it was reviewed." if self.pull else _NEW
        return f"{origin}\n\n{super().markdown()}"


_NEW = "**A new plan, which nobody has reviewed.** The job's log says why it is not the one of the pull request."


class OutputMachineData(ResultData):
    """A machine, as Terraform created it."""

    name: str
    role: Role
    instance_id: str
    private_ip: str
    eip: str | None = Field(description="its Elastic IP")


class OutputResult(CommandResult):
    """Terraform's outputs."""

    cluster: str
    region: str
    machines: list[OutputMachineData]

    def table(self) -> Table:
        rows = [(one.role, one.name, one.instance_id, one.private_ip, one.eip or "-") for one in self.machines]
        return Table(("ROLE", "NAME", "ID", "PRIVATE IP", "ELASTIC IP"), rows)


class DifferenceData(ResultData):
    """An argument that differs."""

    name: str
    before: Any = Field(description="as Terraform left it")
    after: Any = Field(description="as AWS has it")


class DriftData(ResultData):
    """A resource that differs from what Terraform left."""

    address: str
    type: str
    machine: str = Field(description="the name of the machine, if the resource is one; else empty")
    change: Literal["changed", "gone"]
    differences: list[DifferenceData]


class DriftResult(CommandResult):
    """What was changed outside Terraform."""

    OUTPUTS: ClassVar = {"drift": "`true` or `false`"}

    drift: bool
    resources: list[DriftData]

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
        return "" if self.drift else "no drift: AWS has what Terraform left there"

    def outputs(self) -> dict[str, object]:
        return {"drift": self.drift}


class DestroyResult(CommandResult):
    """The cluster that was removed."""

    cluster: str
    destroyed: Literal[True] = True


def _fields(plan: Plan, directory: Path | None) -> dict[str, object]:
    return {
        "has_changes": plan.has_changes,
        "changes": plan.changes,
        "directory": directory,
        "counts": plan.counts,
    }


def _brief(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
