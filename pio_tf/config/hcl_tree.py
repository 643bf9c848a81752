"""The reader of any pio-tf.hcl, with python-hcl2.

It evaluates only literals and ``env("NAME")``, alone or inside a string. ``ssm("…")`` and ``secretsmanager("…")`` stay
references. A configuration is data that means the same for every reader, so the reader refuses references to other
values, functions, operators and conditions.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import hcl2
from hcl2.rules.base import AttributeRule, BlockRule, BodyRule
from hcl2.rules.containers import ObjectRule, TupleRule
from hcl2.rules.expressions import ExprTermRule, UnaryOpRule
from hcl2.rules.functions import FunctionCallRule
from hcl2.rules.literal_rules import FloatLitRule, IdentifierRule, IntLitRule, LiteralValueRule
from hcl2.rules.strings import HeredocTemplateRule, InterpolationRule, StringRule
from lark.exceptions import LarkError
from msgspec.structs import replace

from pio_tf.config.hcl_document import HclDocument, Value
from pio_tf.config.hcl_text import heredoc_body, hide_escapes, literal, show_escapes, unescape
from pio_tf.config.kinds import SecretReference
from pio_tf.config.problems import Problem, UnreadableHcl
from pio_tf.config.syntax_errors import explain_syntax_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Node: TypeAlias = Any  # python-hcl2's rules have no common type with a position

ONLY_ENV = 'only env("NAME") is evaluated in this file; write the value itself'

_SECRETS: dict[str, tuple[int, str]] = {
    "ssm": (1, 'ssm takes the name of a parameter in quotes, like ssm("/pio/password")'),
    "secretsmanager": (
        2,
        'secretsmanager takes a name or ARN in quotes, and a key if the secret is JSON: secretsmanager("x", "key")',
    ),
}
"""By function, the highest number of arguments, and the message for wrong ones."""
_ENV_WANTS = 'env takes one name in quotes, like env("NAME")'
_PLAIN_KEY = "the keys of a map must be plain text"
_LONGEST_NUMBER = 100
"""Digits of a number: Terraform keeps more than 150."""
_NUMBER_KEY = re.compile(rf"0|[1-9]\d{{0,{_LONGEST_NUMBER - 1}}}")
_HEREDOC_TEMPLATE = re.compile(r'\$\{[ \t]*env\([ \t]*"([^"\n]*)"[ \t]*\)[ \t]*\}|(\$\{|%\{)')


class _BadValue(Exception):
    """An expression cannot be evaluated. The document's problems say why."""


def read_tree(text: str, *, environ: Mapping[str, str], labelled: Mapping[str, str]) -> HclDocument:
    """Read a text; see :func:`pio_tf.config.hcl.read_hcl`."""
    lines = text.split("\n")
    text = hide_escapes(text).replace("\r\n", "\n")
    try:
        tree = hcl2.parses(text)
    except LarkError as error:
        problem = explain_syntax_error(text, error)
        raise UnreadableHcl(replace(problem, message=show_escapes(problem.message))) from error
    except RecursionError as error:
        raise UnreadableHcl(Problem(None, "", "is nested too deeply to be read")) from error
    windows = {number for number, line in enumerate(lines, 1) if line.endswith("\r")}
    reader = _Reader(environ, labelled, windows)
    reader.read_body(tree.body, "", reader.document.data)
    return reader.document


class _Reader:
    """Reads a syntax tree into a document."""

    def __init__(self, environ: Mapping[str, str], labelled: Mapping[str, str], windows: set[int]) -> None:
        self.document = HclDocument()
        self._environ = environ
        self._labelled = labelled
        self._windows = windows
        """Lines that end with CRLF."""

    def read_body(self, body: BodyRule, prefix: str, data: dict[str, Value]) -> None:
        """Read the attributes and blocks of a block into ``data``."""
        previous_end = 0
        for item in body.children:
            if not isinstance(item, (AttributeRule, BlockRule)):
                continue
            name = _name(item.identifier if isinstance(item, AttributeRule) else item.labels[0])
            path = prefix + name
            if _line(item) == previous_end:
                self._report(item, path, "must begin on a line of its own")
            previous_end = _end_line(item)
            if isinstance(item, BlockRule):
                self._read_block(item, path, name, data)
            elif self._is_first(item, path):
                self._read_attribute(item, path, name, data)

    def _read_block(self, block: BlockRule, path: str, name: str, data: dict[str, Value]) -> None:
        document, labels = self.document, tuple(_name(label) for label in block.labels[1:])
        if path in self._labelled:
            if len(labels) != 1:
                self._report(block, path, f"needs one label: write {name} {self._labelled[path]} {{ … }}")
                document.unread.add(path)
                return
            if path not in document.blocks and not self._is_first(block, path):
                return  # an option with this name, which is reported elsewhere
            document.blocks.add(path)
            data, name, path, labels = data.setdefault(name, {}), labels[0], f"{path}.{labels[0]}", ()
        if not self._is_first(block, path):
            return
        document.blocks.add(path)
        if labels:
            document.labels[path] = labels
        data[name] = {}
        self.read_body(block.body, f"{path}.", data[name])

    def _read_attribute(self, attribute: AttributeRule, path: str, name: str, data: dict[str, Value]) -> None:
        try:
            value = self._evaluate(path, attribute.expression)
        except _BadValue:
            self.document.unread.add(path)
            return
        if value is not None:  # null means "as if it were not there", as in Terraform
            data[name] = value

    def _is_first(self, item: AttributeRule | BlockRule, path: str) -> bool:
        """Note the line of a name, or report that it has one already."""
        line = self.document.lines.get(path)
        if line is None:
            self.document.lines[path] = _line(item)
            return True
        kind = "block" if isinstance(item, BlockRule) else "option"
        self._report(item, path, f"this {kind} is already in line {line}; keep one of the two")
        return False

    def _report(self, node: Node, path: str, message: str) -> None:
        self.document.problems.append(Problem(_line(node), path, message))

    def _refuse(self, node: Node, path: str, message: str) -> NoReturn:
        self._report(node, path, message)
        raise _BadValue

    def _evaluate(self, path: str, expression: Node) -> Value:
        node = _unwrap(expression)
        if isinstance(node, TupleRule):
            return list(self._items(path, ((str(index), item) for index, item in enumerate(node.elements))).values())
        if isinstance(node, ObjectRule):
            return self._items(path, self._entries(path, node).items())
        if isinstance(node, StringRule):
            return self._string(path, node)
        if isinstance(node, HeredocTemplateRule):  # also the trimmed kind, its subclass
            return self._heredoc(path, node)
        if isinstance(node, FunctionCallRule):
            return self._reference(path, node) if _function(node) in _SECRETS else self._env(path, node)
        if isinstance(node, LiteralValueRule):
            return {"true": True, "false": False, "null": None}[str(node.token.value)]
        if isinstance(node, UnaryOpRule) and node.operator == "-":
            return -self._number(path, _unwrap(node.expr_term))
        return self._number(path, node)

    def _items(self, path: str, items: Iterable[tuple[str, Node]]) -> dict[str, Value]:
        """Evaluate all items of a list or map, and report the problems of all."""
        values = {}
        bad = False
        for key, item in items:
            inner = f"{path}.{key}"
            self.document.lines.setdefault(inner, _line(item))
            try:
                values[key] = self._evaluate(inner, item)
            except _BadValue:
                bad = True
        if bad:
            raise _BadValue
        return values

    def _entries(self, path: str, node: ObjectRule) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for element in node.elements:
            key = self._key(path, element.key)
            if not entries and key == "for" and not isinstance(_unwrap(element.key.children[0]), StringRule):
                self._refuse(element, path, 'write "for" in quotes: {for begins an expression, which is not evaluated')
            if key in entries:
                self._refuse(element, f"{path}.{key}", "is twice in this map; keep one of the two")
            entries[key] = element.expression
        return entries

    def _key(self, path: str, key: Node) -> str:
        inner = _unwrap(key.children[0])
        if isinstance(inner, StringRule):
            return self._plain_string(path, inner, _PLAIN_KEY)
        number = isinstance(inner, IntLitRule) and _NUMBER_KEY.fullmatch(str(inner.token.value))
        if getattr(key.children[0], "parentheses", False) or not (
            number or isinstance(inner, (IdentifierRule, LiteralValueRule))
        ):
            self._refuse(key, path, 'a key that is more than a word must be in quotes, like "spark.local.dir"')
        return str(inner.token.value)

    def _plain_string(self, path: str, node: StringRule, wanted: str) -> str:
        if any(isinstance(part.content, InterpolationRule) for part in node.string_parts):
            self._refuse(node, path, wanted)
        return self._string(path, node)

    def _string(self, path: str, node: StringRule) -> str:
        pieces: list[str] = []
        for part in node.string_parts:
            content = part.content
            text = str(getattr(content, "value", ""))
            if isinstance(content, InterpolationRule):
                call = _unwrap(content.expression)
                if not isinstance(call, FunctionCallRule):
                    self._refuse(content, path, ONLY_ENV)
                pieces.append(self._env(path, call))
            elif content.lark_name() == "STRING_CHARS":
                pieces.append(self._checked(unescape, path, node, text))
            else:
                self._refuse(node, path, ONLY_ENV)
        return "".join(pieces)

    def _checked(self, read: Callable[[str], str], path: str, node: Node, text: str) -> str:
        try:
            return read(text)
        except ValueError as error:
            self._refuse(node, path, str(error))

    def _heredoc(self, path: str, node: HeredocTemplateRule) -> str:
        body = self._checked(heredoc_body, path, node, str(node.heredoc.value))
        if self._windows.intersection(range(_line(node), _line(node) + body.count("\n") + 1)):
            self._refuse(node, path, "has Windows line ends (CRLF) in its text; save the file with Unix line ends (LF)")
        pieces, end = [], 0
        for found in _HEREDOC_TEMPLATE.finditer(body):
            if found[2]:
                self._refuse(node, path, ONLY_ENV)
            pieces += [literal(body[end : found.start()]), self._variable(path, node, found[1])]
            end = found.end()
        return "".join([*pieces, literal(body[end:])])

    def _env(self, path: str, call: FunctionCallRule) -> str:
        name = _function(call)
        if name in _SECRETS:
            self._refuse(call, path, f"{name}(…) must be the whole value of a password, not a part of it")
        if name != "env":
            self._refuse(call, path, f"{name}(…): {ONLY_ENV}")
        (argument,) = self._arguments(path, call, 1, _ENV_WANTS)
        return self._variable(path, call, argument)

    def _variable(self, path: str, node: Node, name: str) -> str:
        if not re.fullmatch(r"[^\s=\0]+", name):
            self._refuse(node, path, _ENV_WANTS)
        if name not in self._environ:
            message = f"the environment variable {name} is not set; run `export {name}=…` first, or write the value"
            self._refuse(node, path, message)
        self.document.from_environment.setdefault(path, []).append(self._environ[name])
        if bad := re.search("[\ud800-\udfff]", self._environ[name]):
            byte = f"0x{ord(bad[0]) & 0xFF:02x}"
            self._refuse(node, path, f"the environment variable {name} is not UTF-8 text (byte {byte})")
        return self._environ[name]

    def _reference(self, path: str, call: FunctionCallRule) -> SecretReference:
        name = _function(call)
        most, wants = _SECRETS[name]
        arguments = self._arguments(path, call, most, wants)
        if any(not argument.strip() for argument in arguments):
            self._refuse(call, path, wants)
        return SecretReference("ssm" if name == "ssm" else "secretsmanager", *arguments)

    def _arguments(self, path: str, call: FunctionCallRule, most: int, wants: str) -> list[str]:
        """Return the arguments of a call: at least one, all plain text."""
        nodes = [_unwrap(argument) for argument in (call.arguments.arguments if call.arguments else [])]
        if not 1 <= len(nodes) <= most or not all(isinstance(node, StringRule) for node in nodes):
            self._refuse(call, path, wants)
        return [self._plain_string(path, node, wants) for node in nodes]

    def _number(self, path: str, node: Node) -> int | float:
        if not isinstance(node, (IntLitRule, FloatLitRule)):
            self._refuse(node, path, ONLY_ENV)
        text = str(node.token.value)
        if len(text) > _LONGEST_NUMBER or not isfinite(float(text)):
            self._refuse(node, path, "has too many digits for a number")
        return int(text) if isinstance(node, IntLitRule) else float(text)


def _function(call: FunctionCallRule) -> str:
    return "::".join(str(identifier.serialize()) for identifier in call.identifiers)


def _unwrap(node: Node) -> Node:
    while isinstance(node, ExprTermRule):
        node = node.expression
    return node


def _name(head: IdentifierRule | StringRule) -> str:
    return str(head.serialize()).strip('"')


def _line(node: Node) -> int:
    """Return the line where a node starts, from 1."""
    return int(getattr(node._meta, "line", 1))  # noqa: SLF001 - the tree has no public positions


def _end_line(item: AttributeRule | BlockRule) -> int:
    """Return the last line of an item; 0 if nothing of that line is used: a heredoc includes its newline."""
    meta = item._meta  # noqa: SLF001 - the tree has no public positions
    return int(getattr(meta, "end_line", 0)) if getattr(meta, "end_column", 0) > 1 else 0
