"""Reads HCL2 into plain data, and remembers the line of every name.

Only literals are evaluated, and ``env("NAME")``, alone or inside a string; ``ssm("…")`` and ``secretsmanager("…")`` are
read as the references that they are. A configuration is data: what it says must be the same for everyone who reads it,
so references to other values, functions, operators and conditions are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import hcl2
from hcl2.rules.base import AttributeRule, BlockRule, BodyRule
from lark.exceptions import LarkError

from pio_tf.config.hcl_values import BadValue, Evaluator, line_of
from pio_tf.config.problems import Problem, UnreadableHcl
from pio_tf.config.syntax import explain_syntax_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hcl2.rules.literal_rules import IdentifierRule
    from hcl2.rules.strings import StringRule

Value: TypeAlias = Any  # str | int | float | bool | None | list[Value] | dict[str, Value]


@dataclass
class Document:
    """What a text says. Every dotted name (``spark.conf``, ``network.ssh_cidrs.0``) is a key of :attr:`lines`."""

    data: dict[str, Value] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    blocks: set[str] = field(default_factory=set)
    """Names that were written as blocks; all others are attributes."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels of the blocks that have some: ``backend "s3" {}`` gives ``{"terraform.backend": ("s3",)}``."""
    from_environment: set[str] = field(default_factory=set)
    """Names whose value came from the environment: it may be a secret, so it is never shown."""
    problems: list[Problem] = field(default_factory=list)
    labelled: Mapping[str, str] = field(default_factory=dict)
    """See :func:`read_hcl`."""
    unread: set[str] = field(default_factory=set)
    """Names that stand in the text but have no value in :attr:`data`, because of one of the problems."""


def read_hcl(text: str, *, environ: Mapping[str, str], labelled: Mapping[str, str] | None = None) -> Document:
    """Reads a text.

    Args:
        text: the HCL2 text.
        environ: where ``env("NAME")`` looks.
        labelled: blocks that may stand several times, by their dotted names, told apart by one label, and an example
            of it in quotes. ``source "A" { x = 1 }`` is read as ``{"source": {"A": {"x": 1}}}``, and ``source.A.x``
            has a line.

    Raises:
        UnreadableHcl: the text is not HCL. All lesser mistakes are in the document's problems.
    """
    try:
        tree = hcl2.parses(text)
    except LarkError as error:
        raise UnreadableHcl(explain_syntax_error(text, error)) from error
    except RecursionError as error:
        raise UnreadableHcl(Problem(None, "", "is nested too deeply to be read")) from error
    document = Document(labelled=labelled or {})
    _read_body(tree.body, "", document.data, document, Evaluator(environ))
    return document


def _read_body(body: BodyRule, prefix: str, data: dict[str, Value], document: Document, evaluator: Evaluator) -> None:
    previous_end = 0
    for item in body.children:
        if not isinstance(item, (AttributeRule, BlockRule)):
            continue
        head = item.identifier if isinstance(item, AttributeRule) else item.labels[0]
        name, line = _head_name(head), line_of(item)
        path = prefix + name
        if line == previous_end:
            document.problems.append(Problem(line, path, "must begin on a line of its own"))
        previous_end = _end_line(item)
        if isinstance(item, BlockRule) and path in document.labelled:
            _read_labelled(item, path, data, name, document, evaluator)
            continue
        if _stands_twice(item, path, document):
            continue
        if isinstance(item, BlockRule):
            _read_block(item, path, data, name, document, evaluator)
        else:
            _read_attribute(item, path, data, name, document, evaluator)


def _stands_twice(item: AttributeRule | BlockRule, path: str, document: Document) -> bool:
    """Whether a name has a line already, which is a problem; else this is its line."""
    line = line_of(item)
    if path not in document.lines:
        document.lines[path] = line
        return False
    kind = "block" if isinstance(item, BlockRule) else "option"
    message = f"this {kind} is already in line {document.lines[path]}; keep one of the two"
    document.problems.append(Problem(line, path, message))
    return True


def _read_labelled(
    block: BlockRule, path: str, data: dict[str, Value], name: str, document: Document, evaluator: Evaluator
) -> None:
    labels = [_head_name(label) for label in block.labels[1:]]
    if len(labels) != 1:
        message = f"needs one label: write {name} {document.labelled[path]} {{ … }}"
        document.problems.append(Problem(line_of(block), path, message))
        document.unread.add(path)
        return
    if path not in document.blocks and _stands_twice(block, path, document):
        return  # as an option, which is reported elsewhere
    document.blocks.add(path)
    own = f"{path}.{labels[0]}"
    if not _stands_twice(block, own, document):
        document.blocks.add(own)
        inner: dict[str, Value] = {}
        data.setdefault(name, {})[labels[0]] = inner
        _read_body(block.body, f"{own}.", inner, document, evaluator)


def _read_block(
    block: BlockRule, path: str, data: dict[str, Value], name: str, document: Document, evaluator: Evaluator
) -> None:
    document.blocks.add(path)
    labels = tuple(_head_name(label) for label in block.labels[1:])
    if labels:
        document.labels[path] = labels
    data[name] = {}
    _read_body(block.body, path + ".", data[name], document, evaluator)


def _read_attribute(
    attribute: AttributeRule, path: str, data: dict[str, Value], name: str, document: Document, evaluator: Evaluator
) -> None:
    try:
        found = evaluator.evaluate(attribute.expression, path)
    except BadValue as bad:
        document.problems += bad.problems
        document.unread.add(path)
        return
    document.from_environment |= found.from_environment
    for inner, line in found.lines.items():
        document.lines.setdefault(inner, line)
    if found.value is not None:  # null means "as if it were not there", as in Terraform
        data[name] = found.value


def _head_name(head: IdentifierRule | StringRule) -> str:
    return str(head.serialize()).strip('"')


def _end_line(item: AttributeRule | BlockRule) -> int:
    """The last line of an item. A heredoc ends with its newline, so the column tells whether the line is used."""
    meta = item._meta  # noqa: SLF001 - the tree has no public way to its positions
    if getattr(meta, "end_column", 0) <= 1:
        return 0
    return int(getattr(meta, "end_line", 0))
