"""Passwords in pio-tf.hcl: plain text, or a reference to where AWS keeps one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, InstanceOf, SecretStr

from pio_tf.config.kinds import Kind

_WANTED = 'must be text in quotes, env("NAME"), ssm("/name") or secretsmanager("name")'


@dataclass(frozen=True)
class SecretReference:
    """A secret that AWS keeps; nothing is asked of AWS until :func:`pio_tf.pio.secrets.resolve_secrets` does.

    Args:
        service: whose secret it is.
        name: a parameter's name, or a secret's name or ARN.
        key: of a secret whose text is a JSON object: which of its values. Empty: the text itself.
    """

    service: Literal["ssm", "secretsmanager"]
    name: str
    key: str = ""

    def __str__(self) -> str:
        """As it is written: ``secretsmanager("name", "key")``."""
        arguments = [self.name, self.key] if self.key else [self.name]
        return f"{self.service}({', '.join(json.dumps(one, ensure_ascii=False) for one in arguments)})"


def _parse_secret(value: Any) -> Any:  # noqa: ANN401 - a validator takes what the user wrote
    if isinstance(value, SecretReference):
        return value
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError(_WANTED)  # noqa: TRY004 - pydantic collects ValueError
    if not text:
        raise ValueError("must not be empty")
    if any(character in text for character in "\n\r\0"):
        raise ValueError("must be one line")
    return SecretStr(text)


Secret: TypeAlias = Annotated[SecretStr | InstanceOf[SecretReference], BeforeValidator(_parse_secret), Kind("secret")]
"""A password. Plain text, ``env("NAME")`` included, is a SecretStr, which shows itself to nobody."""
