"""Evaluates the values of pio-tf.hcl: literals, ``env("NAME")``, and references to secrets, which stay references."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hcl2.rules.containers import ObjectRule, TupleRule
from hcl2.rules.expressions import ExprTermRule, UnaryOpRule
from hcl2.rules.functions import FunctionCallRule
from hcl2.rules.literal_rules import FloatLitRule, IdentifierRule, IntLitRule, LiteralValueRule
from hcl2.rules.strings import HeredocTemplateRule, HeredocTrimTemplateRule, InterpolationRule, StringRule
from hcl2.utils import HEREDOC_PATTERN, HEREDOC_TRIM_PATTERN, process_escape_sequences

from pio_tf.config.kinds import SecretReference
from pio_tf.config.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

ONLY_ENV = 'only env("NAME") is evaluated in this file; write the value itself'

_SECRETS: dict[str, tuple[int, str]] = {
    "ssm": (1, 'ssm takes the name of a parameter in quotes, like ssm("/pio/password")'),
    "secretsmanager": (
        2,
        'secretsmanager takes a name or ARN in quotes, and a key where the secret is JSON: secretsmanager("x", "key")',
    ),
}
"""Function -> how many arguments it takes at most, and what it wants."""
_ENV_WANTS = 'env takes one name in quotes, like env("NAME")'
_ESCAPE = re.compile(r'\\(?:[nrt"\\]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(\\.?)', re.DOTALL)
_HEREDOC_TEMPLATE = re.compile(r'(\$\$\{|%%\{)|\$\{\s*env\(\s*"([^"\n]*)"\s*\)\s*\}|(\$\{|%\{)')


class BadValue(Exception):
    """A value that can't be evaluated; :attr:`problems` says why, and a list or map may have several."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


@dataclass
class Found:
    """A value, the lines of what is inside it, and which names in it came from the environment."""

    value: Any
    lines: dict[str, int] = field(default_factory=dict)
    from_environment: set[str] = field(default_factory=set)


def line_of(node: Any) -> int:  # noqa: ANN401 - the nodes have no common type with a position
    """The line where a node of the tree starts, counted from 1."""
    return int(getattr(node._meta, "line", 1))  # noqa: SLF001 - the tree has no public way to its positions


class Evaluator:
    """Evaluates expressions against an environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def evaluate(self, expression: Any, path: str) -> Found:  # noqa: ANN401 - the nodes are untyped
        """The value of an expression that stands at ``path``.

        Raises:
            BadValue: it is more than a literal or ``env("NAME")``, or the variable is not set.
        """
        node = _unwrap(expression)
        if isinstance(node, TupleRule):
            return self._items(path, [(str(index), element) for index, element in enumerate(node.elements)], list)
        if isinstance(node, ObjectRule):
            return self._object(path, node)
        if isinstance(node, StringRule):
            return self._string(path, node)
        if isinstance(node, HeredocTemplateRule):  # also the trimmed kind, its subclass
            return self._heredoc(path, node)
        if isinstance(node, FunctionCallRule):
            if _function(node) in _SECRETS:
                return Found(self._reference(path, node))
            return Found(self._call(path, node), from_environment={path})
        return Found(_scalar(path, node))

    def _items(self, path: str, items: list[tuple[str, Any]], kind: type[list[Any]] | type[dict[str, Any]]) -> Found:
        whole = Found(None)
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for key, element in items:
            inner = f"{path}.{key}"
            whole.lines[inner] = line_of(element)
            try:
                found = self.evaluate(element, inner)
            except BadValue as bad:
                problems += bad.problems
                continue
            values[key] = found.value
            whole.lines.update(found.lines)
            whole.from_environment |= found.from_environment
        if problems:
            raise BadValue(*problems)
        whole.value = list(values.values()) if kind is list else values
        return whole

    def _object(self, path: str, node: ObjectRule) -> Found:
        items: dict[str, Any] = {}
        for element in node.elements:
            key = self._key(path, element.key)
            if key in items:
                raise BadValue(Problem(line_of(element), f"{path}.{key}", "stands twice in this map"))
            items[key] = element.expression
        return self._items(path, list(items.items()), dict)

    def _key(self, path: str, key: Any) -> str:  # noqa: ANN401 - the nodes are untyped
        inner = _unwrap(key.children[0])
        if isinstance(inner, StringRule):
            found = self._string(path, inner)
            if found.from_environment:
                raise BadValue(Problem(line_of(key), path, "the keys of a map must be plain text"))
            return str(found.value)
        if isinstance(inner, (IdentifierRule, LiteralValueRule, IntLitRule, FloatLitRule)):
            return str(inner.token.value)
        message = 'a key that is more than a word must stand in quotes, like "spark.local.dir"'
        raise BadValue(Problem(line_of(key), path, message))

    def _string(self, path: str, node: StringRule) -> Found:
        pieces: list[str] = []
        from_environment: set[str] = set()
        for part in node.string_parts:
            content = part.content
            if isinstance(content, InterpolationRule):
                pieces.append(self._interpolated(path, content))
                from_environment.add(path)
                continue
            kind, text = content.lark_name(), str(getattr(content, "value", ""))
            if kind == "STRING_CHARS":
                pieces.append(_unescape(path, line_of(node), text))
            elif kind in ("ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE"):
                pieces.append(text[1:])  # $${x} means ${x}
            else:
                raise BadValue(Problem(line_of(node), path, ONLY_ENV))
        return Found("".join(pieces), from_environment=from_environment)

    def _interpolated(self, path: str, node: InterpolationRule) -> str:
        call = _unwrap(node.expression)
        if not isinstance(call, FunctionCallRule):
            raise BadValue(Problem(line_of(node), path, ONLY_ENV))
        return self._call(path, call)

    def _heredoc(self, path: str, node: HeredocTemplateRule) -> Found:
        trim = isinstance(node, HeredocTrimTemplateRule)
        match = (HEREDOC_TRIM_PATTERN if trim else HEREDOC_PATTERN).match(str(node.heredoc.value))
        body = match[2] if match else ""
        body = re.sub(r"\n?[ \t]*\Z", "", body, count=1)
        if trim:
            lines = body.split("\n")
            margin = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
            body = "\n".join(line[margin:] for line in lines)
        from_environment: set[str] = set()

        def replace(found: re.Match[str]) -> str:
            if found[1]:
                return found[1][1:]
            if found[3]:
                raise BadValue(Problem(line_of(node), path, ONLY_ENV))
            from_environment.add(path)
            return self._variable(path, line_of(node), found[2])

        return Found(_HEREDOC_TEMPLATE.sub(replace, body), from_environment=from_environment)

    def _call(self, path: str, call: FunctionCallRule) -> str:
        name, line = _function(call), line_of(call)
        if name in _SECRETS:
            raise BadValue(Problem(line, path, f"{name}(…) is the whole value of a password, never a part of one"))
        if name != "env":
            raise BadValue(Problem(line, path, f"{name}(…): {ONLY_ENV}"))
        (argument,) = self._texts(path, call, 1, _ENV_WANTS)
        return self._variable(path, line, argument)

    def _reference(self, path: str, call: FunctionCallRule) -> SecretReference:
        name = _function(call)
        most, wants = _SECRETS[name]
        arguments = self._texts(path, call, most, wants)
        if any(not argument.strip() for argument in arguments):
            raise BadValue(Problem(line_of(call), path, wants))
        return SecretReference("ssm" if name == "ssm" else "secretsmanager", *arguments)

    def _texts(self, path: str, call: FunctionCallRule, most: int, wants: str) -> list[str]:
        """The arguments of a call, which are all plain text: at least one."""
        nodes = [_unwrap(argument) for argument in (call.arguments.arguments if call.arguments else [])]
        if not 1 <= len(nodes) <= most or not all(isinstance(node, StringRule) for node in nodes):
            raise BadValue(Problem(line_of(call), path, wants))
        found = [self._string(path, node) for node in nodes]
        if any(one.from_environment for one in found):
            raise BadValue(Problem(line_of(call), path, wants))
        return [one.value for one in found]

    def _variable(self, path: str, line: int, name: str) -> str:
        if not re.fullmatch(r"[^\s=\0]+", name):
            raise BadValue(Problem(line, path, _ENV_WANTS))
        if name not in self._environ:
            message = f"the environment variable {name} is not set; run `export {name}=…` first, or write the value"
            raise BadValue(Problem(line, path, message))
        return self._environ[name]


def _function(call: FunctionCallRule) -> str:
    return "::".join(str(identifier.serialize()) for identifier in call.identifiers)


def _unwrap(node: Any) -> Any:  # noqa: ANN401 - the nodes are untyped
    while isinstance(node, ExprTermRule):
        node = node.expression
    return node


def _scalar(path: str, node: Any) -> Any:  # noqa: ANN401 - the nodes are untyped
    if isinstance(node, LiteralValueRule):
        return {"true": True, "false": False, "null": None}[str(node.token.value)]
    if isinstance(node, (IntLitRule, FloatLitRule)):
        return _number(path, node, sign=1)
    if isinstance(node, UnaryOpRule) and node.operator == "-":
        inner = _unwrap(node.expr_term)
        if isinstance(inner, (IntLitRule, FloatLitRule)):
            return _number(path, inner, sign=-1)
    raise BadValue(Problem(line_of(node), path, ONLY_ENV))


def _number(path: str, node: IntLitRule | FloatLitRule, *, sign: int) -> int | float:
    text = str(node.token.value)
    try:
        return sign * (int(text) if isinstance(node, IntLitRule) else float(text))
    except ValueError as error:  # int() refuses thousands of digits
        raise BadValue(Problem(line_of(node), path, "is not a number that can be read")) from error


def _unescape(path: str, line: int, text: str) -> str:
    if "\n" in text:
        raise BadValue(Problem(line, path, 'the string is not closed: expected another " before the end of the line'))
    bad = next((escape[1] for escape in _ESCAPE.finditer(text) if escape[1]), None)
    if bad:
        message = f'{bad} is no escape; in a string, \\n \\r \\t \\" \\\\ \\uNNNN are, and \\\\ is one backslash'
        raise BadValue(Problem(line, path, message))
    return process_escape_sequences(text)
