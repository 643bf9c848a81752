"""Mirrors in S3 of what machines install: software.mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope


def fills_mirrors(scope: Scope) -> Iterator[Grant]:
    """Every bucket of software.mirrors, and the mirror's place in it."""
    places = [one.removeprefix("s3://").partition("/") for one in scope.config.software.mirrors if one[:5] == "s3://"]
    if not places:
        return
    yield Grant(
        sid="FindMirror",
        why="Whether the bucket is there. Without it, S3 says of an archive that is not there that it is forbidden.",
        resources=tuple(dict.fromkeys(scope.bucket(bucket) for bucket, _, _ in places)),
        pio_tf=("s3:ListBucket",),
    )
    yield Grant(
        sid="FillMirror",
        why="Archives, and whether they are there already.",
        resources=tuple(scope.bucket(bucket, f"{prefix}/*" if prefix else "*") for bucket, _, prefix in places),
        pio_tf=("s3:GetObject", "s3:PutObject"),
    )
