"""A plan's JSON without secrets.

It hides values that Terraform or its provider mark as sensitive, values with the name of a secret, and the passwords of
pio-tf.hcl.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from pydantic import BaseModel, SecretStr

from pio_tf.known_secrets import pattern_of
from pio_tf.secret_names import is_secret_argument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

HIDDEN = "(sensitive)"

_SHORTEST = 8  # characters: a shorter password also occurs in text that is no secret
_VALUES = frozenset({"before", "after", "values", "value", "constant_value", "default"})
"""The keys of values. Beside them are addresses and types, which must stay readable."""


def redact_plan(plan_json: Mapping[str, Any], *, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return ``terraform show -json`` of a plan without its secrets. Equal input gives an equal result.

    Args:
        plan_json: https://developer.hashicorp.com/terraform/internals/json-format
        secrets: values to hide anywhere, also as JSON, HTML, addresses and base64 write them. One of fewer than eight
            characters is hidden where it stands alone, in values only.
    """
    known = tuple(secrets)
    root = (plan_json.get("configuration") or {}).get("root_module") or {}
    sensitive = {name for name, variable in (root.get("variables") or {}).items() if variable.get("sensitive")}
    variables = {
        name: {**variable, "value": _mask(variable.get("value"), name in sensitive)}
        for name, variable in (plan_json.get("variables") or {}).items()
    }
    marked = _masked({**plan_json, **({"variables": variables} if variables else {})})
    return _KnownSecrets.of(known).hide(marked)  # type: ignore[no-any-return]


def plain_secrets(config: BaseModel) -> tuple[str, ...]:
    """Return the passwords of a configuration, from pio-tf.hcl itself or from the environment."""
    return tuple(_secrets(config))


def _masked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with the values hidden that a key beside them marks as sensitive."""
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {name: _masked(item) for name, item in value.items()}
    for name, marks in (
        ("before", "before_sensitive"),
        ("after", "after_sensitive"),
        ("values", "sensitive_values"),
        ("value", "sensitive"),
    ):
        if name in result and marks in result:
            result[name] = _mask(result[name], value[marks])
    return result


def _mask(value: Any, marks: Any) -> Any:  # noqa: ANN401 - any JSON
    """Hide what is marked: Terraform marks a whole value with true, or its parts in the same shape."""
    if marks is True:
        return None if value is None else HIDDEN
    if isinstance(value, dict) and isinstance(marks, dict):
        return {name: _mask(item, marks.get(name)) for name, item in value.items()}
    if isinstance(value, list) and isinstance(marks, list):
        return [_mask(item, marks[index] if index < len(marks) else None) for index, item in enumerate(value)]
    return value


class _KnownSecrets(Struct, frozen=True):
    """Patterns of the secrets to hide in a plan."""

    anywhere: re.Pattern[str]
    in_values: re.Pattern[str]

    @classmethod
    def of(cls, secrets: Collection[str]) -> _KnownSecrets:
        long = [secret for secret in secrets if len(secret) >= _SHORTEST]
        return cls(*(re.compile(pattern_of(some, shortest=_SHORTEST) or "(?!)") for some in (long, secrets)))

    def hide(self, value: Any, *, named: bool = False, is_value: bool = False) -> Any:  # noqa: ANN401 - any JSON
        """Return JSON without the values with the name of a secret, and without the known secrets."""
        if isinstance(value, dict):
            return {
                name: self.hide(item, named=named or is_secret_argument(name), is_value=is_value or name in _VALUES)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.hide(item, named=named, is_value=is_value) for item in value]
        if not isinstance(value, str) or not value:
            return value
        return HIDDEN if named else (self.in_values if is_value else self.anywhere).sub(HIDDEN, value)


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for _name, item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(item)
