"""Names that mark a value as secret: one list for pio-tf.hcl, Terraform plans, engine.json and training logs."""

from __future__ import annotations

import re
from typing import Final

_PAIRS = (("access", "key"), ("api", "key"), ("auth", "pass"), ("private", "key"))
SECRET_WORDS: Final = (
    *("passw", "passphrase", "secret", "token", "credential"),
    *(f"{first}{joint}{second}" for first, second in _PAIRS for joint in ("", "_", ".", "-")),
)
"""Parts of secret names, in lower case: ``passw`` stands for password and passwd."""

_WORDS = "|".join(map(re.escape, SECRET_WORDS))
_CONTAINS = re.compile(_WORDS, re.IGNORECASE)
_ENDS = re.compile(rf"(?:.*[_.-])?(?:{_WORDS}|password|passwd|secret[_.-]?key)", re.IGNORECASE)


def contains_secret_name(text: str) -> bool:
    """Return whether a word for a secret stands anywhere in a text: ``spark.authenticate.secret.file``."""
    return _CONTAINS.search(text) is not None


def is_secret_argument(name: str) -> bool:
    """Return whether an argument's name ends with a word for a secret: ``db_password``, but not ``http_tokens``.

    Terraform's arguments need this stricter rule: many that are no secret contain such a word.
    """
    return _ENDS.fullmatch(name) is not None
