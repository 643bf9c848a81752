"""What pio-tf keeps between two commands, by user: facts about other programs, which it could find out again.

Each value is a file of JSON in $XDG_CACHE_HOME/pio-tf, else ~/.cache/pio-tf, beside the key that it was found for. A
value with another key, a damaged file, or one of another user counts as none: the command is only slower. Nothing of a
pio-tf.hcl belongs here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pio_tf.atomic_write import write_atomically
from pio_tf.json_text import parse_json
from pio_tf.user_cache import default_cache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class FactCache:
    """The facts that one user's commands keep.

    Args:
        directory: their directory, which is made when it is first needed; None: nothing is kept.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] | None = None) -> FactCache:
        """Return the user's cache, by the variables of an environment; default: this process's."""
        try:
            return cls(default_cache(environ))
        except RuntimeError:  # a user without a home directory
            return cls(None)

    def read(self, name: str, *, key: Sequence[object]) -> Any:  # noqa: ANN401 - whatever was written
        """Return the value that was written under a name for this key; None: there is none."""
        if self._directory is None:
            return None
        try:
            with (self._directory / f"{name}.json").open("rb") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None
                found = parse_json(file.read())
            return found["value"] if found["key"] == list(key) else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def write(self, name: str, value: object, *, key: Sequence[object]) -> None:
        """Keep a value, which :meth:`read` returns for the same key. Without space or permission, keep nothing."""
        if self._directory is None:
            return
        import json

        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            text = json.dumps({"key": list(key), "value": value}, separators=(",", ":"))
            write_atomically(self._directory / f"{name}.json", text)


def file_key(path: Path) -> list[object]:
    """Return what changes when a file is replaced: its real path, size and time of modification.

    Raises:
        OSError: there is no such file.
    """
    real = path.resolve(strict=True)
    about = real.stat()
    return [str(real), about.st_size, about.st_mtime_ns]
