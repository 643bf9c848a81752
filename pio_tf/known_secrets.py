"""Known secrets in text: the forms in which programs write them, and a pattern that finds them all."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHORTEST = 4  # characters
_SHORTEST_IN_BASE64 = 6  # bytes: what is left of fewer is no more than four common letters
_IN_WORDS = "[A-Za-z0-9_]"


def written_forms(secret: str) -> Iterator[str]:
    """Return the texts that stand for a secret: itself, and as JSON, HTML, addresses and base64 write it.

    In base64, a secret looks different at each of three places in the text around it. Its first and last characters
    also depend on that text: they are left out.
    """
    yield secret
    for ascii_only in (True, False):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    yield from (html.escape(secret), quote(secret, safe=""), quote_plus(secret), quote(secret))
    data = secret.encode(errors="surrogateescape")
    if len(data) < _SHORTEST_IN_BASE64:
        return
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode()
        text = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield from (text, text.replace("+", "-").replace("/", "_"))


def forms_of(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return every written form of the secrets, longest first."""
    forms = {form for secret in set(secrets) - {""} for form in written_forms(secret)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def pattern_of(secrets: Iterable[str], *, shortest: int = _SHORTEST) -> str:
    """Return a regular expression for any written form of the secrets, for Python and Perl; empty if there are none.

    Args:
        shortest: characters. A shorter secret would hide half of a text: it must stand alone, not inside a word.
    """
    secrets = sorted(set(secrets) - {""}, key=len)
    alone = {form: len(secret) < shortest for secret in secrets for form in written_forms(secret)}
    return "|".join(
        f"(?<!{_IN_WORDS}){re.escape(form)}(?!{_IN_WORDS})" if alone[form] else re.escape(form)
        for form in forms_of(secrets)
    )
