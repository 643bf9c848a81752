"""Copies of the software that machines install: in a directory laid out as Apache's archive, then in a bucket.

Machines without internet install everything from that bucket.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec import Struct, field
from urllib3.exceptions import HTTPError

from pio_tf.aws.errors import aws_errors
from pio_tf.aws.objects import parse_s3_url
from pio_tf.config.software import APACHE
from pio_tf.errors import AwsError, ConfigError, PioTfError
from pio_tf.events import Done, DownloadProgress, Reporter, Step, silent
from pio_tf.http_pool import http_pool, http_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

    from pio_tf.config.components import Component
    from pio_tf.config.schema import Config

Result = TypeVar("Result")
BLOCK = 1024 * 1024
"""Bytes of a file that are read at once."""
NETWORK_BLOCK = 64 * 1024
"""Bytes of an answer that are read at once: a slow server fills a larger block in some seconds only."""
_ALONE = re.compile(r"\b[0-9a-fA-F]{128}\b")
_AS_GPG_WRITES = re.compile(r"(?:SHA512\s*=|:)\s*((?:[0-9A-Fa-f]{4,8}\s+){15,31}[0-9A-Fa-f]{4,8})\s*(?:$|(?=\S+:))")

AT_ONCE = 4
ATTEMPTS = 3
PROGRESS_SECONDS = 1.0
"""Seconds between two reports on a download."""
HERE = "mirror"
"""The place of downloads to this computer, in reports."""
TIMEOUT = 30.0
"""Seconds without a byte."""
_PUBLISHED = (".sha512", ".mds", ".sha")
_PARTIAL = 206
_NO_SUCH_RANGE = 416
_MISSING = 404


def sha512_of(path: Path) -> str:
    """Return the SHA-512 of a file.

    Raises:
        OSError: the file cannot be read.
    """
    return _digest(path, "sha512")


def matches(path: Path, expected: str) -> bool:
    """Return whether a file has a checksum: a SHA-512, or a SHA-256 (64 digits).

    Raises:
        OSError: the file cannot be read.
    """
    return _digest(path, _kind(expected)) == expected


def _kind(checksum: str) -> str:
    return f"sha{len(checksum) * 4}"


def _title(checksum: str) -> str:
    return f"SHA-{len(checksum) * 4}"


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        while data := file.read(BLOCK):
            digest.update(data)
    return digest.hexdigest()


def read_published(text: str) -> str | None:
    """Return the SHA-512 in a ``.sha512`` or ``.mds`` file; None if there is none.

    Apache's releases have used three formats over the years: ``HASH  FILE``; gpg's ``--print-md SHA512``, in groups of
    8 over several lines; and gpg's ``--print-mds``, with every algorithm in one file.
    """
    alone = _ALONE.findall(text)
    if len(set(alone)) == 1:
        return str(alone[0]).lower()
    for match in _AS_GPG_WRITES.finditer(text):
        digits = "".join(match[1].split()).lower()
        if len(digits) == 128:
            return digits
    return None


class Fetched(Struct, frozen=True):
    """An archive in the directory, complete and with the expected checksum."""

    component: Component
    path: Path
    sha512: str
    status: Literal["fetched", "there"]
    """``there``: it was in the directory already."""

    @property
    def option(self) -> str:
        """Return the option of pio-tf.hcl that pins the archive; empty if it is pinned already."""
        return _pin(self.component)


def _pin(component: Component) -> str:
    if component.pinned:
        return ""
    return "spark.download_sha512" if component.name == "spark" else f"software.{component.name}.sha512"


class _Stopped(Exception):
    """The user has interrupted the command."""


class Listed(Struct, frozen=True):
    """An archive as its source describes it."""

    component: Component
    url: str
    size: int | None
    """Bytes; None: the source does not say."""
    checksum: str

    @property
    def sha512(self) -> str:
        """Return the SHA-512; empty if only a SHA-256 is published."""
        return self.checksum if _kind(self.checksum) == "sha512" else ""

    @property
    def sha256(self) -> str:
        """Return the SHA-256; empty if the SHA-512 is known."""
        return self.checksum if _kind(self.checksum) == "sha256" else ""


class Fetcher(Struct, frozen=True):
    """Fetches archives into a directory.

    Args:
        base: base address of the archives without a ``url`` in pio-tf.hcl.
        checksums: base address of their published checksums: Apache's own, over https.
        sleep: waits this many seconds between attempts; default: until the command is interrupted.
    """

    directory: Path
    base: str = APACHE
    checksums: str = APACHE
    reporter: Reporter = silent
    sleep: Callable[[float], object] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def fetch(self, components: Sequence[Component]) -> tuple[Fetched, ...]:
        """Fetch all missing archives at once. Correct ones stay as they are; partial downloads are resumed.

        Raises:
            PioTfError: pio-tf could not fetch an archive, or its checksum differs; others may be in the directory.
        """
        wanted = [one for one in components if one.path]
        self.reporter(Step(f"Fetching {len(wanted)} archive{'s' * (len(wanted) != 1)} into {self.directory}"))
        return self._of_each(self._fetch_one, wanted)

    def list(self, components: Sequence[Component]) -> tuple[Listed, ...]:
        """Ask for size and checksum of all archives, at once. Fetch none.

        Raises:
            PioTfError: an archive is not where it should be, or its checksum is not known.
        """
        return self._of_each(self._describe, [one for one in components if one.path])

    def _of_each(self, work: Callable[[Component], Result], components: Sequence[Component]) -> tuple[Result, ...]:
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            jobs = [pool.submit(work, one) for one in components]
            try:
                for job in jobs:
                    job.exception()  # waits; an error is raised once all have ended
            except BaseException:
                self._stop.set()
                raise
        if failures := [error for job in jobs if (error := job.exception()) is not None]:
            raise _together(failures)
        return tuple(job.result() for job in jobs)

    def _fetch_one(self, component: Component) -> Fetched:
        path = self.directory / component.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            expected = component.sha512 if component.pinned else self._published(component)
            if component.url.startswith("s3://") and not path.exists():
                raise PioTfError(
                    f"pio-tf does not fetch {component.name} from S3",
                    cause=f"its url is {component.url}, and pio-tf does not know which credentials can read it",
                    next_step=f"aws s3 cp {component.url} {path}",
                    details={"component": component.name},
                )
            if path.exists() and matches(path, expected):
                return Fetched(component, path, sha512_of(path), "there")
            self._download(component, path, expected)
            sha512 = sha512_of(path)
            path.with_name(f"{path.name}.sha512").write_text(f"{sha512}  {path.name}\n", encoding="utf-8")
        except OSError as error:
            raise PioTfError(
                f"cannot write {path}",
                cause=error.strerror or str(error),
                next_step="check free disk space (df -h) and the owner of the directory",
                details={"component": component.name, "path": str(path)},
            ) from error
        self.reporter(Done(f"{component.name} {component.version}: {path} ({path.stat().st_size / 1e6:.0f} MB)"))
        return Fetched(component, path, sha512, "fetched")

    def _describe(self, component: Component) -> Listed:
        url, checksum = self._source(component), component.sha512 if component.pinned else self._published(component)
        if url.startswith("s3://"):
            return Listed(component, url, None, checksum)
        try:
            with _get(url, method="HEAD") as answer:
                length = answer.headers.get("Content-Length", "")
        except HTTPError as error:
            raise PioTfError(
                f"{component.name} {component.version} is not at {url}",
                cause=http_reason(error),
                next_step="--from names another source; so do url and sha512 in pio-tf.hcl",
                details={"component": component.name, "url": url},
            ) from error
        return Listed(component, url, int(length) if length.isdecimal() else None, checksum)

    def _source(self, component: Component) -> str:
        return component.url or f"{self.base}/{component.path}"

    def _published(self, component: Component) -> str:
        reasons = []
        for suffix in _PUBLISHED:
            url = f"{self.checksums}/{component.path}{suffix}"
            try:
                with _get(url) as answer:
                    found = read_published(answer.read(BLOCK).decode("utf-8", "replace"))
            except HTTPError as error:
                reasons.append(f"{url}: {http_reason(error)}")
                continue
            if found:
                return found
            reasons.append(f"{url}: holds no SHA-512")
        raise PioTfError(
            f"no SHA-512 is known for {component.name} {component.version}",
            cause="; ".join(reasons),
            next_step="set its sha512 in pio-tf.hcl, from a source that you trust",
            details={"component": component.name},
        )

    def _download(self, component: Component, path: Path, expected: str) -> None:
        url = self._source(component)
        part = path.with_name(f"{path.name}.part")
        reason, attempt, most = "", 0, 0
        while attempt < ATTEMPTS:
            if attempt or most:
                (self.sleep or self._stop.wait)(2.0 * max(1, attempt))
            attempt += 1
            try:
                self._resume(component, url, part)
            except HTTPError as error:
                reason = http_reason(error)
                received = part.stat().st_size if part.exists() else 0
                if received > most:  # a server that drops its connections is asked for as long as more comes
                    most, attempt = received, 0
                continue
            if matches(part, expected):
                part.replace(path)
                return
            part.unlink()
            reason = f"it does not have the {_title(expected)} {expected}"
        raise PioTfError(
            f"could not fetch {component.name} {component.version} from {url}",
            cause=reason,
            next_step="try again: pio-tf resumes the download. --from names another source; so do url and sha512 in "
            "pio-tf.hcl",
            details={"component": component.name, "url": url},
        )

    def _resume(self, component: Component, url: str, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        name, began, shown = f"{component.name}-{component.version}", time.monotonic(), 0.0
        try:
            answer = _get(url, {"Range": f"bytes={have}-"} if have else {})
            start = have if answer.status == _PARTIAL else 0
            length = answer.headers.get("Content-Length", "")
            size = start + int(length) if length.isdecimal() else None
            with answer, part.open("ab" if start else "wb") as file:
                for data in answer.stream(NETWORK_BLOCK):
                    if self._stop.is_set():
                        raise _Stopped
                    file.write(data)
                    now = time.monotonic()
                    if now >= shown + PROGRESS_SECONDS:
                        shown, rate = now, (file.tell() - start) / max(now - began, 0.001)
                        self.reporter(DownloadProgress(HERE, name, file.tell(), size, rate, url))
        except _Refused as error:
            if error.status == _NO_SUCH_RANGE:
                part.unlink(missing_ok=True)
            raise


class _Refused(HTTPError):
    """The server answered with an error."""

    def __init__(self, answer: BaseHTTPResponse) -> None:
        super().__init__(f"HTTP {answer.status} {answer.reason}")
        self.status = answer.status


def _get(url: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> BaseHTTPResponse:
    answer = http_pool(url, timeout=TIMEOUT).request(
        method, url, headers=headers, preload_content=False, decode_content=False, enforce_content_length=True
    )
    if answer.status >= 400:
        answer.close()
        raise _Refused(answer)
    return answer


def _together(failures: Sequence[BaseException]) -> BaseException:
    known = [failure for failure in failures if isinstance(failure, PioTfError)]
    if len(known) < 2 or len(known) < len([one for one in failures if not isinstance(one, _Stopped)]):
        return next((one for one in failures if not isinstance(one, _Stopped)), failures[0])
    return PioTfError(
        f"could not get {len(known)} archives: {', '.join(str(one.details.get('component')) for one in known)}",
        cause="; ".join(f"{one.what}: {one.cause}" for one in known),
        next_step=known[0].next_step,
    )


def place_in_s3(config: Config, url: str = "") -> str:
    """Return the mirror in S3 to fill: ``url``, else the first of ``software.mirrors``.

    Raises:
        ConfigError: pio-tf.hcl names none.
    """
    found = url or next((one for one in config.software.mirrors if one.startswith("s3://")), "")
    if not found:
        raise ConfigError(
            f"{config.where('software.mirrors')}: software.mirrors names no bucket",
            next_step="give s3://BUCKET/PREFIX as an argument, or let `pio-tf init --mirror` name the state's bucket",
        )
    return found.rstrip("/")


class Pushed(Struct, frozen=True):
    """An archive in the bucket."""

    component: Component
    url: str
    sha512: str
    status: Literal["pushed", "there"]
    """``there``: the same file was in the bucket already."""

    @property
    def option(self) -> str:
        """Return the option of pio-tf.hcl that pins the archive; empty if it is pinned already."""
        return _pin(self.component)


class Pusher(Struct, frozen=True):
    """Copies a directory of :class:`~pio_tf.mirror.Fetcher`.

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
        bucket, prefix = parse_s3_url(self.url, example="give one like s3://bucket/prefix")
        wanted = [(one, _checked(directory, one)) for one in components if one.path]
        with aws_errors(f"{self.url}: looking at the bucket", service="s3"):
            self.s3.head_bucket(Bucket=bucket)
        self.reporter(Step(f"Pushing {len(wanted)} archive{'s' * (len(wanted) != 1)} to {self.url}"))
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return tuple(pool.map(lambda one: self._push_one(directory, bucket, prefix, *one), wanted))

    def _push_one(self, directory: Path, bucket: str, prefix: str, component: Component, sha512: str) -> Pushed:
        path = directory / component.path
        key = f"{prefix}/{component.path}" if prefix else component.path
        url = f"s3://{bucket}/{key}"
        existing = self._head(bucket, key)
        if (existing.get("ContentLength"), existing.get("Metadata", {}).get("sha512")) == (path.stat().st_size, sha512):
            return Pushed(component, url, sha512, "there")
        with aws_errors(f"{url}: writing {component.name}", service="s3"), path.open("rb") as file:
            self.s3.put_object(Bucket=bucket, Key=key, Body=file, Metadata={"sha512": sha512})
        self.reporter(Done(f"{component.name} {component.version}: {url}"))
        return Pushed(component, url, sha512, "pushed")

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
        beside = path.with_name(f"{path.name}.sha512")
        expected = component.sha512 if component.pinned else beside.read_text(encoding="utf-8").split()[0]
        actual = _digest(path, _kind(expected) if len(expected) in (64, 128) else "sha512")
    except (OSError, IndexError) as error:
        raise ConfigError(
            f"{component.name} {component.version} is not in {directory}",
            cause=f"{component.path}: {getattr(error, 'strerror', None) or error}",
            next_step=fetch,
        ) from error
    if actual != expected:
        raise ConfigError(
            f"{path} is not {component.name} {component.version}",
            cause=f"its {_title(actual)} is {actual}, not {expected}",
            next_step=f"remove it, then {fetch}",
        )
    return actual if _kind(actual) == "sha512" else sha512_of(path)
