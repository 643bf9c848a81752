"""Copies of runs besides the driver's: on this computer, in the bucket of the state, and at ``train.upload``.

``.pio-tf/CLUSTER/runs/ID/`` on this computer holds ``log``, the same bytes as the driver's, ``record.json``, and
``on_success.log``, the output of the commands after a success. They have mode 0600: a log is private even without its
secrets.

``PREFIX/runs/ID/`` beside the state holds ``record.json``, from the start of a run on, and the logs, once the run has
ended. The record of an ended run is written last: once it says "ended", the log is there. ``PREFIX/run.lock`` belongs
to :mod:`pio_tf.training.runs.bucket_lock`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.atomic_write import write_atomically
from pio_tf.aws.errors import aws_errors
from pio_tf.aws.objects import parse_s3_url
from pio_tf.errors import AwsError, ConfigError, PioTfError
from pio_tf.events import Reporter, Warned
from pio_tf.training.runs.record import ENDED, RunRecord, is_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pio_tf.aws.objects import Objects
    from pio_tf.config.schema import Config

_AT_ONCE = 10
_TEXT = "text/plain; charset=utf-8"
_KINDS = {"log": _TEXT, "on_success.log": _TEXT, "record.json": "application/json"}
"""Content types of a run's files, in the order in which they are written. Most runs have no on_success.log."""
# HeadBucket's refusals come without a body, so that AWS's own words are missing.
_REFUSALS: dict[object, tuple[str, str]] = {
    403: ("is not accessible", "allow s3:ListBucket on the bucket in the policy of pio-tf's user or role"),
    404: ("does not exist", "create the bucket, or correct train.upload (or --upload)"),
}


class Archive(Struct, frozen=True):
    """The copies of one cluster's runs."""

    directory: Path

    @classmethod
    def of(cls, config: Config) -> Archive:
        """Return the archive beside pio-tf.hcl."""
        return cls(config.work_dir / "runs")

    def log(self, run: str) -> Path:
        """Return the path of a run's log."""
        return self.directory / run / "log"

    def on_success_log(self, run: str) -> Path:
        """Return the path of the output of the commands after a success."""
        return self.directory / run / "on_success.log"

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


def _files(directory: Path) -> Iterator[tuple[str, str]]:
    """Return name and content type of each of a run's files that a directory holds."""
    return ((name, kind) for name, kind in _KINDS.items() if (directory / name).exists())


class RunBucket(Struct, frozen=True):
    """The runs of a cluster whose state is in S3. Every method raises AwsError if S3 refuses.

    Args:
        objects: the bucket.
        prefix: the cluster's prefix in it; ends with a slash, unless it is empty.
    """

    objects: Objects
    prefix: str

    @property
    def lock_key(self) -> str:
        """The object of the run lock."""
        return f"{self.prefix}run.lock"

    def url(self, key: str) -> str:
        """Return ``s3://bucket/key``."""
        return f"s3://{self.objects.bucket}/{key}"

    def begin(self, record: RunRecord) -> None:
        """Publish a run that has begun."""
        self.objects.write(self._key(record.id, "record.json"), f"{record.to_json()}\n".encode())

    def put(self, record: RunRecord, directory: Path) -> str:
        """Copy an ended run's logs and ``record.json`` from a directory; return their address."""
        for name, kind in _files(directory):
            self.objects.upload(self._key(record.id, name), directory / name, kind=kind)
        return self.url(self._key(record.id, ""))

    def has(self, run: str) -> bool:
        """Return whether that run has ever begun."""
        return is_run_id(run) and self.load(run) is not None

    def load(self, run: str) -> RunRecord | None:
        """Return a run's record; None if there is none, or it is not readable."""
        found = self.objects.read(self._key(run, "record.json"))
        try:
            return RunRecord.from_json(found.body.decode("utf-8", "replace")) if found else None
        except ValueError:
            return None

    def records(self) -> tuple[RunRecord, ...]:
        """Return every record, oldest first."""
        runs = [name for name in self.objects.directories(f"{self.prefix}runs/") if is_run_id(name)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return tuple(record for record in pool.map(self.load, runs) if record is not None)

    def fetch_log(self, run: str, path: Path) -> bool:
        """Copy the log of a path's name to this computer, completely or not at all; return False if there is none."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.objects.download(self._key(run, path.name), path)

    def _key(self, run: str, name: str) -> str:
        return f"{self.prefix}runs/{run}/{name}"


def shared_records(shared: RunBucket | None, reporter: Reporter) -> tuple[RunRecord, ...]:
    """Return the runs in the state bucket. If S3 refuses, warn and return none."""
    try:
        return shared.records() if shared is not None else ()
    except PioTfError as error:
        reporter(Warned(f"could not list the runs of other clients: {error}"))
        return ()


class Upload(Struct, frozen=True):
    """The address of ``train.upload``: log and record go to ``s3://BUCKET/PREFIX/CLUSTER/ID/``.

    Args:
        s3: botocore client.
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
    """

    s3: Any
    url: str

    def check(self) -> None:
        """Find a missing bucket or permission before a training costs money.

        Raises:
            ConfigError: the address is invalid.
            AwsError: the bucket does not exist, or is not accessible.
        """
        bucket, _ = self._place
        try:
            with aws_errors(f"{self.url}: looking at the bucket", service="s3"):
                self.s3.head_bucket(Bucket=bucket)
        except AwsError as error:
            status = error.details.get("http_status")
            if status not in _REFUSALS:
                raise
            what, next_step = _REFUSALS[status]
            raise AwsError(
                f"the bucket of {self.url} {what}",
                cause=f"AWS answered {status} to HeadBucket",
                next_step=next_step,
                details=error.details,
            ) from error

    def put(self, record: RunRecord, directory: Path) -> str:
        """Copy a run's logs and ``record.json`` there; return their address.

        Raises:
            AwsError: S3 refused.
        """
        bucket, prefix = self._place
        key = "/".join(part for part in (prefix, record.cluster, record.id) if part)
        with aws_errors(f"{self.url}: writing run {record.id}", service="s3"):
            for name, kind in _files(directory):
                with (directory / name).open("rb") as file:
                    self.s3.put_object(Bucket=bucket, Key=f"{key}/{name}", Body=file, ContentType=kind)
        return f"s3://{bucket}/{key}/"

    @property
    def _place(self) -> tuple[str, str]:
        return parse_s3_url(self.url, option="--upload: ", example="--upload s3://BUCKET/PREFIX")
