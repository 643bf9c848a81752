"""Amounts and rates of data as people read them."""

from __future__ import annotations


def amount(received: int, size: int | None) -> str:
    """Return ``41.2 of 228.1 MB``, or ``41.2 MB``."""
    return f"{received / 1e6:.1f} of {size / 1e6:.1f} MB" if size else f"{received / 1e6:.1f} MB"


def rate_text(rate: float | None) -> str:
    """Return ``153 kB/s`` or ``1.5 MB/s``; empty if it is unknown."""
    if rate is None:
        return ""
    return f"{rate / 1e6:.1f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kB/s"
