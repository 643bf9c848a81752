"""Buckets of a local AWS, and clusters whose state is in one."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from tests.support.site import Site

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Bucket:
    """A bucket of a local AWS."""

    s3: Any
    name: str

    def read(self, key: str) -> bytes:
        """Return an object's content."""
        return bytes(self.s3.get_object(Bucket=self.name, Key=key)["Body"].read())

    def write(self, key: str, body: bytes | str) -> None:
        """Write an object."""
        self.s3.put_object(Bucket=self.name, Key=key, Body=body)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.s3.delete_object(Bucket=self.name, Key=key)

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def deny(self, *actions: str, key: str) -> None:
        """Set a bucket policy that denies these actions on these objects to all clients."""
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": list(actions),
            "Resource": f"arn:aws:s3:::{self.name}/{key}",
        }
        self.s3.put_bucket_policy(
            Bucket=self.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )

    def allow(self) -> None:
        """Remove the bucket policy."""
        self.s3.delete_bucket_policy(Bucket=self.name)


def make_bucket(url: str) -> Bucket:
    """Make a new bucket, versioned."""
    s3 = client(url)
    name = f"states-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return Bucket(s3, name)


def client(url: str) -> Any:  # noqa: ANN401 - boto3 makes them
    """Return an S3 client of a local AWS."""
    return boto3.client(
        "s3", region_name="us-east-1", endpoint_url=url, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def with_backend(site: Site, bucket: str, *lines: str, more: str = "") -> Config:
    """Return the site's configuration with its state in a bucket."""
    inside = "\n".join([f'bucket = "{bucket}"', *lines])
    block = f'  {more}\n  backend "s3" {{\n{inside}\n  }}\n}}\n'
    config = site.write()
    text = config.path.read_text()
    head, _, tail = text.partition("terraform {\n")
    body, _, rest = tail.partition("}\n")
    config.path.write_text(f"{head}terraform {{\n{body}{block}{rest}")
    from pio_tf.config.load import load_config

    return load_config(config.path, environ={})


LOCK = {
    "ID": "6a2f1c7e-0000-4000-8000-000000000001",
    "Operation": "OperationTypeApply",
    "Info": "",
    "Who": "ann@ci-runner-7",
    "Version": "1.15.5",
    "Created": "2026-11-01T10:00:00.123456Z",
    "Path": "states/pio-tf/demo/terraform.tfstate",
}
"""The text that Terraform writes into a lock object."""


def state(*, serial: int, lineage: str = "f3c1", region: str = "us-east-1") -> str:
    """Return a state with outputs, as of a creation that did not come to its end, and no resources."""
    outputs = {name: {"value": value, "type": "string"} for name, value in (("cluster", "demo"), ("region", region))}
    return json.dumps(
        {
            "version": 4,
            "terraform_version": "1.15.5",
            "serial": serial,
            "lineage": lineage,
            "outputs": outputs,
            "resources": [],
        }
    )
