"""Secrets out of what a training prints.

PIO's console prints ``Submission command: …`` with every PIO_ variable in it, passwords included, and a failing
`pio status` prints the configuration of its sources.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"

_SECRET_NAME = r"[\w.-]*(?:PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|ACCESS[_.-]?KEY|PRIVATE[_.-]?KEY)[\w.-]*"  # noqa: S105
# A variable of pio-env.sh: the value goes on, blanks and commas included, until the next variable or option, since
# `--env` joins them all with commas and quotes none.
_VARIABLE = re.compile(rf"\b(PIO_{_SECRET_NAME}=)(?:(?!,PIO_|,[A-Z]\w*=|\s--?[a-z]).)+", re.IGNORECASE)
# Anything else named like a secret: spark.authenticate.secret=x, ?password=x&, "password": "x", PASSWORD -> x
_ASSIGNED = re.compile(
    rf"""((?<![\w.-]){_SECRET_NAME}["']?\s*(?:=|:(?!//)|->)\s*)("[^"]*"|'[^']*'|[^\s,;&)"']+)""", re.IGNORECASE
)
_IN_URL = re.compile(r"(\w://[^\s:/@]+:)[^\s/@]+(?=@)")


class Redactor:
    """Replaces secrets by ``***``: by name, in URLs, and those that it is told.

    Args:
        secrets: values to hide wherever they stand. One of less than four characters would hide half the output: it is
            left to the rules by name.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, values))) if values else None

    def redact(self, line: str) -> str:
        """The line without its secrets."""
        if self._values:
            line = self._values.sub(HIDDEN, line)
        line = _VARIABLE.sub(rf"\g<1>{HIDDEN}", line)
        line = _ASSIGNED.sub(rf"\g<1>{HIDDEN}", line)
        return _IN_URL.sub(rf"\g<1>{HIDDEN}", line)
