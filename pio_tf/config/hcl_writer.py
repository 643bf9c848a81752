"""Values as HCL text, laid out as ``terraform fmt`` would."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from msgspec import Struct

Value: TypeAlias = "str | int | bool | Expression | Sequence[Value] | Mapping[str, Value] | None"

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Expression(Struct, frozen=True):
    """An HCL expression: ``var.region``."""

    text: str


def attributes(values: Mapping[str, Value], *, indent: int = 0) -> str:
    """Return one ``name = value`` a line; a value of None is left out."""
    rendered = [
        (name if _IDENTIFIER.fullmatch(name) else quote(name), render(value, indent=indent))
        for name, value in values.items()
        if value is not None
    ]
    lines = []
    for several_lines, group in groupby(rendered, key=lambda pair: "\n" in pair[1]):
        run = list(group)
        # As in `terraform fmt`, equals signs line up over neighbouring one-line values.
        width = 0 if several_lines else max(len(name) for name, _ in run)
        lines += [f"{' ' * indent}{name.ljust(width)} = {text}\n" for name, text in run]
    return "".join(lines)


def block(head: str, values: Mapping[str, Value], *, indent: int = 0) -> str:
    """Return a block of attributes: ``head { … }``."""
    return f"{' ' * indent}{head} {render(values, indent=indent)}\n"


def render(value: Value, *, indent: int = 0) -> str:
    """Return a value as an HCL expression; a mapping, or a list of them, takes several lines, indented by ``indent``.

    Raises:
        TypeError: HCL has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, Mapping):
        inside = attributes(value, indent=indent + 2)
        return "{\n" + inside + " " * indent + "}" if inside else "{}"
    if isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
        pad = " " * (indent + 2)
        return "[\n" + "".join(f"{pad}{render(item, indent=indent + 2)},\n" for item in value) + " " * indent + "]"
    if isinstance(value, Sequence):
        return "[" + ", ".join(render(item, indent=indent) for item in value) + "]"
    raise TypeError(f"no HCL for {type(value).__name__}")


def quote(text: str) -> str:
    """Return a quoted HCL string for exactly ``text``: nothing in it is interpolated."""
    text = re.sub(r'[\x00-\x1f\x7f"\\]', lambda match: _ESCAPES.get(match[0]) or _unicode(match[0]), text)
    # "$${" means "${", but Terraform would read a dollar sign before it too: that case is escaped.
    return (
        '"'
        + re.sub(r"([$%]+)(?=\{)", lambda match: match[1] * 2 if len(match[1]) == 1 else _unicode(match[1]), text)
        + '"'
    )


def _unicode(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)
