"""Quicker parts of moto's serializer: the answers are the same, but nothing is computed again for each value.

moto tries a dozen names for each field of each instance, and writes XML through SAX: half of a sandbox's CPU time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape, quoteattr

from moto.core.serialize import XFormedAttributePicker
from moto.core.utils import get_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.core.serialize import AttributePickerContext, EC2Serializer

_MISSING: Final = object()
_possible_keys = XFormedAttributePicker.get_possible_keys
_known_keys: dict[tuple[type, Any, str], tuple[str, ...]] = {}
"""The names under which an object of a class may have a field. The shape is botocore's, which lives as long as moto."""


@lru_cache(maxsize=100_000)
def _transformed(paths: tuple[str, ...], field: str) -> str | None:
    return next((path for path in paths if field.endswith(path)), None)


def pick_attribute(self: Any, context: AttributePickerContext) -> Any:  # noqa: ANN401 - moto's
    """Return the value of a field, as ``XFormedAttributePicker.__call__`` does."""
    known = context.obj.__class__, context.shape, context.key
    keys = _known_keys.get(known)
    if keys is None:
        keys = _known_keys[known] = tuple(dict.fromkeys(_possible_keys(self, context)))
    value = None
    for key in keys:
        found = get_value(context.obj, key, _MISSING)
        if found is not _MISSING:
            value = found
            break
    if not self.response_transformers:
        return value
    path = _transformed(tuple(self.response_transformers), f"{context.key_path}.{context.key}")
    return value if path is None else self.response_transformers[path](value)


def write_body(self: EC2Serializer, body: Mapping[str, Any]) -> str:  # noqa: ARG001 - moto's method
    """Return the XML of an answer, as ``EC2Serializer._serialize_body`` does."""
    parts = ['<?xml version="1.0" encoding="utf-8"?>\n']
    for name, value in body.items():
        _write(name, value, parts)
    return "".join(parts)


def _write(name: str, value: object, parts: list[str]) -> None:
    if isinstance(value, (list, tuple)):
        for one in value:
            _write(name, one, parts)
    elif isinstance(value, dict):
        start = name + "".join(f" {key[1:]}={quoteattr(str(value[key]))}" for key in value if key[0] == "@")
        parts.append(f"<{start}>")
        before = len(parts)
        for key, child in value.items():
            if key[0] != "@":
                _write(key, child, parts)
        if len(parts) == before:
            parts[-1] = f"<{start}/>"
        else:
            parts.append(f"</{name}>")
    else:
        text = str(value).lower() if isinstance(value, bool) else escape(str(value)) if value is not None else ""
        parts.append(f"<{name}>{text}</{name}>" if text else f"<{name}/>")
