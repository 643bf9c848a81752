"""The copies of a cluster's runs besides its driver's: on this computer, in the bucket of the state, and as uploads."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.infra.backend.s3 import open_objects, s3_backend
from pio_tf.training.runs.record import ENDED
from pio_tf.training.runs.run_copies import Archive, RunBucket, Upload, find_run, merge_records, shared_records
from pio_tf.training.runs.run_log import read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pio_tf.context import ClusterContext
    from pio_tf.training.runs.bucket_lock import BucketLock, DriverReport
    from pio_tf.training.runs.record import RunRecord


class RunStorage:
    """The places for logs and records of one cluster's runs, and the run lock that all clients see.

    Args:
        report_driver: asks AWS and the driver for the holder of the driver's own lock.
    """

    def __init__(self, context: ClusterContext, *, report_driver: Callable[[], DriverReport]) -> None:
        self._context = context
        self._report_driver = report_driver
        self.archive = Archive.of(context.config)
        """The copies on this computer."""

    @cached_property
    def shared(self) -> RunBucket | None:
        """The place where every client finds the runs, if the state is in S3."""
        config, backend = self._context.config, s3_backend(self._context.config)
        return RunBucket(open_objects(config, backend), backend.prefix) if backend else None

    @cached_property
    def lock(self) -> BucketLock | None:
        """The run lock, if the state is in S3."""
        if self.shared is None:
            return None
        from pio_tf.training.runs.bucket_lock import BEFORE_THE_START, BucketLock

        starts_within = self._context.config.cluster.start_timeout + BEFORE_THE_START
        report = self._context.report
        return BucketLock(
            bucket=self.shared, report_driver=self._report_driver, starts_within=starts_within, report=report
        )

    def upload(self, url: str) -> Upload:
        """Return the uploader for ``s3://bucket/prefix``."""
        return Upload(self._context.aws.client("s3"), url)

    def checked_upload(self, url: str | None) -> str:
        """Return the address that logs and records are uploaded to, after a look at its bucket; empty: none."""
        wanted = url or self._context.config.train.upload or ""
        if wanted:
            self.upload(wanted).check()
        return wanted

    def runs(self, on_driver: Mapping[str, RunRecord] | None = None) -> tuple[RunRecord, ...]:
        """Return every run that is known, oldest first; ``on_driver`` None: without those that the driver knows."""
        return merge_records(self.archive, on_driver, shared_records(self.shared, self._context.report))

    def find(self, wanted: str, *, on_driver: Iterable[str] = ()) -> str:
        """Return the id of a run, the latest if ``wanted`` is empty. Raise ConfigError if there is none."""
        return find_run(wanted, [*on_driver, *(record.id for record in self.runs())])

    def log(self, run: str, on_text: Callable[[str], None]) -> None:
        """Hand out the lines of a run's log in blocks, without asking the driver."""
        read_saved_log(run, self.archive, self.shared, on_text)


def read_saved_log(run: str, archive: Archive, shared: RunBucket | None, on_text: Callable[[str], None]) -> None:
    """Pass on the lines of a run's log in blocks, without asking the driver. An incomplete copy comes from S3.

    Raises:
        AwsError: S3 does not hand it over.
    """
    record, logs = archive.load(run), (archive.log(run), archive.on_success_log(run))
    complete = record is not None and record.state in ENDED and logs[0].exists()
    for log in logs:
        if shared is not None and not complete:
            shared.fetch_log(run, log)
        if log.exists():
            for text in filter(None, read_log(log)):
                on_text(text)
