"""Results of the library -> rows for people and data for programs."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pio_tf.cli.output import Rows
from pio_tf.infra.artifact import SUMMARY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pio_tf.cli.schemas.machines import ExtendResult, MachineData, MachinesResult, StatusMachineData, StatusResult
    from pio_tf.cli.schemas.runs import LogLine, ProofData, RunResult, RunsResult
    from pio_tf.cli.schemas.sandbox import SandboxData, SandboxMachineData, SandboxResult, SandboxStopResult
    from pio_tf.cli.schemas.software import FileData, FilesResult, PushResult, PutData
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
    from pio_tf.cluster import ClusterStatus, Extended
    from pio_tf.infra.drift import Drift
    from pio_tf.infra.outputs import Outputs
    from pio_tf.infra.plan import Plan
    from pio_tf.machines.model import Machine
    from pio_tf.pio.files import RemoteFile
    from pio_tf.remote.files import Put
    from pio_tf.sandbox.control import SandboxStatus
    from pio_tf.sandbox.layout import SandboxInfo
    from pio_tf.training.runs.record import RunRecord

_LONGEST_VALUE = 80
_MACHINE_COLUMNS = ("ROLE", "NAME", "ID", "TYPE", "STATE", "PRIVATE IP", "PUBLIC IP", "SINCE")


def machine_rows(machines: Sequence[Machine], *, deadline: datetime | None = None) -> Rows:
    """The machines after ``up`` or ``down``."""
    data: MachinesResult = {
        "version": 1,
        "machines": [_machine_data(machine) for machine in machines],
        "deadline": _iso(deadline),
    }
    return Rows(
        columns=_MACHINE_COLUMNS,
        rows=tuple(_machine_row(machine) for machine in machines),
        data=data,
        outputs={"state": _power(machines), "deadline": _iso(deadline) or ""},
        closing=_until(deadline) if deadline else "",
    )


def extended_rows(extended: Extended) -> Rows:
    """``pio-tf extend``."""
    data: ExtendResult = {
        "version": 1,
        "before": _iso(extended.before),
        "deadline": extended.deadline.isoformat(),
    }
    before = f" (before: {extended.before:%Y-%m-%d %H:%M} UTC)" if extended.before else " (there was no deadline)"
    return Rows(
        (), (), data, outputs={"deadline": extended.deadline.isoformat()}, closing=_until(extended.deadline) + before
    )


def status_rows(status: ClusterStatus) -> Rows:
    """``pio-tf status``: the machines, and which workers Spark has."""
    rows = []
    machines: list[StatusMachineData] = []
    for machine in status.machines:
        alive = status.spark_alive(machine)
        rows.append((*_machine_row(machine), {True: "alive", False: "no", None: "-"}[alive]))
        machines.append({**_machine_data(machine), "spark_alive": alive})
    data: StatusResult = {
        "version": 1,
        "cluster": status.cluster,
        "created": status.created,
        "machines": machines,
        "run": status.run or None,
        "deadline": _iso(status.deadline),
    }
    if rows:
        closing = "\n".join(
            filter(
                None,
                (
                    f"run {status.run} is active" if status.run else "",
                    _until(status.deadline) if status.deadline else _no_deadline(status.machines),
                ),
            )
        )
    else:
        closing = f"{status.cluster} has no machines: pio-tf up creates them"
    return Rows(
        columns=(*_MACHINE_COLUMNS, "SPARK"),
        rows=tuple(rows),
        data=data,
        outputs={"state": _power(status.machines), "run": status.run, "deadline": _iso(status.deadline) or ""},
        closing=closing,
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


def generate_rows(directory: Path) -> Rows:
    """``pio-tf generate``, which has said the rest."""
    data: GenerateResult = {"version": 1, "directory": str(directory)}
    return Rows((), (), data)


def destroy_rows(cluster: str) -> Rows:
    """``pio-tf destroy``, which has said the rest."""
    data: DestroyResult = {"version": 1, "cluster": cluster, "destroyed": True}
    return Rows((), (), data)


def init_rows(file: Path, cluster: str, bucket: str | None = None) -> Rows:
    """``pio-tf init``, which has said the rest."""
    data: InitResult = {"version": 1, "file": str(file), "cluster": cluster, "bucket": bucket}
    return Rows((), (), data)


def file_rows(files: Sequence[RemoteFile]) -> Rows:
    """``pio-tf config show``, for programs."""
    shown: list[FileData] = [{"name": one.name, "path": one.path, "content": one.content} for one in files]
    data: FilesResult = {"version": 1, "files": shown}
    return Rows((), (), data)


def put_rows(files: Sequence[Put]) -> Rows:
    """``pio-tf config push``."""
    put: list[PutData] = [
        {"name": one.name, "path": one.path, "changed": one.changed, "kept": one.kept or None} for one in files
    ]
    data: PushResult = {"version": 1, "files": put}
    return Rows(
        columns=("FILE", "IS", "PATH"),
        rows=tuple((one.name, "written" if one.changed else "as it was", one.path) for one in files),
        data=data,
    )


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


def run_rows(record: RunRecord) -> Rows:
    """One run: ``pio-tf train`` and ``pio-tf cancel``."""
    proofs = [
        (str(proof["name"]), {True: "yes", False: "no", None: "-"}[proof["held"]], str(proof["detail"]))  # type: ignore[index]
        for proof in record.proofs
    ]
    took = f" after {_duration(record.seconds)}" if record.seconds is not None else ""
    without = f", without {', '.join(record.absent)}: AWS had no capacity for more workers" if record.absent else ""
    return Rows(
        columns=("PROOF", "HOLDS", "FOUND") if proofs else (),
        rows=tuple(proofs),
        data=_run_data(record),
        closing=f"run {record.id}: {record.state}{took}{without}",
        outputs={"run": record.id, "state": record.state, "model": record.model},
    )


def runs_rows(records: Sequence[RunRecord]) -> Rows:
    """``pio-tf runs``."""
    data: RunsResult = {"version": 1, "runs": [_run_data(record) for record in records]}
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
        data=data,
        closing="" if records else "no runs yet: pio-tf train",
    )


def log_line(line: str) -> LogLine:
    """``pio-tf logs``, for programs."""
    return {"version": 1, "line": line}


def sandbox_rows(status: SandboxStatus) -> Rows:
    """``pio-tf sandbox status``."""
    info = status.info
    machines: list[SandboxMachineData] = [
        {
            "cluster": m.cluster,
            "name": m.name,
            "role": m.role,
            "instance_id": m.instance_id,
            "state": m.state,
            "address": m.address,
            "power": m.power,
            "error": m.error,
        }
        for m in status.machines
    ]
    data: SandboxResult = {
        "version": 1,
        "state": status.state,
        "info": _sandbox_data(info) if info else None,
        "machines": machines,
    }
    return Rows(
        columns=("CLUSTER", "NAME", "ID", "STATE", "ADDRESS"),
        rows=tuple((m.cluster, m.name, m.instance_id, m.state, m.address) for m in status.machines),
        data=data,
        closing=f"running at {info.url}, process {info.pid}, files in {info.directory}" if info else "not running",
    )


def sandbox_stop_rows(*, stopped: bool) -> Rows:
    """``pio-tf sandbox stop``, which has said the rest."""
    data: SandboxStopResult = {"version": 1, "stopped": stopped}
    return Rows((), (), data)


def _sandbox_data(info: SandboxInfo) -> SandboxData:
    services = info.services
    return {
        "url": info.url,
        "pid": info.pid,
        "directory": str(info.directory),
        "region": info.region,
        "profile": info.profile,
        "credentials_file": str(info.credentials_file),
        "cli_config_file": str(info.cli_config_file),
        "ssh_port": info.ssh_port,
        "ssh_user": info.ssh_user,
        "services": {
            "host": services.host,
            "elasticsearch": services.elasticsearch,
            "zookeeper": services.zookeeper,
            "namenode": services.namenode,
        },
        "log_file": str(info.log_file),
    }


def _plan_closing(plan: Plan) -> str:
    if not plan.has_changes:
        return "no changes: what is there is what pio-tf.hcl asks for"
    counts = plan.counts
    return ", ".join(f"{number} to {word}" for word, number in counts.items() if number)


def _brief(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _run_data(record: RunRecord) -> RunResult:
    client = record.client
    return {
        "version": 1,
        "id": record.id,
        "cluster": record.cluster,
        "client": {"owner": client.owner, "host": client.host, "pid": client.pid, "since": client.since},
        "command": record.command,
        "engine_dir": record.engine_dir,
        "machines": list(record.machines),
        "absent": list(record.absent),
        "pio_tf": record.pio_tf,
        "state": record.state,
        "started": record.started,
        "ended": record.ended,
        "seconds": record.seconds,
        "exit_status": record.exit_status,
        "cancelled_by": record.cancelled_by,
        "cause": record.cause,
        "model": record.model,
        "proofs": [_proof_data(proof) for proof in record.proofs],
        "ui_port": record.ui_port,
        "log_bytes": record.log_bytes,
        "deadline": record.deadline or None,
    }


def _proof_data(proof: Mapping[str, Any]) -> ProofData:
    return {"name": proof["name"], "held": proof["held"], "detail": proof["detail"]}


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
        machine.name + (" (Spot)" if machine.spot else "") + ("" if machine.in_outputs else " (not in the state)"),
        machine.instance_id,
        machine.instance_type,
        machine.state,
        machine.private_ip or "-",
        machine.public_ip or "-",
        _ago(machine.since),
    )


def _machine_data(machine: Machine) -> MachineData:
    return {
        "name": machine.name,
        "role": machine.role,
        "instance_id": machine.instance_id,
        "instance_type": machine.instance_type,
        "state": machine.state,
        "private_ip": machine.private_ip,
        "public_ip": machine.public_ip,
        "since": machine.since.isoformat() if machine.since else None,
        "spot": machine.spot,
        "in_outputs": machine.in_outputs,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _until(deadline: datetime) -> str:
    left = (deadline - datetime.now(tz=timezone.utc)).total_seconds()
    return f"AWS stops the machines at {deadline:%Y-%m-%d %H:%M} UTC, " + (
        f"in {_duration(left)}" if left > 0 else "which has passed"
    )


def _no_deadline(machines: Sequence[Machine]) -> str:
    awake = any(machine.state in ("pending", "running") for machine in machines)
    return "machines run without a deadline: `pio-tf extend 2h` sets one" if awake else ""


def _power(machines: Sequence[Machine]) -> str:
    """The state of all of them, in one word."""
    states = {machine.state for machine in machines}
    return "none" if not states else states.pop() if len(states) == 1 else "mixed"


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
