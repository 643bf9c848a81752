"""The generator of docs/configuration.md.

It reads the models in pio_tf/config, the text of configuration.md and the examples in configuration.hcl.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le
from pydantic_core import PydanticUndefined

from pio_tf.config.blocks import Backend, Block
from pio_tf.config.kinds import describe_kind
from pio_tf.config.repositories import GUIDES, RepositoryBlock
from pio_tf.config.schema import LABELLED, Config, block_class
from pio_tf.config.storage import SOURCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_HERE = Path(__file__).parent
_SOURCES = (
    "Any other store of PredictionIO's data. The label is its name; its type decides which options it has. pio-tf "
    "writes every source to pio-env.sh, whether a repository uses it or not. [storage.md](storage.md) describes which "
    "type can store what, and how each version of PredictionIO treats it."
)
_PLAIN = {str: "text", int: "whole number", bool: "true or false", Path: "path on this computer"}
_SECONDS_PER_UNIT = ((3600, "h"), (60, "m"), (1, "s"))


def render_configuration() -> str:
    """Return the whole page, as Markdown."""
    before, after = (_HERE / "configuration.md").read_text(encoding="utf-8").split("<!-- blocks -->")
    examples = read_examples()
    parts = [before, "\n".join(_overview())]
    for name, field in Config.model_fields.items():
        model = block_class(Config, name)
        parts += _sources(examples) if model is None else _section(name, model, field, examples)
    return "\n\n".join(part.strip("\n") for part in [*parts, after]) + "\n"


def read_examples() -> dict[str, str]:
    """Return the example of each block. All together they are a whole configuration, which a test loads."""
    text = (_HERE / "configuration.hcl").read_text(encoding="utf-8")
    blocks = re.findall(r"^\w.*?^\}\n", text, re.MULTILINE | re.DOTALL)
    return {block.split()[0]: block for block in blocks}


def _overview() -> Iterator[str]:
    yield "| block | | describes |"
    yield "| --- | --- | --- |"
    for name, field in Config.model_fields.items():
        need = "required" if field.is_required() else "in the guide's layout" if name in GUIDES.values() else ""
        model = block_class(Config, name)
        about = _SOURCES.partition(".")[0] + "." if model is None else _first_line(model)
        yield f"| [`{name}`](#{name}) | {need} | {about} |"


def _section(path: str, model: type[Block], field: FieldInfo, examples: dict[str, str]) -> Iterator[str]:
    block, _, label = path.partition(".")
    title = f'{block} "{label}"' if label and block in LABELLED else path
    yield f"{'###' if label else '##'} {title}"
    need = "" if field.is_required() or label else " Optional."
    if path in GUIDES.values():
        need = " Optional if no repository uses it."
    yield f"{_first_line(model)}{need}"
    if model not in (Backend, RepositoryBlock):  # a backend has any arguments, a repository block only labels
        yield "\n".join(_table(model))
    if path in examples:
        yield f"```hcl\n{examples[path]}```"
    for name, inner in model.model_fields.items():
        child = block_class(model, name)
        if child is not None:
            yield from _section(f"{path}.{name}", child, inner, examples)


def _sources(examples: dict[str, str]) -> Iterator[str]:
    """Yield the section of the ``source`` blocks, whose options depend on their type."""
    yield "## source"
    yield _SOURCES
    yield f"```hcl\n{examples['source']}```"
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
    """Return what the page calls a type: ``list of hosts`` for ``list[Host]``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = next((name for name in map(describe_kind, annotation.__metadata__) if name), None)
        return named or _kind(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not type(None))
    if origin is Literal:
        return ", ".join(f'`"{one}"`' for one in arguments)
    if origin in (list, dict):
        items = _kind(arguments[-1])
        return f"{'list' if origin is list else 'map'} of {items if items == 'text' else f'{items}s'}"
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return "block"
    return _PLAIN[annotation]


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
