"""Copies of runs on this computer, which outlast the power of the machines.

``.pio-tf/CLUSTER/runs/ID/`` holds ``log``, the same bytes as the driver's, and ``record.json``. Both have mode 0600: a
log is private even without its secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError
from pio_tf.training.runs.record import ENDED, RunRecord, is_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config


@dataclass(frozen=True)
class Archive:
    """The copies of one cluster's runs."""

    directory: Path

    @classmethod
    def of(cls, config: Config) -> Archive:
        """Return the archive beside pio-tf.hcl."""
        return cls(config.work_dir / "runs")

    def log(self, run: str) -> Path:
        """Return the path of a run's log."""
        return self.directory / run / "log"

    def save(self, record: RunRecord) -> Path:
        """Write a record, completely or not at all; return its path."""
        path = self.directory / record.id / "record.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, record.to_json() + "\n")
        return path

    def load(self, run: str) -> RunRecord | None:
        """Return a run's record; None if there is none, or it is not readable."""
        try:
            return RunRecord.from_json((self.directory / run / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def records(self) -> tuple[RunRecord, ...]:
        """Return every record, oldest first."""
        try:
            names = sorted(entry.name for entry in self.directory.iterdir() if is_run_id(entry.name))
        except OSError:
            return ()
        return tuple(record for record in map(self.load, names) if record is not None)


def merge_records(
    archive: Archive, on_driver: Mapping[str, RunRecord] | None, shared: Iterable[RunRecord] = ()
) -> tuple[RunRecord, ...]:
    """Return the runs of the driver, of this computer and of all clients, oldest first.

    Args:
        on_driver: the driver's runs by id; None if the driver is unreachable.
        shared: runs in the state bucket.
    """
    known = {record.id: record for record in archive.records()}
    known.update((record.id, record) for record in shared if record.id not in known or record.state in ENDED)
    for record in known.values():
        if record.state not in ENDED:
            known[record.id] = record.with_(state="unknown" if on_driver is None else "lost")
    known.update(on_driver or {})
    return tuple(known[run] for run in sorted(known))


def find_run(wanted: str, known: Iterable[str]) -> str:
    """Return the one run whose id begins with ``wanted``; the latest if ``wanted`` is empty.

    Raises:
        ConfigError: no run, or more than one, matches.
    """
    ids = sorted(set(known))
    found = [run for run in ids if run.startswith(wanted)]
    if not ids:
        raise ConfigError("there is no run yet", next_step="pio-tf train")
    if wanted and len(found) > 1 and wanted not in found:
        raise ConfigError(
            f"{len(found)} runs begin with {wanted!r}", next_step=f"give more of the id: {', '.join(found[-5:])}"
        )
    if not found:
        raise ConfigError(
            f"there is no run {wanted!r}",
            cause=f"the latest are {', '.join(ids[-3:])}",
            next_step="run `pio-tf runs` to list them; it shows other clients' runs while the driver is running",
        )
    return wanted if wanted in found else found[-1]
