"""Quicker parts of moto's serializer: the answers are the same, but nothing is computed again for each value.

moto tries a dozen names for each field of each instance, and writes XML through SAX: half of a sandbox's CPU time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape, quoteattr

from moto.core.serialize import AttributePickerContext, ResponseSerializer, XFormedAttributePicker
from moto.core.utils import get_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.core.serialize import EC2Serializer

_MISSING: Final = object()
_possible_keys = XFormedAttributePicker.get_possible_keys
_get_value_as_moto = ResponseSerializer.get_value
_readers: dict[tuple[type, Any, str], Callable[[Any], Any]] = {}
"""How to read a field from objects of a class. The shape is botocore's, which lives as long as moto."""


@lru_cache(maxsize=100_000)
def _transformed(paths: tuple[str, ...], field: str) -> str | None:
    return next((path for path in paths if field.endswith(path)), None)


def get_field(self: ResponseSerializer, value: Any, key: str, shape: Any) -> Any:  # noqa: ANN401 - moto's
    """Return the value of a field, as ``ResponseSerializer.get_value`` does with ``XFormedAttributePicker``."""
    picker: Any = self._value_picker
    if picker.__class__ is not XFormedAttributePicker:
        return _get_value_as_moto(self, value, key, shape)
    known = value.__class__, shape, key
    read = _readers.get(known)
    if read is None:
        context = AttributePickerContext(
            value, key, shape, self.operation_model, self.operation_model.service_model, ".".join(self.path)
        )
        read = _readers[known] = _reader(value.__class__, tuple(dict.fromkeys(_possible_keys(picker, context))))
    found = read(value)
    if not picker.response_transformers:
        return found
    path = _transformed(tuple(picker.response_transformers), f"{'.'.join(self.path)}.{key}")
    return found if path is None else picker.response_transformers[path](found)


def _reader(kind: type, names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return what reads the first of these names that an object of the class has; None if it has none of them.

    Most fields of an instance are under none of a dozen names, so what counts is how long a miss takes.
    """
    look_up = _look_up(kind, names)

    def read(value: object) -> Any:  # noqa: ANN401 - moto's
        for name in names:
            found = look_up(value, name, _MISSING)
            if found is not _MISSING:
                return found
        return None

    return read


def _look_up(kind: type, names: tuple[str, ...]) -> Callable[..., Any]:
    """Return what takes an object of the class, one of the names and a default, and returns the value as moto does."""
    as_moto: Callable[..., Any] = get_value
    if any("." in name for name in names) or hasattr(kind, "__getattr__"):
        return as_moto
    if kind is dict:
        return dict.get
    return as_moto if hasattr(kind, "__getitem__") else getattr


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
