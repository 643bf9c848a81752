"""A SHA-512, and the way in which gpg groups its digits."""

from __future__ import annotations

import hashlib
import textwrap

HASH = hashlib.sha512(b"an archive").hexdigest()


def grouped(digest: str, size: int) -> str:
    """Return the digest as gpg writes it: groups, over several lines, from column 20 on."""
    groups = " ".join(digest.upper()[n : n + size] for n in range(0, len(digest), size))
    return "\n                    ".join(textwrap.wrap(groups, 54))
