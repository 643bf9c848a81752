"""Runs in S3: log and record under ``s3://BUCKET/PREFIX/CLUSTER/ID/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.aws.errors import aws_errors
from pio_tf.errors import AwsError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.training.runs.record import RunRecord

_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/\S*)?")
# HeadBucket's refusals come without a body, so that AWS's own words are missing.
_REFUSALS: dict[object, tuple[str, str]] = {
    403: ("may not be looked at", "the policy of the user or role that pio-tf uses needs s3:ListBucket on the bucket"),
    404: ("does not exist", "create the bucket, or correct train.upload (or --upload)"),
}


@dataclass(frozen=True)
class Upload:
    """Where runs go to.

    Args:
        s3: botocore client.
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
    """

    s3: Any
    url: str

    def check(self) -> None:
        """Find a missing bucket or permission before a training is paid for.

        Raises:
            ConfigError: it is no such address.
            AwsError: the bucket is not there, or is not to be looked at.
        """
        if not _URL.fullmatch(self.url):
            raise ConfigError(f"--upload: {self.url!r} is no S3 address", next_step="--upload s3://BUCKET/PREFIX")
        bucket, _ = self._place
        try:
            with aws_errors(f"{self.url}: looking at the bucket", service="s3"):
                self.s3.head_bucket(Bucket=bucket)
        except AwsError as error:
            status = error.details.get("http_status")
            if status not in _REFUSALS:
                raise
            what, next_step = _REFUSALS[status]
            cause = f"AWS answered {status} to HeadBucket"
            raise AwsError(
                f"the bucket of {self.url} {what}", cause=cause, next_step=next_step, details=error.details
            ) from error

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
                    self.s3.put_object(Bucket=bucket, Key=f"{key}/{name}", Body=file, ContentType=kind)
        return f"s3://{bucket}/{key}/"

    @property
    def _place(self) -> tuple[str, str]:
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")
