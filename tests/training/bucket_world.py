"""Buckets on a local AWS, for what is kept in them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config as ClientConfig

from pio_tf.aws.objects import Objects
from pio_tf.training.runs.run_copies import RunBucket

if TYPE_CHECKING:
    from pio_tf.sandbox.aws import LocalAws

_numbers = itertools.count(1)


def make_objects(aws: LocalAws, bucket: str) -> Objects:
    """Return a bucket, as one client has it."""
    s3 = boto3.client(
        "s3",
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=ClientConfig(retries={"total_max_attempts": 1}),
    )
    return Objects(s3, bucket, {"ServerSideEncryption": "AES256"})


def make_run_bucket(aws: LocalAws, *, clients: int = 1) -> list[RunBucket]:
    """Make a new bucket, versioned as a state's is, as each of these clients has it."""
    name = f"runs-{next(_numbers)}"
    opened = [make_objects(aws, name) for _ in range(clients)]
    opened[0].s3.create_bucket(Bucket=name)
    opened[0].s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return [RunBucket(objects, "pio-tf/ur/") for objects in opened]
