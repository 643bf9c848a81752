"""The directory for what a user's commands, sandboxes and tests share: $XDG_CACHE_HOME/pio-tf, else ~/.cache/pio-tf."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def default_cache(environ: Mapping[str, str] | None = None) -> Path:
    """Return the cache directory. It may be missing."""
    environ = os.environ if environ is None else environ
    cache = environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path(environ.get("HOME") or Path.home(), ".cache")
    return base / "pio-tf"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Create a directory, and let one process at a time work in it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
