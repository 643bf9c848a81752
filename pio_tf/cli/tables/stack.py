"""The stack, from ``init`` to ``destroy``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pio_tf.cli.output import Rows
from pio_tf.infra.saved_plan import SUMMARY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pio_tf.cli.schemas.stack import (
        ChangeData,
        DestroyResult,
        DriftData,
        DriftResult,
        GenerateResult,
        InitResult,
        OutputResult,
        PlanResult,
    )
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.plan import Plan
    from pio_tf.model import Outputs

_LONGEST_VALUE = 80


def init_rows(file: Path, cluster: str, bucket: str | None = None) -> Rows:
    """``pio-tf init``, which has said the rest."""
    data: InitResult = {"version": 1, "file": str(file), "cluster": cluster, "bucket": bucket}
    return Rows((), (), data)


def generate_rows(directory: Path) -> Rows:
    """``pio-tf generate``, which has said the rest."""
    data: GenerateResult = {"version": 1, "directory": str(directory)}
    return Rows((), (), data)


def plan_rows(plan: Plan, kept: Path | None = None) -> Rows:
    """``pio-tf plan``: one row a change.

    Args:
        kept: the directory that it was written to.
    """
    changes: list[ChangeData] = [
        {
            "address": c.address,
            "type": c.type,
            "actions": list(c.actions),
            "reasons": list(c.reasons),
            "machine": c.machine,
        }
        for c in plan.changes
    ]
    data: PlanResult = {
        "version": 1,
        "has_changes": plan.has_changes,
        "changes": changes,
        "directory": str(kept) if kept else None,
    }
    return Rows(
        columns=("ACTION", "RESOURCE", "BECAUSE"),
        rows=tuple(("+".join(c.actions), c.address, ", ".join(c.reasons)) for c in plan.changes),
        data=data,
        outputs={"has-changes": plan.has_changes},
        closing=_plan_closing(plan) + (f"\nkept in {kept}; to apply it: pio-tf apply {kept}" if kept else ""),
        markdown=(kept / SUMMARY).read_text(encoding="utf-8") if kept else "",
    )


def output_rows(outputs: Outputs) -> Rows:
    """``pio-tf output`` and ``pio-tf apply``."""
    data: OutputResult = {
        "version": 1,
        "cluster": outputs.cluster,
        "region": outputs.region,
        "machines": [
            {
                "name": m.name,
                "role": m.role,
                "instance_id": m.instance_id,
                "private_ip": m.private_ip,
                "eip": m.eip,
            }
            for m in outputs.machines
        ],
    }
    return Rows(
        columns=("ROLE", "NAME", "ID", "PRIVATE IP", "ELASTIC IP"),
        rows=tuple((m.role, m.name, m.instance_id, m.private_ip, m.eip or "-") for m in outputs.machines),
        data=data,
    )


def drift_rows(found: Sequence[Drift]) -> Rows:
    """``pio-tf drift``: one row for each argument that differs."""
    rows = []
    for one in found:
        what = one.machine or one.address
        rows += [(what, "changed", d.name, _brief(d.before), _brief(d.after)) for d in one.differences]
        if one.change == "gone":
            rows.append((what, "gone", "", "", ""))
    resources: list[DriftData] = [
        {
            "address": one.address,
            "type": one.type,
            "machine": one.machine,
            "change": one.change,
            "differences": [{"name": d.name, "before": d.before, "after": d.after} for d in one.differences],
        }
        for one in found
    ]
    data: DriftResult = {"version": 1, "drift": bool(found), "resources": resources}
    return Rows(
        columns=("WHAT", "IS", "ARGUMENT", "TERRAFORM LEFT", "AWS HAS"),
        rows=tuple(rows),
        data=data,
        outputs={"drift": bool(found)},
        closing="" if found else "no drift: AWS has what Terraform left there",
    )


def destroy_rows(cluster: str) -> Rows:
    """``pio-tf destroy``, which has said the rest."""
    data: DestroyResult = {"version": 1, "cluster": cluster, "destroyed": True}
    return Rows((), (), data)


def _plan_closing(plan: Plan) -> str:
    if not plan.has_changes:
        return "no changes: what is there is what pio-tf.hcl asks for"
    counts = plan.counts
    return ", ".join(f"{number} to {word}" for word, number in counts.items() if number)


def _brief(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
