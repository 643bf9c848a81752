"""JSON that others have written: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON may be anything
    """What a text says.

    Raises:
        ValueError: it is no JSON (:class:`json.JSONDecodeError`, :class:`UnicodeDecodeError`), or none that Python
            reads: nested more deeply than its stack, or with a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
