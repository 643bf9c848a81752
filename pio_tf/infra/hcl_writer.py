"""Writes values as HCL, laid out as ``terraform fmt`` would."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = "str | int | bool | Expression | Sequence[Value] | Mapping[str, Value] | None"

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Expression:
    """Written as it is: ``var.region``."""

    text: str


def attributes(values: Mapping[str, Value], *, indent: int = 0) -> str:
    """One ``name = value`` a line. As in ``terraform fmt``, equals signs line up over neighbouring one-line values."""
    rendered = [(_key(name), render(value, indent=indent)) for name, value in values.items()]
    widths = _widths(rendered)
    pad = " " * indent
    return "".join(f"{pad}{name.ljust(width)} = {text}\n" for (name, text), width in zip(rendered, widths, strict=True))


def render(value: Value, *, indent: int = 0) -> str:
    """A value as an HCL expression; a mapping, or a list of them, takes several lines, indented from ``indent`` spaces.

    Raises:
        TypeError: HCL has nothing like it.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        return "{\n" + attributes(value, indent=indent + 2) + " " * indent + "}"
    if isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
        pad = " " * (indent + 2)
        return "[\n" + "".join(f"{pad}{render(item, indent=indent + 2)},\n" for item in value) + " " * indent + "]"
    if isinstance(value, Sequence):
        return "[" + ", ".join(render(item, indent=indent) for item in value) + "]"
    raise TypeError(f"no HCL for {type(value).__name__}")


def quote(text: str) -> str:
    """A quoted HCL string that stands for exactly ``text``: nothing in it is interpolated."""
    # "$${" stands for "${", but a dollar sign before that would be read along with it: hence the escaped form there.
    text = "".join(_ESCAPES.get(character, character) for character in text)
    text = re.sub(r"([$%]+)\{", _escape_template, text)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", text) + '"'


def _escape_template(match: re.Match[str]) -> str:
    marks = match[1]
    if len(marks) == 1:
        return f"{marks}{marks}{{"
    return "".join(f"\\u{ord(mark):04x}" for mark in marks) + "{"


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else quote(name)


def _widths(rendered: Sequence[tuple[str, str]]) -> list[int]:
    """Width of each name: that of the longest in its run of one-line values. A value of several lines ends its run."""
    widths: list[int] = []
    run: list[str] = []
    for name, text in rendered:
        if "\n" in text:
            widths += [max(map(len, run), default=0)] * len(run)
            widths.append(len(name))
            run = []
        else:
            run.append(name)
    return widths + [max(map(len, run), default=0)] * len(run)
