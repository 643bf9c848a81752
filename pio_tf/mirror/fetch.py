"""Everything that machines install, into a directory with the layout of Apache's archive."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pio_tf.config.software import APACHE
from pio_tf.errors import PioTfError
from pio_tf.events import Done, Reporter, Step, silent
from pio_tf.mirror.checksum import BLOCK, read_published, sha512_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pio_tf.config.components import Component

AT_ONCE = 4
ATTEMPTS = 3
TIMEOUT = 30.0
"""Seconds without a byte."""
_PUBLISHED = (".sha512", ".mds", ".sha")
_GONE_ON = 206
_NO_SUCH_RANGE = 416


@dataclass(frozen=True)
class Fetched:
    """An archive that is in the directory, whole and right."""

    component: Component
    path: Path
    sha512: str
    status: Literal["fetched", "there"]
    """Whether it was there already."""

    @property
    def option(self) -> str:
        """The option of pio-tf.hcl that pins it; empty: it is pinned already."""
        if self.component.pinned:
            return ""
        name = self.component.name
        return "spark.download_sha512" if name == "spark" else f"software.{name}.sha512"


class _Stopped(Exception):
    """Somebody else has failed, or the user has had enough."""


@dataclass
class Fetcher:
    """Fetches archives.

    Args:
        directory: where to.
        base: base address of the archives that pio-tf.hcl gives no ``url`` for.
        checksums: base address of their published checksums: Apache's own, over https.
        sleep: waits so many seconds between attempts.
    """

    directory: Path
    base: str = APACHE
    checksums: str = APACHE
    reporter: Reporter = silent
    sleep: Callable[[float], object] | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()

    def fetch(self, components: Sequence[Component]) -> tuple[Fetched, ...]:
        """Fetch what is missing, all at once; what is there and right is left alone, a part is gone on with.

        Raises:
            PioTfError: an archive could not be fetched, or is not the expected one; the others may be there.
        """
        wanted = [one for one in components if one.path]
        self.reporter(Step(f"Fetching {len(wanted)} archives into {self.directory}"))
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            jobs = [pool.submit(self._one, one) for one in wanted]
            try:
                for job in jobs:
                    job.exception()  # waits; what is wrong with one is told when all have ended
            except BaseException:
                self._stop.set()
                raise
        failures = [error for job in jobs if (error := job.exception()) is not None]
        if failures:
            raise _together([error for error in failures if not isinstance(error, _Stopped)] or failures)
        return tuple(job.result() for job in jobs)

    def _one(self, component: Component) -> Fetched:
        path = self.directory / component.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            expected = component.sha512 if component.pinned else self._published(component)
            if component.url.startswith("s3://") and not path.exists():
                raise PioTfError(
                    f"{component.name} is fetched from S3 by hand",
                    cause=f"its url is {component.url}, and whose credentials it needs is not known",
                    next_step=f"aws s3 cp {component.url} {path}",
                    details={"component": component.name},
                )
            if path.exists() and sha512_of(path) == expected:
                return Fetched(component, path, expected, "there")
            self._download(component, path, expected)
            path.with_name(f"{path.name}.sha512").write_text(f"{expected}  {path.name}\n", encoding="utf-8")
        except OSError as error:
            raise PioTfError(
                f"cannot write {path}",
                cause=error.strerror or str(error),
                next_step="see whether the disk is full (df -h), and who owns the directory",
                details={"component": component.name, "path": str(path)},
            ) from error
        self.reporter(Done(f"{component.name} {component.version}: {path} ({path.stat().st_size / 1e6:.0f} MB)"))
        return Fetched(component, path, expected, "fetched")

    def _published(self, component: Component) -> str:
        reasons = []
        for suffix in _PUBLISHED:
            url = f"{self.checksums}/{component.path}{suffix}"
            try:
                with closing(urlopen(url, timeout=TIMEOUT)) as answer:  # noqa: S310 - an address of Apache's
                    found = read_published(answer.read(BLOCK).decode("utf-8", "replace"))
            except (OSError, HTTPException) as error:
                reasons.append(f"{url}: {_reason(error)}")
                continue
            if found:
                return found
            reasons.append(f"{url}: holds no SHA-512")
        raise PioTfError(
            f"no SHA-512 is known for {component.name} {component.version}",
            cause="; ".join(reasons),
            next_step="give its sha512 in pio-tf.hcl, from where you trust it",
            details={"component": component.name},
        )

    def _download(self, component: Component, path: Path, expected: str) -> None:
        url = component.url or f"{self.base}/{component.path}"
        part = path.with_name(f"{path.name}.part")
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                (self.sleep or self._stop.wait)(2.0 * attempt)
            try:
                self._get(url, part)
            except (HTTPException, URLError, TimeoutError, ConnectionError) as error:
                reason = _reason(error)
                if isinstance(error, HTTPError) and error.code == _NO_SUCH_RANGE:
                    part.unlink(missing_ok=True)
                continue
            if sha512_of(part) == expected:
                part.replace(path)
                return
            part.unlink()
            reason = f"it does not have the SHA-512 {expected}"
        raise PioTfError(
            f"{component.name} {component.version} could not be fetched from {url}",
            cause=reason,
            next_step="try again; it goes on where it ended. --from names another place, or give its url and sha512 in "
            "pio-tf.hcl",
            details={"component": component.name, "url": url},
        )

    def _get(self, url: str, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - as the user has it
        with closing(urlopen(request, timeout=TIMEOUT)) as answer:  # noqa: S310 - the same
            goes_on = have and answer.status == _GONE_ON
            with part.open("ab" if goes_on else "wb") as file:
                while data := answer.read(BLOCK):
                    if self._stop.is_set():
                        raise _Stopped
                    file.write(data)
                if answer.length:
                    raise HTTPException(f"the connection ended with {answer.length} bytes to come")


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(getattr(error, "reason", "") or error) or type(error).__name__


def _together(failures: Sequence[BaseException]) -> BaseException:
    first = failures[0]
    if len(failures) == 1 or not isinstance(first, PioTfError):
        return first
    told = [failure for failure in failures if isinstance(failure, PioTfError)]
    return PioTfError(
        f"{len(told)} archives could not be fetched: {', '.join(str(one.details.get('component')) for one in told)}",
        cause="; ".join(f"{one.what}: {one.cause}" for one in told),
        next_step=first.next_step,
    )
