"""Names that mark a value as secret: one list for pio-tf.hcl, Terraform plans, engine.json and training logs."""

from __future__ import annotations

from typing import Final

_PAIRS = (("access", "key"), ("api", "key"), ("auth", "pass"), ("private", "key"))
SECRET_WORDS: Final = (
    *("passw", "passphrase", "secret", "token", "credential"),
    *(f"{first}{joint}{second}" for first, second in _PAIRS for joint in ("", "_", ".", "-")),
)
"""Parts of secret names, in lower case: ``passw`` stands for password and passwd."""

_ENDS: Final = (*SECRET_WORDS, "password", "passwd", *(f"secret{joint}key" for joint in ("", "_", ".", "-")))
_ENDS_OF_LONGER: Final = tuple(f"{joint}{end}" for joint in "_.-" for end in _ENDS)


def contains_secret_name(text: str) -> bool:
    """Return whether a word for a secret stands anywhere in a text: ``spark.authenticate.secret.file``."""
    lowered = text.lower()
    return any(word in lowered for word in SECRET_WORDS)


def is_secret_argument(name: str) -> bool:
    """Return whether an argument's name ends with a word for a secret: ``db_password``, but not ``http_tokens``.

    Terraform's arguments need this stricter rule: many that are no secret contain such a word.
    """
    lowered = name.lower()
    return lowered in _ENDS or lowered.endswith(_ENDS_OF_LONGER)
