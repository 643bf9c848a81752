"""Runs in S3: log and record under ``s3://BUCKET/PREFIX/CLUSTER/ID/``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.machines.failures import aws_errors

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.training.runs.record import RunRecord


@dataclass(frozen=True)
class Upload:
    """Where runs go to.

    Args:
        s3: boto3 client.
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
    """

    s3: Any
    url: str

    def check(self) -> None:
        """Find a missing bucket or permission before a training is paid for.

        Raises:
            AwsError: the bucket is not there, or is not to be looked at.
        """
        bucket, _ = self._place
        with aws_errors(f"{self.url}: looking at the bucket", service="s3"):
            self.s3.head_bucket(Bucket=bucket)

    def put(self, record: RunRecord, directory: Path) -> str:
        """Copy a run's ``log`` and ``record.json`` there; the address of both.

        Raises:
            AwsError: they could not be written.
        """
        bucket, prefix = self._place
        key = "/".join(part for part in (prefix, record.cluster, record.id) if part)
        with aws_errors(f"{self.url}: writing run {record.id}", service="s3"):
            for name, kind in (("log", "text/plain; charset=utf-8"), ("record.json", "application/json")):
                with (directory / name).open("rb") as file:
                    self.s3.upload_fileobj(file, bucket, f"{key}/{name}", ExtraArgs={"ContentType": kind})
        return f"s3://{bucket}/{key}/"

    @property
    def _place(self) -> tuple[str, str]:
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")
