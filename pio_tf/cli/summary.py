"""A command's result, or its error, as Markdown: for the page of a CI job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pio_tf.cli.output import Rows
    from pio_tf.errors import PioTfError

_ROWS = 200
_CHARACTERS = 50_000
"""Of an error. GitHub takes 1 MiB a step, and shows none of what is longer."""


def result_summary(command: str, rows: Rows) -> str:
    """Heading, table and closing line; nothing of a command that has only done something."""
    if rows.markdown:
        return f"{rows.markdown.rstrip()}\n\n"
    if not (rows.rows or rows.closing):
        return ""
    parts = [f"### {escape(command)}"]
    if rows.rows:
        lines = [_row(rows.columns), _row(("---",) * len(rows.columns), raw=True)]
        parts.append("\n".join([*lines, *(_row(row) for row in rows.rows[:_ROWS])]))
    if len(rows.rows) > _ROWS:
        parts.append(f"… and {len(rows.rows) - _ROWS} more")
    if rows.closing:
        parts.append(escape(rows.closing))
    return "\n\n".join(parts) + "\n\n"


def error_summary(command: str, error: PioTfError) -> str:
    """Heading, and what the error says: what, cause, next step."""
    text = str(error)
    if len(text) > _CHARACTERS:
        text = text[:_CHARACTERS] + " …"
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall(r"`{3,}", text))])
    return f"### {escape(command)} failed (exit code {error.exit_code})\n\n{fence}text\n{text}\n{fence}\n\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)


def _row(cells: tuple[str, ...], *, raw: bool = False) -> str:
    shown = cells if raw else tuple("<br>".join(escape(cell).splitlines()) for cell in cells)
    return f"| {' | '.join(shown)} |"
