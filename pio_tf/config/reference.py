"""docs/configuration.md, from the schema. `make docs` writes it; a test fails where the two differ."""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le
from pydantic_core import PydanticUndefined

from pio_tf.config.blocks import Backend, Block
from pio_tf.config.kinds import describe_kind
from pio_tf.config.reference_text import EXAMPLES, INTRODUCTION, KINDS, SOURCES
from pio_tf.config.repositories import GUIDES, RepositoryBlock
from pio_tf.config.schema import LABELLED, Config, block_class
from pio_tf.config.storage import SOURCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_PLAIN = {str: "text", int: "whole number", bool: "true or false", Path: "path on this computer"}
_SECONDS_PER_UNIT = ((3600, "h"), (60, "m"), (1, "s"))


def render_configuration() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION, "\n".join(_overview())]
    for name, field in Config.model_fields.items():
        model = block_class(Config, name)
        parts += _sources() if model is None else _section(name, model, field)
    parts.append(KINDS)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _overview() -> Iterator[str]:
    yield "| block | | what it is |"
    yield "| --- | --- | --- |"
    for name, field in Config.model_fields.items():
        need = "required" if field.is_required() else "in the guide's layout" if name in GUIDES.values() else ""
        model = block_class(Config, name)
        about = SOURCES.partition(".")[0] + "." if model is None else _first_line(model)
        yield f"| [`{name}`](#{name}) | {need} | {about} |"


def _section(path: str, model: type[Block], field: FieldInfo) -> Iterator[str]:
    block, _, label = path.partition(".")
    title = f'{block} "{label}"' if label and block in LABELLED else path
    yield f"{'###' if label else '##'} {title}"
    need = "" if field.is_required() or label else " The block may be left out."
    if path in GUIDES.values():
        need = " The block may be left out where no repository uses it."
    yield f"{_first_line(model)}{need}"
    if model not in (Backend, RepositoryBlock):  # the one takes what it is given, the other is its labels
        yield "\n".join(_table(model))
    if path in EXAMPLES:
        yield f"```hcl\n{EXAMPLES[path].strip()}\n```"
    for name, inner in model.model_fields.items():
        child = block_class(model, name)
        if child is not None:
            yield from _section(f"{path}.{name}", child, inner)


def _sources() -> Iterator[str]:
    """The section of the ``source`` blocks, whose options follow from their type."""
    yield "## source"
    yield SOURCES
    yield f"```hcl\n{EXAMPLES['source'].strip()}\n```"
    for name, model in SOURCE_TYPES.items():
        yield f'### source of type "{name}"'
        yield _first_line(model)
        if name not in GUIDES.values():
            yield "\n".join(_table(model))


def _table(model: type[Block]) -> Iterator[str]:
    hints = get_type_hints(model, include_extras=True)
    yield "| name | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        kind = _kind(hints[name])
        meaning = f"{field.description or ''}{_limits(field, kind)}"
        yield f"| `{name}` | {kind} | {_default(field, kind)} | {meaning} |".replace("\n", " ")


def _kind(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    """``list of hosts`` for ``list[Host]``: what the type is called in the documentation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = next((name for name in map(describe_kind, annotation.__metadata__) if name), None)
        return named or _kind(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not type(None))
    if origin is Literal:
        return ", ".join(f'`"{one}"`' for one in arguments)
    if origin is list:
        return f"list of {_plural(_kind(arguments[0]))}"
    if origin is dict:
        return f"map of {_plural(_kind(arguments[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return "block"
    return _PLAIN[annotation]


def _plural(kind: str) -> str:
    return kind if kind == "text" else f"{kind}s"


def _default(field: FieldInfo, kind: str) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or kind == "block":
        return ""
    if kind == "duration":
        size, unit = next((size, unit) for size, unit in _SECONDS_PER_UNIT if value % size == 0)
        return f'`"{value // size}{unit}"`'
    return f"`{json.dumps(value)}`"


def _limits(field: FieldInfo, kind: str) -> str:
    if kind in ("port", "duration"):
        return ""
    low = next((limit.ge for limit in field.metadata if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in field.metadata if isinstance(limit, Le)), None)
    if low is not None and high is not None:
        return f" {low} to {high}."
    return f" At least {low}." if low is not None else ""


def _first_line(model: type[Block]) -> str:
    return " ".join((model.__doc__ or "").split())
