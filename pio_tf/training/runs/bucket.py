"""The runs of a cluster whose state is in S3: their records, logs and lock are beside it, for every client.

``PREFIX/runs/ID/`` holds ``record.json``, from the start of a run on, and ``log``, once it has ended. The record of an
ended run is written last: where it says so, the log is there. ``PREFIX/run.lock`` is told of in
:mod:`pio_tf.training.runs.claims`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.training.runs.record import RunRecord, is_run_id

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.aws.objects import Objects

_AT_ONCE = 10


@dataclass(frozen=True)
class RunBucket:
    """Where they are. All of it raises AwsError where S3 does not do it.

    Args:
        objects: the bucket.
        prefix: the cluster's place in it; ends with a slash, unless it is empty.
    """

    objects: Objects
    prefix: str

    @property
    def lock_key(self) -> str:
        """The object of the run lock."""
        return f"{self.prefix}run.lock"

    def url(self, key: str) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.objects.bucket}/{key}"

    def begin(self, record: RunRecord) -> None:
        """Let others know of a run that has begun."""
        self.objects.write(self._key(record.id, "record.json"), f"{record.to_json()}\n".encode())

    def put(self, record: RunRecord, directory: Path) -> str:
        """Keep a run that has ended: the ``log`` and the ``record.json`` of a directory. The address of both."""
        self.objects.upload(self._key(record.id, "log"), directory / "log", kind="text/plain; charset=utf-8")
        self.objects.upload(self._key(record.id, "record.json"), directory / "record.json", kind="application/json")
        return self.url(self._key(record.id, ""))

    def has(self, run: str) -> bool:
        """Whether that run has begun, ever."""
        return is_run_id(run) and self.load(run) is not None

    def load(self, run: str) -> RunRecord | None:
        """A run's record; None where there is none that can be read."""
        found = self.objects.read(self._key(run, "record.json"))
        try:
            return RunRecord.from_json(found.body.decode("utf-8", "replace")) if found else None
        except ValueError:
            return None

    def records(self) -> tuple[RunRecord, ...]:
        """Every record, oldest first."""
        runs = [name for name in self.objects.directories(f"{self.prefix}runs/") if is_run_id(name)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return tuple(record for record in pool.map(self.load, runs) if record is not None)

    def fetch_log(self, run: str, path: Path) -> bool:
        """Copy a run's log to this computer, whole or not at all. Return whether there is one."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.objects.download(self._key(run, "log"), path)

    def _key(self, run: str, name: str) -> str:
        return f"{self.prefix}runs/{run}/{name}"
