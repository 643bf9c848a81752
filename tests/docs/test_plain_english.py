"""All text that users read is plain English, without words that a reader has to decode."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = re.compile(
    r"\b(somebody|someone|nobody|no\s+one|anybody|anyone|everyone|whoever|whom|whence|hence|thereof|upon|shall"
    r"|anew|mend(s|ed|ing)?|in\s+vain|as\s+a\s+rule|for\s+people"
    r"|lets?\s+go|let(ting)?\s+go|(is|are)\s+told|kept\s+plans?|strangers?"
    r"|(of|for|without)\s+which|in\s+(its|their)\s+stead|for\s+want\s+of|(the|that)\s+very|so\s+much|whichever|wherever"
    r"|(go|goes|gone|going|went)\s+on|by\s+hand|bec[ao]mes?\s+of|what\s+(is\s+there|it\s+is)|(is|are)\s+said|one's\s+own)\b",
    re.IGNORECASE,
)
READ = sorted(
    path
    for pattern in ("*.md", "docs/*", "terraform/**/*", "pio_tf/**/*", "scripts/*.md", "scripts/*.hcl")
    for path in ROOT.glob(pattern)
    if path.is_file()
    and not {"__pycache__", ".terraform", "dist"} & set(path.parts)
    # Machines get the parts of the bootstrap script as user data, comments and all, and that stays as it is.
    and not path.match("terraform/modules/bootstrap/*.sh")
)


def decoded(text: str) -> list[str]:
    """Return the lines of a text, with their numbers, that hold such a word. A word may break at a line's end."""
    joined = re.sub(r"\n[ #\"*/]*", lambda gap: " " * len(gap[0]), text)
    return [f"{text.count(chr(10), 0, match.start()) + 1}: {match[0]}" for match in WORDS.finditer(joined)]


def prose(path: Path) -> str:
    """Return the comments and docstrings of a Python file."""
    with tokenize.open(path) as file:
        tokens = tokenize.generate_tokens(file.readline)
        return "\n".join(
            one.string for one in tokens if one.type == tokenize.COMMENT or one.string.startswith(('"""', 'r"""'))
        )


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_has_to_be_decoded(path: Path) -> None:
    assert decoded(path.read_text(encoding="utf-8")) == []


def test_no_word_of_a_docstring_or_comment_has_to_be_decoded() -> None:
    """Read scripts and tests, without their other texts, which are data."""
    found = {
        str(path.relative_to(ROOT)): words
        for part in ("scripts", "tests")
        for path in sorted((ROOT / part).rglob("*.py"))
        if not {"__pycache__", "upgrade"} & set(path.parts) and (words := decoded(prose(path)))
    }
    assert found == {}


def test_such_a_word_is_found_wherever_it_stands() -> None:
    assert decoded("# Nobody\nknows.\n\nIt lets\n    go of it.\nAmend it.\n") == ["1: Nobody", "4: lets     go"]
    assert len(READ) > 200
