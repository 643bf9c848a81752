"""Values of the environment in pio-tf.hcl, ``env("NAME")``: which of them are secrets, and where none may go.

Most options have a syntax of their own (a region, an address range), or are names that AWS shows to all users of the
account: a value there is no secret. In free text it may be one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel

from pio_tf.config.kinds import FreeText
from pio_tf.known_secrets import pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from pio_tf.config.hcl_document import HclDocument
    from pio_tf.config.problems import Problem

T = TypeVar("T")

HIDDEN = "********"
_NO_SECRET = re.compile(r"|true|false|[\d.]{1,6}[a-z]?", re.IGNORECASE)
"""Numbers and sizes. Hiding each ``8`` would make a log unreadable."""


def find_published(config: BaseModel, document: HclDocument) -> Iterator[Problem]:
    """Yield a problem for each value of the environment that Terraform or AWS would show."""
    for name in document.from_environment:
        text = _free_text(config, name)
        if text is not None and text.published:
            message = "must not come from the environment: plans, Terraform's files and AWS show it; write the value"
            yield document.problem(name, message)


def find_secrets(config: BaseModel, document: HclDocument) -> tuple[str, ...]:
    """Return the values of the environment that may be secrets: those in free text only."""
    free: dict[str, None] = {}
    plain: set[str] = set()
    for name, values in document.from_environment.items():
        if _free_text(config, name) is None:
            plain.update(values)
        else:
            free.update(dict.fromkeys(values))
    return tuple(value for value in free if value not in plain and not _NO_SECRET.fullmatch(value))


def hide_secrets(value: T, secrets: tuple[str, ...]) -> T:
    """Return a configuration with stars in place of secrets, to show it: it is not validated again."""
    return _hide(value, re.compile(pattern_of(secrets))) if secrets else value


def _hide(value: Any, secret: re.Pattern[str]) -> Any:  # noqa: ANN401 - any part of a configuration
    if isinstance(value, str):
        return secret.sub(HIDDEN, value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _hide(item, secret) for name, item in value})
    if isinstance(value, dict):
        return {name: _hide(item, secret) for name, item in value.items()}
    return [_hide(item, secret) for item in value] if isinstance(value, list) else value


def _free_text(config: BaseModel, name: str) -> FreeText | None:
    """Return the marker of an option's free text; None if the option has another kind of value."""
    value: Any = config
    field: FieldInfo | None = None
    for step in name.split("."):
        if isinstance(value, BaseModel):
            field = type(value).model_fields.get(step)
            value = getattr(value, step, None)
        else:  # a block with a label, or a map of settings
            value = value.get(step) if isinstance(value, dict) else None
    markers = [*_markers(field.metadata), *_markers(get_args(field.annotation))] if field is not None else []
    return max(markers, key=lambda marker: marker.published, default=None)


def _markers(parts: Any) -> Iterator[FreeText]:  # noqa: ANN401 - the arguments of an annotation
    for part in parts:
        if isinstance(part, FreeText):
            yield part
        else:
            yield from _markers(get_args(part))
