"""The objects of a bucket in S3: reads, conditional writes, and errors in the user's words."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from msgspec import Struct, field

from pio_tf.atomic_write import atomic_writer
from pio_tf.aws.bucket_owner import named_owner
from pio_tf.aws.errors import aws_errors
from pio_tf.config.partitions import partition_of
from pio_tf.errors import AwsError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_CONFLICTS = 5
"""Attempts of a write that S3 did not decide, because another write was in progress (409)."""
_PERMISSIONS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket"}
"""IAM's names of S3's operations, where the two differ."""

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(\S*))?")


def parse_s3_url(url: str, *, option: str = "", example: str) -> tuple[str, str]:
    """Return the bucket of ``s3://bucket/prefix``, and the prefix without slashes around it.

    Raises:
        ConfigError: the address is invalid.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigError(f"{option}{url!r} is no S3 address", next_step=example)
    return match[1], (match[2] or "").strip("/")


class StoredObject(Struct, frozen=True):
    """An object of a bucket, as pio-tf read it."""

    body: bytes
    etag: str
    age: float
    """Seconds since the write, by S3's clock."""


class Objects(Struct, frozen=True):
    """One bucket.

    Args:
        s3: botocore client.
        bucket: its name.
        encryption: arguments of PutObject.
    """

    s3: Any
    bucket: str
    encryption: Mapping[str, str] = field(default_factory=dict)

    def read(self, key: str) -> StoredObject | None:
        """Read an object; return None if it does not exist.

        Raises:
            AwsError: pio-tf cannot read it.
        """
        try:
            with self._doing("reading", key):
                got = self.s3.get_object(Bucket=self.bucket, Key=key)
                body = got["Body"].read()
        except _NoSuchObject:
            return None
        now = parsedate_to_datetime(got["ResponseMetadata"]["HTTPHeaders"]["date"])
        written = got["LastModified"].astimezone(timezone.utc)
        return StoredObject(body, got["ETag"], max(0.0, (now.astimezone(timezone.utc) - written).total_seconds()))

    def download(self, key: str, path: Path) -> bool:
        """Write an object into a file of mode 0600, whole or not at all. Return whether there is such an object."""
        try:
            with atomic_writer(path) as file, self._doing("reading", key):
                for part in self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(1 << 18):
                    file.write(part)
        except _NoSuchObject:
            return False
        return True

    def write(self, key: str, body: bytes, *, kind: str = "application/json") -> None:
        """Write an object, over an existing one too."""
        with self._doing("writing", key):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=kind, **self.encryption)

    def upload(self, key: str, path: Path, *, kind: str) -> None:
        """Write a file of up to S3's 5 GiB, over an existing object too."""
        with self._doing("writing", key), path.open("rb") as file:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=file, ContentType=kind, **self.encryption)

    def create(self, key: str, body: bytes) -> str | None:
        """Create an object; return its ETag, or None if it exists already."""
        return self._conditionally(key, body, IfNoneMatch="*")

    def replace(self, key: str, body: bytes, *, etag: str) -> str | None:
        """Replace an object as it was read; return its new ETag, or None if it has changed or gone meanwhile."""
        return self._conditionally(key, body, IfMatch=etag)

    def remove(self, key: str, *, etag: str) -> bool:
        """Remove an object as it was read; return False if it has changed or gone meanwhile."""
        try:
            with self._doing("removing", key):
                self._decided(lambda: self.s3.delete_object(Bucket=self.bucket, Key=key, IfMatch=etag))
        except (_NoSuchObject, _Unfulfilled):
            return False
        return True

    def directories(self, prefix: str) -> list[str]:
        """Return the names between the prefix and the next slash, sorted."""
        found: set[str] = set()
        with self._doing("listing", prefix):
            for page in self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            ):
                found |= {item["Prefix"].removeprefix(prefix).rstrip("/") for item in page.get("CommonPrefixes", ())}
        return sorted(found)

    def _conditionally(self, key: str, body: bytes, **condition: str) -> str | None:
        try:
            with self._doing("writing", key):
                done = self._decided(
                    lambda: self.s3.put_object(
                        Bucket=self.bucket,
                        Key=key,
                        Body=body,
                        ContentType="application/json",
                        **self.encryption,
                        **condition,
                    )
                )
        except (_NoSuchObject, _Unfulfilled):
            return None
        return str(done["ETag"])

    def _decided(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - botocore's answer
        for attempt in range(1, _CONFLICTS):
            try:
                return call()
            except ClientError as error:  # noqa: PERF203 - it goes round once or twice
                if _status(error) != 409:
                    raise
                time.sleep(0.1 * attempt)
        return call()

    @contextmanager
    def _doing(self, doing: str, key: str) -> Iterator[None]:
        where = f"s3://{self.bucket}/{key}"
        with aws_errors(f"{doing} {where}", service="s3"):
            try:
                yield
            except ClientError as error:
                status, code = _status(error), error.response.get("Error", {}).get("Code", "")
                if code == "NoSuchBucket":
                    raise missing_bucket(self.bucket) from error
                if status == 404:
                    raise _NoSuchObject from error
                if status == 412:
                    raise _Unfulfilled from error
                if status == 403 and code in ("AccessDenied", "403", "Forbidden"):
                    raise _denied(error, doing=doing, bucket=self.bucket, key=key) from error
                if status == 501:
                    raise AwsError(
                        f"{doing} {where}: this S3 has no conditional writes",
                        cause=f"{code}: it does not know If-None-Match or If-Match",
                        next_step="keep the state in a bucket of AWS, or in an S3 that has them",
                    ) from error
                raise


class _NoSuchObject(Exception):
    """The object does not exist."""


class _Unfulfilled(Exception):
    """The condition of a write does not hold."""


def missing_bucket(bucket: str) -> AwsError:
    """Return the error for a bucket that does not exist."""
    return AwsError(
        f"the bucket {bucket} does not exist",
        cause="pio-tf.hcl keeps the state there: terraform.backend.bucket",
        next_step="`pio-tf init --backend` makes it; or correct its name",
        details={"bucket": bucket, "code": "NoSuchBucket"},
    )


def arn(bucket: str, key: str = "", *, region: str = "") -> str:
    """Return the ARN of a bucket, or of an object in it."""
    root = f"arn:{partition_of(region)}:s3:::{bucket}"
    return f"{root}/{key}" if key else root


def _denied(error: ClientError, *, doing: str, bucket: str, key: str) -> AwsError:
    action = _PERMISSIONS.get(error.operation_name, error.operation_name)
    # S3 answers a read with "denied" also where there is no such object and the bucket may not be listed.
    more = f", and s3:ListBucket on {arn(bucket)}" if action == "GetObject" else ""
    resource = arn(bucket) if action == "ListBucket" else arn(bucket, key)
    owner = named_owner(bucket)
    another = f"; if {bucket} is not of the account {owner}, as its name says, use another bucket" if owner else ""
    said = error.response.get("Error", {})
    return AwsError(
        f"{doing} s3://{bucket}/{key} is not allowed",
        cause=f"{said.get('Code', '')}: {said.get('Message', '')}".strip(": "),
        next_step=f"give the AWS user or role s3:{action} on {resource}{more}{another}",
        details={"permission": f"s3:{action}", "resource": resource, "code": str(said.get("Code", ""))},
    )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
