"""Lines of text from a stream of bytes, in bounded memory."""

from __future__ import annotations

LONGEST_LINE = 64 * 1024
"""The longest line, in bytes. PIO's ``Submission command`` with its class path is some 10 KiB."""


class LineSplitter:
    """A buffer that collects bytes and returns whole lines. Bytes that are not UTF-8 become U+FFFD.

    A line longer than ``longest`` is cut, and says so. A line that rewrites itself with carriage returns (a progress
    bar) ends as a terminal would show it.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._kept = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that these bytes complete."""
        *whole, rest = data.split(b"\n")
        lines = []
        for part in whole:
            self._keep(part)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def end(self) -> list[str]:
        """Return the last line, if it did not end with a newline."""
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
