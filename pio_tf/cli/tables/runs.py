"""Runs and their logs."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pio_tf.cli.output import Rows
from pio_tf.durations import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.cli.schemas.runs import LogLine, ProofData, RunResult, RunsResult
    from pio_tf.training.runs.record import RunRecord


def run_rows(record: RunRecord) -> Rows:
    """One run: ``pio-tf train`` and ``pio-tf cancel``."""
    proofs = [
        (str(proof["name"]), {True: "yes", False: "no", None: "-"}[proof["held"]], str(proof["detail"]))  # type: ignore[index]
        for proof in record.proofs
    ]
    took = f" after {duration(record.seconds)}" if record.seconds is not None else ""
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
                "-" if record.seconds is None else duration(record.seconds),
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
