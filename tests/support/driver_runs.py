"""Runs of any command for tests, on a driver that is an SSH server of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.events import Reporter, line_by_line, silent
from pio_tf.training.proof import Before, Proof, Traces, prove
from pio_tf.training.redact import Redactor
from pio_tf.training.run import RunFollower, start_run
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.record import Client, RunRecord, new_run_id
from pio_tf.training.runs.run_copies import Archive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.training.custody.custodian import Custodian
    from pio_tf.training.runs.run_copies import RunBucket, Upload

ANN = Client("ann", "laptop", 17, "2026-11-23T18:00:00Z")
SUCCESS = "echo '[INFO] [CoreWorkflow$] Training completed successfully.'"


def make_finish(
    remote: ClusterConnection,
    directory: Path,
    reporter: Reporter = silent,
    *,
    proofs: tuple[Proof, ...] = (),
    upload: Upload | None = None,
    shared: RunBucket | None = None,
    tells: bool = False,
    custodian: Custodian | None = None,
) -> RunFollower:
    """Return a follower of runs that keeps them under ``directory``; ``proofs`` stands for Elasticsearch's answers."""

    async def prove_it(record: RunRecord, success_line_seen: bool) -> tuple[Proof, ...]:
        own = await prove(
            None,
            Traces("", ""),
            Before(),
            started=0,
            exit_status=record.exit_status,
            success_line_seen=success_line_seen,
        )
        return (*own, *proofs)

    async def power_is_on() -> bool:
        return True

    archive = Archive(directory / "runs")
    return RunFollower(
        remote=remote,
        archive=archive,
        prove=prove_it,
        custodian=custodian,
        power_is_on=power_is_on,
        upload=lambda _record: upload,
        shared=shared,
        report=line_by_line(reporter),
        tells=tells,
    )


async def started(
    remote: ClusterConnection,
    directory: Path,
    command: str,
    *,
    secrets: tuple[str, ...] = (),
    facts: Mapping[str, Any] | None = None,
) -> RunRecord:
    """Start a run; ``facts``: more values of its record."""
    record = RunRecord(
        id=new_run_id(), cluster="ur", client=ANN, command=command, engine_dir="/engine", **(facts or {})
    )
    async with hold_driver_lock(remote, ANN, doing="preparing", run=record.id) as lock:
        return await start_run(
            remote,
            lock,
            record,
            command=command,
            redactor=Redactor(secrets),
            archive=Archive(directory / "runs"),
        )
