"""Copies of runs in a bucket of the user's: train.upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope


def uploads_runs(scope: Scope) -> Iterator[Grant]:
    """The bucket, and the cluster's place in it."""
    url = scope.config.train.upload
    if not url:
        return
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    place = "/".join(part for part in (prefix.strip("/"), scope.cluster, "*") if part)
    yield Grant(
        sid="FindUploads",
        why="Whether the bucket is there, before a training is paid for.",
        resources=(scope.bucket(bucket),),
        pio_tf=("s3:ListBucket",),
    )
    yield Grant(
        sid="Upload",
        why="Log and record of a run. A long log goes in parts, which are removed if it fails.",
        resources=(scope.bucket(bucket, place),),
        pio_tf=("s3:AbortMultipartUpload", "s3:PutObject"),
    )
