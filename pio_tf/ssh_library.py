"""asyncssh, imported without a long search for libraries that it can do without.

At its import, asyncssh asks :func:`ctypes.util.find_library` for liboqs and nettle, with which it knows one more key
exchange (sntrup761) and one more way to protect messages (umac). On Linux, that function starts ldconfig, gcc and ld
for each name: half of the time of the import. The system's loader knows the same without them.
"""

from __future__ import annotations

import ctypes.util
import sys

__all__ = ["asyncssh"]
_WANTED = {"oqs": "liboqs.so", "liboqs": "liboqs.so", "nettle": "libnettle.so", "libnettle": "libnettle.so"}
"""The names that asyncssh looks for, and files with these libraries. It has a third one for Windows."""
_VERSIONS = range(20)
"""At the end of a file's name: liboqs 0.15 is liboqs.so.9, and nettle 3.10 is libnettle.so.8."""

_search = ctypes.util.find_library


def _find(name: str) -> str | None:
    """Return the file of a library: ask the system's loader for those of asyncssh, and Python for any other."""
    if name == "libnettle-6":
        return None
    if name not in _WANTED:
        return _search(name)
    file = _WANTED[name]
    return next(filter(_is_there, [file, *(f"{file}.{version}" for version in reversed(_VERSIONS))]), None)


def _is_there(file: str) -> bool:
    try:
        ctypes.CDLL(file)
    except OSError:
        return False
    return True


if sys.platform == "linux":  # elsewhere, Python looks for files only
    ctypes.util.find_library = _find
try:
    import asyncssh
finally:
    ctypes.util.find_library = _search
