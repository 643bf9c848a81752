"""The owners of S3 buckets. Names are global: a bucket that was deleted can come back in another account.

A request can name the owner that it expects (ExpectedBucketOwner). S3 refuses it if another account owns the bucket.
pio-tf knows the owner of a bucket that `pio-tf init --backend` has named, because its account is in the name. Any other
bucket may be of another account on purpose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_STATE_BUCKET = re.compile(r"pio-tf-state-(\d{12})-[a-z]{2}(?:-[a-z]+)+-\d")


def state_bucket_name(account: str, region: str) -> str:
    """Return the name of the bucket that holds an account's states by default."""
    return f"pio-tf-state-{account}-{region}"


def named_owner(bucket: str) -> str:
    """Return the account in a name of :func:`state_bucket_name`; empty for any other name."""
    match = _STATE_BUCKET.fullmatch(bucket)
    return match[1] if match else ""


def expect_owner(s3: Any, owner: Callable[[str], str] = named_owner) -> None:  # noqa: ANN401 - a botocore client
    """Let every call of an S3 client name the owner of its bucket.

    Args:
        owner: returns the account that owns a bucket; empty if it is unknown.
    """

    def add(params: dict[str, Any], model: Any, **_other: Any) -> dict[str, Any] | None:  # noqa: ANN401 - botocore's
        known = owner(str(params.get("Bucket", "")))
        if not known or "ExpectedBucketOwner" not in model.input_shape.members:
            return None
        return {"ExpectedBucketOwner": known, **params}

    s3.meta.events.register_first("provide-client-params.s3", add)  # before an earlier one
