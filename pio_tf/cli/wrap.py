"""Prose on a terminal: broken between words, where the terminal itself would break amid one."""

from __future__ import annotations

import re
import textwrap

_KEPT = "\0"
"""Stands for a blank in a command meanwhile."""


def wrap_words(text: str, width: int) -> str:
    """Break long lines between words. A command in backticks stays whole, so that it can be copied."""
    return "\n".join(_wrap(line, width) for line in text.split("\n"))


def _wrap(line: str, width: int) -> str:
    if len(line) <= width or "\x1b" in line:
        return line
    kept = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", _KEPT), line)
    indent = line[: len(line) - len(line.lstrip())]
    lines = textwrap.wrap(kept, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_KEPT, " ")
