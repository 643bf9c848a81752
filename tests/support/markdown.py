"""Reading Markdown: what the pages of this project use of it."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """Return the contents of the fenced blocks."""
    return _FENCE.findall(text)


def code_spans(text: str) -> list[str]:
    """Return the texts between single backticks, outside fenced blocks; a line's end inside is a blank."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _FENCE.sub("", text))]


def links(text: str) -> list[str]:
    """Return the targets of the links."""
    return re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", text), flags=re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(anchor if anchor not in seen else f"{anchor}-{seen[anchor]}")
        seen[anchor] = seen.get(anchor, 0) + 1
    return found
