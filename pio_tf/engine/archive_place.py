"""The places of an engine's archives: a directory, or a prefix in S3. Each archive has its SHA-512 beside it."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError
from msgspec import Struct

from pio_tf.atomic_write import atomic_writer, write_atomically
from pio_tf.aws.errors import aws_errors
from pio_tf.aws.objects import parse_s3_url
from pio_tf.errors import AwsError, ConfigError, PioTfError
from pio_tf.mirror import sha512_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.engine.archive import ArchivedEngine

SUFFIX = ".tar.gz"
_MISSING = 404
_EXAMPLE = "give a file or a directory, or an address like s3://bucket/prefix"


@dataclass
class NewArchive:
    """An archive that is being written."""

    name: str
    file: IO[bytes]
    sha512: str = ""
    """Its writer sets it. The archive appears in its place with it."""


class FoundArchive(Struct, frozen=True):
    """An archive, after its checksum was found right."""

    address: str
    """The user's name for it."""
    path: Path
    """Its file on this computer."""
    sha512: str


class SavedEngine(Struct, frozen=True):
    """An archive of an engine, saved or restored."""

    address: str
    sha512: str
    size: int
    """Bytes."""
    engine: ArchivedEngine


class ArchivePlace(Protocol):
    """A place of archives."""

    def write(self, name: str) -> contextlib.AbstractContextManager[NewArchive]:
        """Let the block write an archive, which appears at the block's end, whole or not at all."""

    def read(self) -> contextlib.AbstractContextManager[FoundArchive]:
        """Yield the archive that the place names, its checksum checked."""

    def address(self, name: str) -> str:
        """Return where an archive is."""


def archive_name(cluster: str) -> str:
    """Return the name of an archive that is made now. Names of one cluster sort by time."""
    return f"engine-{cluster}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}{SUFFIX}"


def find_place(where: str, *, default: Path, s3: Callable[[], Any]) -> ArchivePlace:
    """Return the place that a user names, or the default one.

    Args:
        s3: makes a client of S3.

    Raises:
        ConfigError: it is no address of S3's.
    """
    if where.startswith("s3://"):
        bucket, key = parse_s3_url(where, example=_EXAMPLE)
        return BucketPlace(s3(), bucket, key, default)
    return DirectoryPlace(Path(where).expanduser() if where else default)


class DirectoryPlace(Struct, frozen=True):
    """A directory on this computer; or, to read, one archive in it."""

    path: Path

    def address(self, name: str) -> str:
        """Return the path of an archive."""
        return str(self.path / name)

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[NewArchive]:
        """Write an archive, and its checksum before that appears."""
        path = self.path / name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_writer(path) as file:
                new = NewArchive(name, file)
                yield new
                write_atomically(_beside(path), f"{new.sha512}  {name}\n")
        except OSError as error:
            raise PioTfError(
                f"cannot write {path}",
                cause=error.strerror or str(error),
                next_step="check free disk space (df -h) and the owner of the directory, or name another one",
            ) from error

    @contextlib.contextmanager
    def read(self) -> Iterator[FoundArchive]:
        """Yield the archive, or the newest one of the directory."""
        path = self.path
        if path.is_dir():
            archives = sorted(path.glob(f"engine-*{SUFFIX}"), key=lambda one: one.name.rpartition("-")[2])
            if not archives:
                raise ConfigError(f"{path} has no archive of an engine", next_step="pio-tf engine save")
            path = archives[-1]
        if not path.is_file():
            raise ConfigError(f"there is no file {path}", next_step=_EXAMPLE)
        try:
            found = _checked(path, str(path), _beside(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _no_checksum(path) from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path} and its checksum", cause=str(error), next_step="ls -l") from error
        yield found


class BucketPlace(Struct, frozen=True):
    """A prefix in S3; or, to read, one archive there.

    Args:
        s3: botocore client.
        local: a directory for the copy on this computer meanwhile.
    """

    s3: Any
    bucket: str
    key: str
    local: Path

    def address(self, name: str) -> str:
        """Return the address of an archive."""
        return f"s3://{self.bucket}/{self.key}/{name}" if self.key else f"s3://{self.bucket}/{name}"

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[NewArchive]:
        """Write an archive here and copy it to the bucket; its checksum comes last."""
        self._look_at_bucket()
        with self._directory() as directory:
            with DirectoryPlace(directory).write(name) as new:
                yield new
            key = self.address(name).removeprefix(f"s3://{self.bucket}/")
            for path, suffix in ((directory / name, ""), (_beside(directory / name), ".sha512")):
                with aws_errors(f"{self.address(name)}: writing it", service="s3"), path.open("rb") as file:
                    self.s3.put_object(Bucket=self.bucket, Key=f"{key}{suffix}", Body=file)

    @contextlib.contextmanager
    def read(self) -> Iterator[FoundArchive]:
        """Copy the archive here for the block."""
        url = f"s3://{self.bucket}/{self.key}"
        if not self.key.endswith(SUFFIX):
            raise ConfigError(f"{url} does not end with {SUFFIX}: it is not an archive", next_step=f"aws s3 ls {url}/")
        with self._directory() as directory:
            path = directory / self.key.rpartition("/")[2]
            for target, key in ((_beside(path), f"{self.key}.sha512"), (path, self.key)):
                with aws_errors(f"s3://{self.bucket}/{key}: reading it", service="s3"):
                    try:
                        body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]
                    except ClientError as error:
                        if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                            raise
                        raise ConfigError(
                            f"there is no s3://{self.bucket}/{key}", next_step=f"aws s3 ls {url.rpartition('/')[0]}/"
                        ) from error
                    with target.open("wb") as file:
                        for part in body.iter_chunks(1 << 20):
                            file.write(part)
            yield _checked(path, url, _beside(path).read_text(encoding="utf-8", errors="replace"))

    def _look_at_bucket(self) -> None:
        """Find a missing bucket or permission before the driver reads anything."""
        try:
            with aws_errors(f"s3://{self.bucket}: looking at the bucket", service="s3"):
                self.s3.head_bucket(Bucket=self.bucket)
        except AwsError as error:
            # HeadBucket's refusals come without a body, so that AWS's own words are missing.
            if error.details.get("http_status") != _MISSING:
                raise
            raise AwsError(
                f"the bucket {self.bucket} does not exist",
                cause="AWS answered 404 to HeadBucket",
                next_step="create it, or correct its name",
                details=error.details,
            ) from error

    @contextlib.contextmanager
    def _directory(self) -> Iterator[Path]:
        """Yield a directory for the copy here, with mode 0700."""
        try:
            self.local.mkdir(parents=True, exist_ok=True)
            directory = tempfile.TemporaryDirectory(dir=self.local, prefix=".s3-")
        except OSError as error:
            raise PioTfError(f"cannot write {self.local}", cause=str(error), next_step="df -h") from error
        with directory as name:
            yield Path(name)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha512")


def _no_checksum(path: Path) -> ConfigError:
    return ConfigError(
        f"the checksum of {path} is missing",
        cause=f"there is no {_beside(path).name} beside it",
        next_step="copy it from where the archive comes from",
    )


def _checked(path: Path, shown: str, published: str) -> FoundArchive:
    expected, actual = (published.split() or [""])[0].lower(), sha512_of(path)
    if actual != expected:
        raise ConfigError(
            f"{shown} is damaged: its SHA-512 is not the one that was saved with it",
            cause=f"it is {actual[:16]}…, not {expected[:16] or 'there'}…; nothing was changed on the driver",
            next_step="use another copy, or another archive",
            details={"expected": expected, "actual": actual},
        )
    return FoundArchive(shown, path, actual)
