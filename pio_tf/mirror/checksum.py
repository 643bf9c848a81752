"""SHA-512 checksums: of a file, and as Apache publishes them beside an archive."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 1024 * 1024
_ALONE = re.compile(r"\b[0-9a-fA-F]{128}\b")
_AS_GPG_WRITES = re.compile(r"(?:SHA512\s*=|:)\s*((?:[0-9A-Fa-f]{4,8}\s+){15,31}[0-9A-Fa-f]{4,8})\s*(?:$|(?=\S+:))")


def sha512_of(path: Path) -> str:
    """Return the SHA-512 of a file.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha512()
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
