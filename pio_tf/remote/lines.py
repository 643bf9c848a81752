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
        return split_lines(self.feed_text(data))

    def feed_text(self, data: bytes) -> str:
        """Return the lines that these bytes complete, in one text, each with a newline at its end."""
        whole = data.rfind(b"\n") + 1
        text = self._as_it_is(data[:whole])
        if text is None:
            text = "".join(map(self._take, data[:whole].split(b"\n")[:-1]))
        self._keep(data[whole:])
        return text

    def end(self) -> list[str]:
        """Return the last line, if it did not end with a newline."""
        return split_lines(self.end_text())

    def end_text(self) -> str:
        """Return the last line, with a newline, if it did not end with one."""
        return self._take(b"") if self._kept else ""

    def _as_it_is(self, data: bytes) -> str | None:
        """Return the text of whole lines at once; None: at least one of them must be changed."""
        if b"\r" in data or b"\r" in self._kept or self._dropped or not self._all_are_short(data):
            return None
        try:
            text = (self._kept + data).decode() if self._kept and data else data.decode()
        except UnicodeDecodeError:
            return None
        if data:
            self._kept.clear()
        return text

    def _all_are_short(self, data: bytes) -> bool:
        """Return whether no line is longer than allowed. Each step looks at one of many lines."""
        end = -1 - len(self._kept)
        while end + self._longest < len(data) - 1:
            following = data.rfind(b"\n", max(0, end + 1), end + self._longest + 2)
            if following < 0:
                return False
            end = following
        return True

    def _keep(self, part: bytes) -> None:
        room = self._longest - len(self._kept)
        self._kept += part[:room]
        self._dropped += max(0, len(part) - room)

    def _take(self, part: bytes) -> str:
        self._keep(part)
        text = self._kept.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        if self._dropped:
            text += f" … [{self._dropped} bytes more]"
        self._kept.clear()
        self._dropped = 0
        return f"{text}\n"


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, without the newline at the end of each."""
    return text.split("\n")[:-1]
