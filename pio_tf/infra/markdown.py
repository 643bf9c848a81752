"""Text of somebody else's as Markdown that shows it and nothing more: no mark-up, no mention, no end of a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def code(text: str) -> str:
    """Between backticks, as many as it takes; fit for a cell of a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def plain(text: str) -> str:
    """One line of a sentence: what would be HTML, a mention or emphasis is shown as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|@~])", r"\\\1", " ".join(text.split())).replace("\\@", "&#64;")


def fence(text: str, language: str = "") -> str:
    """A block of code, whatever stands in it."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the cells are Markdown already."""
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def folded(title: str, content: str) -> str:
    """Something that is shown when it is clicked on. The title is HTML already."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
