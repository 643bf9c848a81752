"""Expressions of GitHub Actions, ``${{ … }}``, as far as our workflows use them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(==|!=|&&|\|\||[!(),])|([\w-]+(?:\.[\w-]+)*))")
STATUS = ("always", "cancelled", "failure", "success")
"""Functions that ask how the job goes: a condition without one of them has an unspoken success()."""


class Context:
    """The meaning of names and functions."""

    def __init__(self, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.names = names
        self.functions = functions

    def text(self, template: object) -> str:
        """Return a value of a workflow, with its expressions replaced."""
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: _as_text(self.value(match[1])), _as_text(template))

    def condition(self, expression: str) -> bool:
        """Evaluate an ``if``, with or without its braces."""
        inner = expression.strip()
        if inner.startswith("${{"):
            inner = inner[3:-2]
        asks = any(f"{name}(" in inner for name in STATUS)
        return bool(self.value(inner)) and (asks or bool(self.functions["success"]()))

    def value(self, expression: str) -> Any:  # noqa: ANN401 - as JSON has it
        """Return the value of an expression."""
        tokens = list(_tokens(expression))
        value = self._either(tokens)
        assert not tokens, f"{expression}: left over: {tokens}"
        return value

    def _either(self, tokens: list[tuple[str, str]]) -> Any:  # noqa: ANN401
        value = self._both(tokens)
        while tokens and tokens[0] == ("operator", "||"):
            tokens.pop(0)
            other = self._both(tokens)
            value = value or other
        return value

    def _both(self, tokens: list[tuple[str, str]]) -> Any:  # noqa: ANN401
        value = self._comparison(tokens)
        while tokens and tokens[0] == ("operator", "&&"):
            tokens.pop(0)
            other = self._comparison(tokens)
            value = value and other
        return value

    def _comparison(self, tokens: list[tuple[str, str]]) -> Any:  # noqa: ANN401
        value = self._one(tokens)
        while tokens and tokens[0][1] in ("==", "!=") and tokens[0][0] == "operator":
            equal = tokens.pop(0)[1] == "=="
            value = (_as_text(value) == _as_text(self._one(tokens))) is equal
        return value

    def _one(self, tokens: list[tuple[str, str]]) -> Any:  # noqa: ANN401
        kind, text = tokens.pop(0)
        if kind == "text":
            return text
        if (kind, text) == ("operator", "!"):
            return not self._one(tokens)
        if (kind, text) == ("operator", "("):
            value = self._either(tokens)
            assert tokens.pop(0)[1] == ")"
            return value
        assert kind == "name", text
        if tokens and tokens[0] == ("operator", "("):
            tokens.pop(0)
            arguments = []
            while tokens[0][1] != ")":
                arguments.append(self._either(tokens))
                if tokens[0][1] == ",":
                    tokens.pop(0)
            tokens.pop(0)
            return self.functions[text](*arguments)
        return self._lookup(text)

    def _lookup(self, name: str) -> Any:  # noqa: ANN401
        """Look up a name: a missing value is None, as GitHub has it, but a context must exist."""
        first, *rest = name.split(".")
        value: Any = self.names[first]
        for part in rest:
            value = value.get(part) if isinstance(value, dict) else None
        return value


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    position = 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match, f"not understood: {text[position:]}"
        position = match.end()
        if match[1] is not None:
            yield "text", match[1].replace("''", "'")
        elif match[2] is not None:
            yield "operator", match[2]
        else:
            yield "name", match[3]


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
