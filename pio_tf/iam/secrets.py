"""Passwords that pio-tf.hcl refers to: these, and no others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.config.kinds import SecretReference
from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.config.schema import Config
    from pio_tf.iam.scope import Scope

_ENDING = re.compile(r"-[A-Za-z0-9]{6}$")
"""Of a secret's ARN: Secrets Manager adds it to the name."""


def reads_secrets(scope: Scope) -> Iterator[Grant]:
    """By service."""
    found = references(scope.config)
    parameters = dict.fromkeys(_parameter(scope, one.name) for one in found if one.service == "ssm")
    secrets = dict.fromkeys(_secret(scope, one.name) for one in found if one.service == "secretsmanager")
    if parameters:
        yield Grant(
            sid="ReadParameters",
            why="Passwords in SSM's Parameter Store.",
            resources=tuple(parameters),
            pio_tf=("ssm:GetParameters",),
        )
    if secrets:
        yield Grant(
            sid="ReadSecrets",
            why="Passwords in Secrets Manager.",
            resources=tuple(secrets),
            pio_tf=("secretsmanager:GetSecretValue",),
        )


def references(config: Config) -> tuple[SecretReference, ...]:
    """Every password that AWS keeps, each once."""
    passwords = (getattr(source.block, "password", None) for source in config.sources)
    return tuple(dict.fromkeys(one for one in passwords if isinstance(one, SecretReference)))


def _parameter(scope: Scope, name: str) -> str:
    if name.startswith("arn:"):
        return ":".join(name.split(":")[:6])  # without :version or :label
    return scope.arn("ssm", f"parameter/{name.split(':')[0].lstrip('/')}")


def _secret(scope: Scope, name: str) -> str:
    if name.startswith("arn:"):
        return name if _ENDING.search(name) else f"{name}-??????"
    return scope.arn("secretsmanager", f"secret:{name}-??????")
