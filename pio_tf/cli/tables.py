"""Results of the library -> rows for people and data for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pio_tf.cli.output import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pio_tf.cluster import ClusterStatus
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.outputs import Outputs
    from pio_tf.infra.plan import Plan
    from pio_tf.machines.model import Machine
    from pio_tf.sandbox.control import SandboxStatus
    from pio_tf.training.runs.record import RunRecord

_LONGEST_VALUE = 80
_MACHINE_COLUMNS = ("ROLE", "NAME", "ID", "TYPE", "STATE", "PRIVATE IP", "PUBLIC IP", "SINCE")


def machine_rows(machines: Sequence[Machine]) -> Rows:
    """The machines after ``up`` or ``down``."""
    return Rows(
        columns=_MACHINE_COLUMNS,
        rows=tuple(_machine_row(machine) for machine in machines),
        data={"version": 1, "machines": [_machine_data(machine) for machine in machines]},
    )


def status_rows(status: ClusterStatus) -> Rows:
    """``pio-tf status``: the machines, and which workers Spark has."""
    rows = []
    data = []
    for machine in status.machines:
        alive = status.spark_alive(machine)
        rows.append((*_machine_row(machine), {True: "alive", False: "no", None: "-"}[alive]))
        data.append({**_machine_data(machine), "spark_alive": alive})
    return Rows(
        columns=(*_MACHINE_COLUMNS, "SPARK"),
        rows=tuple(rows),
        data={
            "version": 1,
            "cluster": status.cluster,
            "created": status.created,
            "machines": data,
            "run": status.run or None,
        },
        closing=(f"run {status.run} is active" if status.run else "")
        if rows
        else f"{status.cluster} has no machines: pio-tf up creates them",
    )


def output_rows(outputs: Outputs) -> Rows:
    """``pio-tf output``."""
    return Rows(
        columns=("ROLE", "NAME", "ID", "PRIVATE IP", "ELASTIC IP"),
        rows=tuple((m.role, m.name, m.instance_id, m.private_ip, m.eip or "-") for m in outputs.machines),
        data={"version": 1, **asdict(outputs)},
    )


def plan_rows(plan: Plan, kept: Path | None = None) -> Rows:
    """``pio-tf plan``: one row a change.

    Args:
        kept: the directory that it was written to.
    """
    return Rows(
        columns=("ACTION", "RESOURCE", "BECAUSE"),
        rows=tuple(("+".join(c.actions), c.address, ", ".join(c.reasons)) for c in plan.changes),
        data={
            "version": 1,
            "has_changes": plan.has_changes,
            "changes": [asdict(c) for c in plan.changes],
            "directory": str(kept) if kept else None,
        },
        closing=_plan_closing(plan) + (f"\nkept in {kept}; to apply it: pio-tf apply {kept}" if kept else ""),
    )


def drift_rows(found: Sequence[Drift]) -> Rows:
    """``pio-tf drift``: one row for each argument that differs."""
    rows = []
    for one in found:
        what = one.machine or one.address
        rows += [(what, "changed", d.name, _brief(d.before), _brief(d.after)) for d in one.differences]
        if one.change == "gone":
            rows.append((what, "gone", "", "", ""))
    return Rows(
        columns=("WHAT", "IS", "ARGUMENT", "TERRAFORM LEFT", "AWS HAS"),
        rows=tuple(rows),
        data={"version": 1, "drift": bool(found), "resources": [asdict(one) for one in found]},
        closing="" if found else "no drift: AWS has what Terraform left there",
    )


def run_rows(record: RunRecord) -> Rows:
    """One run: ``pio-tf train`` and ``pio-tf cancel``."""
    proofs = [
        (str(proof["name"]), {True: "yes", False: "no", None: "-"}[proof["held"]], str(proof["detail"]))  # type: ignore[index]
        for proof in record.proofs
    ]
    took = f" after {_duration(record.seconds)}" if record.seconds is not None else ""
    return Rows(
        columns=("PROOF", "HOLDS", "FOUND") if proofs else (),
        rows=tuple(proofs),
        data=_run_data(record),
        closing=f"run {record.id}: {record.state}{took}",
    )


def runs_rows(records: Sequence[RunRecord]) -> Rows:
    """``pio-tf runs``."""
    return Rows(
        columns=("RUN", "STARTED", "DURATION", "STATE", "EXIT", "MACHINES", "MODEL"),
        rows=tuple(
            (
                record.id,
                _time(record.started),
                "-" if record.seconds is None else _duration(record.seconds),
                record.state,
                "-" if record.exit_status is None else str(record.exit_status),
                _machine_types(record.machines),
                record.model or "-",
            )
            for record in records
        ),
        data={"version": 1, "runs": [_run_data(record) for record in records]},
        closing="" if records else "no runs yet: pio-tf train",
    )


def sandbox_rows(status: SandboxStatus) -> Rows:
    """``pio-tf sandbox status``."""
    info = status.info
    return Rows(
        columns=("CLUSTER", "NAME", "ID", "STATE", "ADDRESS"),
        rows=tuple((m.cluster, m.name, m.instance_id, m.state, m.address) for m in status.machines),
        data={"version": 1, **asdict(status)},
        closing=f"running at {info.url}, process {info.pid}, files in {info.directory}" if info else "not running",
    )


def _plan_closing(plan: Plan) -> str:
    if not plan.has_changes:
        return "no changes: what is there is what pio-tf.hcl asks for"
    counts = plan.counts
    return ", ".join(f"{number} to {word}" for word, number in counts.items() if number)


def _brief(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _run_data(record: RunRecord) -> dict[str, Any]:
    known = asdict(record)
    del known["traces"], known["before"]
    return {"version": 1, **known, "seconds": record.seconds}


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _machine_types(machines: Sequence[str]) -> str:
    """``driver r3.xlarge i-1``, ``worker-1 r3.xlarge i-2`` … -> ``2 r3.xlarge``."""
    counts = Counter(machine.split(" ")[1] for machine in machines)
    return ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "-"


def _machine_row(machine: Machine) -> tuple[str, ...]:
    return (
        machine.role,
        machine.name if machine.in_outputs else f"{machine.name} (not in the state)",
        machine.instance_id,
        machine.instance_type,
        machine.state,
        machine.private_ip or "-",
        machine.public_ip or "-",
        _ago(machine.since),
    )


def _machine_data(machine: Machine) -> dict[str, Any]:
    return {**asdict(machine), "since": machine.since.isoformat() if machine.since else None}


def _ago(since: datetime | None) -> str:
    if since is None:
        return "-"
    seconds = max(0, (datetime.now(tz=timezone.utc) - since).total_seconds())
    return f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or f"{seconds:.0f} s"
