"""The reader of plain HCL: blocks and options of text, numbers, lists, maps and ``env("NAME")``, without a mistake.

It returns nothing for a text that it does not know wholly: heredocs, templates, escapes beyond the usual ones, Windows
line ends, mistakes. What it returns is what python-hcl2 would read; ``tests/fuzz/test_hcl_plain.py`` compares them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from pio_tf.config.hcl_document import HclDocument, Value
from pio_tf.config.kinds import SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN: Final = re.compile(
    r"""
      (?P<blank>   [ \t]+ | (?:\#|//)[^\n]* )
    | (?P<newline> \n )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_-]* )
    | (?P<string>  "(?:[\ !\#&-\[\]-~]|[$%](?![$%{])|\\[nrt"\\])*" )
    | (?P<number>  (?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?![\w.-]) )
    | (?P<mark>    [{}\[\](),:=] )
    """,
    re.VERBOSE,
)
"""A string is of printable ASCII characters. Comments may hold any character."""
_REFUSED: Final = re.compile("[\r\ufdd0\ufdd1]")
"""Characters that a text must not have anywhere, or that need more care."""
_KEYWORDS: Final = frozenset(("if", "in", "for", "for_each", "else", "endif", "endfor", "true", "false", "null"))
_LITERALS: Final[Mapping[str, Value]] = {"true": True, "false": False, "null": None}
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_VARIABLE: Final = re.compile(r"[^\s=\0]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEEPEST: Final = 40
"""Nested lists, maps and blocks. Python's own limit is far above it."""


class _NotPlain(Exception):
    """The text is not plain, or has a mistake."""


def read_plain(text: str, *, environ: Mapping[str, str], labelled: Mapping[str, str]) -> HclDocument | None:
    """Read a text as :func:`pio_tf.config.hcl.read_hcl` does; None if it is not plain."""
    if _REFUSED.search(text):
        return None
    reader = _Reader(_split(text), environ, labelled)
    try:
        reader.read()
    except _NotPlain:
        return None
    return reader.document


def _split(text: str) -> list[tuple[str, str, int]]:
    """Return kind, text and line of each token. What is no token has the kind "other", and ends the list."""
    tokens, position, line = [], 0, 1
    while found := _TOKEN.match(text, position):
        position, kind = found.end(), str(found.lastgroup)
        if kind != "blank":
            tokens.append((kind, found[0], line))
        line += kind == "newline"
    tokens.append(("end" if position == len(text) else "other", "", line))
    return tokens


class _Reader:
    """Reads tokens into a document; each method begins at the next token, and ends behind what it has read."""

    def __init__(
        self, tokens: list[tuple[str, str, int]], environ: Mapping[str, str], labelled: Mapping[str, str]
    ) -> None:
        self.document = HclDocument()
        self._tokens = tokens
        self._next = 0
        self._environ = environ
        self._labelled = labelled
        self._depth = 0

    def read(self) -> None:
        """Read the whole text. Raise _NotPlain if it is not plain."""
        self._read_body("", self.document.data, end="end")

    def _read_body(self, prefix: str, data: dict[str, Value], *, end: str) -> None:
        previous_end = 0
        while True:
            self._skip_newlines()
            kind, name, line = self._take()
            if end == (name if kind == "mark" else kind):
                return
            if kind != "name" or name in _KEYWORDS or line == previous_end:
                self._refuse()
            if self._accept("="):
                self._note(prefix + name, line)
                value = self._read_value(prefix + name)
                if value is not None:
                    data[name] = value
            else:
                self._read_block(prefix + name, name, line, data)
            previous_end = self._tokens[self._next - 1][2]

    def _read_block(self, path: str, name: str, line: int, data: dict[str, Value]) -> None:
        labels = []
        while (label := self._take())[1] != "{":  # a string has its quotes
            if label[0] not in ("name", "string") or label[1] in _KEYWORDS or "\\" in label[1]:
                self._refuse()
            labels.append(label[1].strip('"'))
        if path in self._labelled:
            if len(labels) != 1:
                self._refuse()
            if path not in self.document.blocks:
                self._note(path, line)
            self.document.blocks.add(path)
            data, name, path, labels = data.setdefault(name, {}), labels[0], f"{path}.{labels[0]}", []
        self._note(path, line)
        self.document.blocks.add(path)
        if labels:
            self.document.labels[path] = tuple(labels)
        data[name] = {}
        self._enter()
        self._read_body(f"{path}.", data[name], end="}")
        self._depth -= 1

    def _read_value(self, path: str) -> Value:
        kind, text, _ = self._take()
        if kind == "string":
            return _unescaped(text)
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "name":
            return _LITERALS[text] if text in _LITERALS else self._read_call(path, text)
        if text not in ("[", "{"):
            self._refuse()
        self._enter()
        value: Value = self._read_list(path) if text == "[" else self._read_map(path)
        self._depth -= 1
        return value

    def _read_list(self, path: str) -> list[Value]:
        values: list[Value] = []
        self._skip_newlines()
        while not self._accept("]"):
            values.append(self._read_item(f"{path}.{len(values)}"))
            self._skip_newlines()
            if self._accept(","):
                self._skip_newlines()
            elif not self._is_next("]"):
                self._refuse()
        return values

    def _read_map(self, path: str) -> dict[str, Value]:
        values: dict[str, Value] = {}
        self._skip_newlines()
        while not self._accept("}"):
            kind, text, _ = self._take()
            if kind not in ("name", "string") or text in _KEYWORDS or not (self._accept("=") or self._accept(":")):
                self._refuse()
            key = _unescaped(text) if kind == "string" else text
            if key in values:
                self._refuse()
            values[key] = self._read_item(f"{path}.{key}")
            if not (self._accept(",") or self._tokens[self._next][0] == "newline" or self._is_next("}")):
                self._refuse()
            self._skip_newlines()
        return values

    def _read_item(self, path: str) -> Value:
        self.document.lines.setdefault(path, self._tokens[self._next][2])
        return self._read_value(path)

    def _read_call(self, path: str, function: str) -> Value:
        """Read ``env("NAME")`` or a reference to a secret, behind the function's name."""
        if not self._accept("("):
            self._refuse()
        arguments = [self._argument()]
        while self._accept(","):
            arguments.append(self._argument())
        if not self._accept(")"):
            self._refuse()
        match function, arguments:
            case "env", [name]:
                return self._variable(path, name)
            case "ssm", [name] if name.strip():
                return SecretReference("ssm", name)
            case "secretsmanager", [_] | [_, _] if all(argument.strip() for argument in arguments):
                return SecretReference("secretsmanager", *arguments)
            case _:
                raise _NotPlain

    def _argument(self) -> str:
        kind, text, _ = self._take()
        if kind != "string":
            self._refuse()
        return _unescaped(text)

    def _variable(self, path: str, name: str) -> str:
        value = self._environ.get(name)
        if value is None or not _VARIABLE.fullmatch(name) or _SURROGATE.search(value):
            self._refuse()
        self.document.from_environment.setdefault(path, []).append(value)
        return value

    def _note(self, path: str, line: int) -> None:
        """Note the line of a name, which must be the first one."""
        if path in self.document.lines:
            self._refuse()
        self.document.lines[path] = line

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse()

    def _take(self) -> tuple[str, str, int]:
        token = self._tokens[self._next]
        if self._next < len(self._tokens) - 1:
            self._next += 1
        elif token[0] == "other":
            self._refuse()
        return token

    def _is_next(self, mark: str) -> bool:
        kind, text, _ = self._tokens[self._next]
        return kind == "mark" and text == mark

    def _accept(self, mark: str) -> bool:
        """Take a token if it is this mark; return whether it was."""
        found = self._is_next(mark)
        self._next += found
        return found

    def _skip_newlines(self) -> None:
        while self._tokens[self._next][0] == "newline":
            self._next += 1

    @staticmethod
    def _refuse() -> NoReturn:
        raise _NotPlain


def _unescaped(quoted: str) -> str:
    """Return the value of a string in its quotes."""
    return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted[1:-1])
