"""Copying a mirror's directory into a bucket, from which machines without internet install everything."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pio_tf.aws.errors import aws_errors
from pio_tf.errors import AwsError, ConfigError
from pio_tf.events import Done, Reporter, Step, silent
from pio_tf.mirror.checksum import sha512_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pio_tf.config.components import Component

AT_ONCE = 4
_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/\S*)?")
_MISSING = 404


@dataclass(frozen=True)
class Pushed:
    """An archive in the bucket."""

    component: Component
    url: str
    status: Literal["pushed", "there"]
    """``there``: the same file was in the bucket already."""


@dataclass(frozen=True)
class Pusher:
    """Copies a directory of :class:`~pio_tf.mirror.fetch.Fetcher`.

    Args:
        s3: botocore client.
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
    """

    s3: Any
    url: str
    reporter: Reporter = silent

    def push(self, directory: Path, components: Sequence[Component]) -> tuple[Pushed, ...]:
        """Copy the archives that the bucket lacks. One with the same size and SHA-512 stays as it is.

        Raises:
            ConfigError: the URL is not one of S3; an archive is missing in the directory, or is not the expected one.
            AwsError: the bucket does not exist, or pio-tf may not write to it.
        """
        if not _URL.fullmatch(self.url):
            raise ConfigError(f"{self.url!r} is no S3 address", next_step="give one like s3://bucket/prefix")
        wanted = [(one, _checked(directory, one)) for one in components if one.path]
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        with aws_errors(f"{self.url}: looking at the bucket", service="s3"):
            self.s3.head_bucket(Bucket=bucket)
        self.reporter(Step(f"Pushing {len(wanted)} archive{'s' * (len(wanted) != 1)} to {self.url}"))
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return tuple(pool.map(lambda one: self._push_one(directory, bucket, prefix.strip("/"), *one), wanted))

    def _push_one(self, directory: Path, bucket: str, prefix: str, component: Component, sha512: str) -> Pushed:
        path = directory / component.path
        key = f"{prefix}/{component.path}" if prefix else component.path
        url = f"s3://{bucket}/{key}"
        existing = self._head(bucket, key)
        if (existing.get("ContentLength"), existing.get("Metadata", {}).get("sha512")) == (path.stat().st_size, sha512):
            return Pushed(component, url, "there")
        with aws_errors(f"{url}: writing {component.name}", service="s3"), path.open("rb") as file:
            self.s3.put_object(Bucket=bucket, Key=key, Body=file, Metadata={"sha512": sha512})
        self.reporter(Done(f"{component.name} {component.version}: {url}"))
        return Pushed(component, url, "pushed")

    def _head(self, bucket: str, key: str) -> dict[str, Any]:
        try:
            with aws_errors(f"s3://{bucket}/{key}: looking for it", service="s3"):
                return dict(self.s3.head_object(Bucket=bucket, Key=key))
        except AwsError as error:
            if error.details.get("http_status") == _MISSING:
                return {}
            raise


def _checked(directory: Path, component: Component) -> str:
    """Return the SHA-512 of the file in the directory, which must be the expected one."""
    path = directory / component.path
    fetch = f"pio-tf mirror fetch {directory}"
    try:
        actual = sha512_of(path)
        beside = path.with_name(f"{path.name}.sha512")
        expected = component.sha512 if component.pinned else beside.read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError) as error:
        raise ConfigError(
            f"{component.name} {component.version} is not in {directory}",
            cause=f"{component.path}: {getattr(error, 'strerror', None) or error}",
            next_step=fetch,
        ) from error
    if actual != expected:
        raise ConfigError(
            f"{path} is not {component.name} {component.version}",
            cause=f"its SHA-512 is {actual}, not {expected}",
            next_step=f"remove it, then {fetch}",
        )
    return actual
