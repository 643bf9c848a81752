"""Whether a value is what a schema of pio_tf/cli/schemas says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, is_typeddict

from pio_tf.cli.json_reference import Form, fields

if TYPE_CHECKING:
    from collections.abc import Iterator


def mistakes(value: object, form: Form, place: str = "result") -> Iterator[str]:
    """What is not as it says: a wrong type, a name that is missing, one that it does not know."""
    origin: Form = get_origin(form)
    inner = get_args(form)
    if is_typeddict(form):
        yield from _object_mistakes(value, form, place)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{place}: {value!r} is no list"
            return
        for number, item in enumerate(value):
            yield from mistakes(item, inner[0], f"{place}[{number}]")
    elif origin is Literal:
        if value not in inner:
            yield f"{place}: {value!r} is none of {inner}"
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is no object"
    elif inner:  # one of several
        if all(list(mistakes(value, one, place)) for one in inner):
            yield f"{place}: {value!r} is none of {inner}"
    elif form is not Any and not _is(value, form):
        yield f"{place}: {value!r} is no {form.__name__}"


def _object_mistakes(value: object, form: type, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no object"
        return
    known = fields(form)
    yield from (f"{place}.{name} is missing" for name in known.keys() - value.keys())
    yield from (f"{place}.{name} is not in {form.__name__}" for name in value.keys() - known.keys())
    for name in known.keys() & value.keys():
        yield from mistakes(value[name], known[name][0], f"{place}.{name}")


def _is(value: object, form: type) -> bool:
    if form is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if form is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, form)
