"""A terminal to look at: a pseudo-terminal, and what its screen shows after everything that was written to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_PARTS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """Knows what pio-tf uses: text, line ends, cursor up, clearing the rest of the screen; colours are dropped."""

    def __init__(self, *, columns: int = 100, rows: int = 24) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._received = bytearray()
        self._there = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def open(self) -> TextIO:
        """Open a text stream to this terminal, buffered by lines as Python's are."""
        return os.fdopen(os.dup(self._slave), "w", buffering=1, encoding="utf-8")

    def close(self) -> None:
        """Take it away, as a closed window does: what is written to it then is an error."""
        if self._there:
            self._there = False
            self._reader.join(timeout=60)
            os.close(self._slave)
            os.close(self._master)

    @property
    def raw(self) -> str:
        """The whole output, control sequences too."""
        return bytes(self._received).decode(errors="ignore")

    @property
    def lines(self) -> list[str]:
        """The text on a screen with room for everything."""
        lines, row, column = [""], 0, 0
        for parameter, command, newline, text in _PARTS.findall(self.raw):
            if command == "A":
                row -= int(parameter or 1)
            elif command == "J":
                lines[row:] = [lines[row][:column]]
            elif newline == "\r":
                column = 0
            elif newline == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif text:
                lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
                column += len(text)
            else:
                assert command == "m", (parameter, command)
        return lines

    def until(self, holds: Callable[[list[str]], bool], *, seconds: float = 60.0) -> list[str]:
        """Wait until this holds for the lines; return them."""
        end = time.monotonic() + seconds
        while not holds(lines := self.lines):
            assert time.monotonic() < end, lines
            time.sleep(0.02)
        return lines

    def _read(self) -> None:
        while self._there:
            if select.select([self._master], [], [], 0.05)[0]:
                self._received += os.read(self._master, 65536)
