"""Hide secrets in the output of a training.

PIO's console prints ``Submission command: …`` with every PIO_ variable in it, passwords included, and a failing
`pio status` prints the configuration of its sources. The driver redacts the output before it reaches the log's file, by
the same rules in Perl (``redact.pl``): the two languages read these patterns alike.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from pio_tf.secret_names import SECRET_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"

_SECRET_NAME = rf"[\w.-]*(?:{'|'.join(map(re.escape, SECRET_WORDS))})[\w.-]*"
# A variable of pio-env.sh: its value, blanks and commas included, ends at the next variable or option. `--env` joins
# them all with commas and quotes none.
_VARIABLE = rf"\b(PIO_{_SECRET_NAME}=)(?:(?!,PIO_|,[A-Z]\w*=|\s--?[a-z]).)+"
# Any other name of a secret: spark.authenticate.secret=x, ?password=x&, "password": "x", PASSWORD -> x
_ASSIGNED = rf"""((?<![\w.-]){_SECRET_NAME}["']?\s*(?:=|:(?!//)|->)\s*)("[^"]*"|'[^']*'|[^\s,;&)"']+)"""
# As Scala prints a map, nothing quoted: PASSWORD -> a b,c, HOSTS -> es
_IN_MAP = rf"((?<![\w.-]){_SECRET_NAME}\s*->\s*)(?:(?!,\s[\w.-]+\s*->|\)).)+"
_HEADER = r"""(\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"',;]+"""
_IN_URL = r"(\w://[^\s:/@]+:)(?!\d+/)[^\s@]+(?=@)"
_RULES = (
    (SECRET_WORDS, (_VARIABLE, _IN_MAP, _ASSIGNED)),
    (("authorization",), (_HEADER,)),
    (("@",), (_IN_URL,)),
)
"""Words, and the patterns for lines with one of them. Most lines have none, and the search for fixed words is ten times
as fast as for patterns."""


class Redactor:
    """Replaces secrets by ``***``: values after a secret's name, passwords in URLs, and given values.

    Args:
        secrets: values to hide everywhere. One of fewer than four characters would hide half the output: only the other
            rules hide it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)
        self._values = "|".join(map(re.escape, values))
        self._find_value = re.compile(self._values) if values else None
        self._rules = [(words, [re.compile(one, re.IGNORECASE) for one in patterns]) for words, patterns in _RULES]

    def redact(self, line: str) -> str:
        """Return the line without its secrets."""
        if self._find_value:
            line = self._find_value.sub(HIDDEN, line)
        lower = line.lower()
        for words, patterns in self._rules:
            if any(word in lower for word in words):
                for pattern in patterns:
                    line = pattern.sub(rf"\g<1>{HIDDEN}", line)
        return line

    def in_perl(self) -> str:
        """Return a Perl program that does the same to each line of its standard input, whatever bytes it holds."""
        rules = ",\n".join(
            f"[[{', '.join(map(_quote, words))}], map {{ qr/$_/i }} {', '.join(map(_quote, patterns))}]"
            for words, patterns in _RULES
        )
        values = _quote(self._values) if self._values else ""
        program = resources.files(__package__).joinpath("redact.pl").read_text(encoding="utf-8")
        return f"my @rules = (\n{rules}\n);\nmy ($values) = map {{ qr/$_/ }} ({values});\n{program}"


def _quote(text: str) -> str:
    """Return a string of Perl's in single quotes, in which only these two characters are special."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
