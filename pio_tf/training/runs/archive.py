"""The client's own copies of runs: their logs and records outlast the power of the machines.

``.pio-tf/CLUSTER/runs/ID/`` holds ``log``, which is the driver's byte by byte, and ``record.json``. Files are 0600: a
log may name what is nobody else's business, though secrets are hidden in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError
from pio_tf.training.runs.record import RunRecord, is_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pio_tf.config.schema import Config


class Archive:
    """The copies of one cluster's runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, config: Config) -> Archive:
        """Beside pio-tf.hcl."""
        return cls(config.work_dir / "runs")

    def log(self, run: str) -> Path:
        """Where a run's log is kept."""
        return self.directory / run / "log"

    def save(self, record: RunRecord) -> Path:
        """Write a record, whole or not at all. Its path."""
        path = self.directory / record.id / "record.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, record.to_json() + "\n")
        return path

    def load(self, run: str) -> RunRecord | None:
        """A run's record; None where there is none that can be read."""
        try:
            return RunRecord.from_json((self.directory / run / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def records(self) -> tuple[RunRecord, ...]:
        """Every record, oldest first."""
        try:
            names = sorted(entry.name for entry in self.directory.iterdir() if is_run_id(entry.name))
        except OSError:
            return ()
        return tuple(record for record in map(self.load, names) if record is not None)


class LogCopy:
    """A run's log on this computer, which grows by what the driver sends.

    It is written by position, not at its end: two clients that follow the same run from one directory write the same
    bytes to the same places.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.size = 0
        """Bytes that have been read from it or written to it so far, from its beginning."""

    def __enter__(self) -> LogCopy:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._handle)

    def read(self) -> bytes:
        """What comes next of an earlier copy; b"" at its end."""
        data = os.pread(self._handle, 1 << 18, self.size)
        self.size += len(data)
        return data

    def write(self, data: bytes) -> None:
        """Add what comes next."""
        os.pwrite(self._handle, data, self.size)
        self.size += len(data)


def find_run(wanted: str, known: Iterable[str]) -> str:
    """The run that is meant: by its id or the beginning of it; "" is the latest.

    Raises:
        ConfigError: there is none, or more than one.
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
            next_step="`pio-tf runs` lists them; those of other clients while the driver runs",
        )
    return wanted if wanted in found else found[-1]
