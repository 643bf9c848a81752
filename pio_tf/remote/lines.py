"""A stream of bytes -> lines of text, in bounded memory."""

from __future__ import annotations

LONGEST_LINE = 64 * 1024
"""Bytes of a line that are kept. PIO's ``Submission command`` with its class path is some 10 KiB."""


class LineSplitter:
    """Collects bytes and hands out whole lines. Bytes that are not UTF-8 become U+FFFD; no line is lost.

    A line longer than ``longest`` is cut, and says so. Of a line that rewrites itself with carriage returns (a
    progress bar), what a terminal would show in the end is left.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._kept = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete."""
        *whole, rest = data.split(b"\n")
        lines = []
        for part in whole:
            self._keep(part)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def end(self) -> list[str]:
        """The last line, if it did not end with a newline."""
        return [self._take()] if self._kept else []

    def _keep(self, part: bytes) -> None:
        room = self._longest - len(self._kept)
        self._kept += part[:room]
        self._dropped += max(0, len(part) - room)

    def _take(self) -> str:
        text = self._kept.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        if self._dropped:
            text += f" … [{self._dropped} bytes more]"
        self._kept.clear()
        self._dropped = 0
        return text
