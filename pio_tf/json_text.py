"""JSON from untrusted sources: every mistake in it is a ValueError."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON may be anything
    """Parse a text.

    Raises:
        ValueError: the text is not JSON (:class:`json.JSONDecodeError`, :class:`UnicodeDecodeError`), or Python cannot
            read it: it is nested more deeply than the stack, or has a number with thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def as_object(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON may be anything
    """Return a value if it is an object, else an empty one: for answers whose form nothing guarantees."""
    return value if isinstance(value, dict) else {}
