"""Foreign text as Markdown that only shows it: it can add no mark-up, mention a user, or end a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def code(text: str) -> str:
    """Return text as inline code that fits into a table cell."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def plain(text: str) -> str:
    """Return text as one line, with HTML, mentions and emphasis escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#|@~])", r"\\\1", " ".join(text.split())).replace("\\@", "&#64;")


def fence(text: str, language: str = "") -> str:
    """Return a code block, with more backticks than the text has in a row."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table. The cells must be Markdown."""
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def folded(title: str, content: str) -> str:
    """Return content that a click on the title unfolds. The title must be HTML."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
