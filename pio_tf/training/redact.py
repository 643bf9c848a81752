"""Secrets out of what a training prints.

PIO's console prints ``Submission command: …`` with every PIO_ variable in it, passwords included, and a failing
`pio status` prints the configuration of its sources. What a training prints is redacted on the driver, before it
reaches the log's file, by the same rules in Perl: the two languages read these patterns alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"

_WORDS = r"PASSWORD|PASSWD|AUTH[_.-]?PASS|SECRET|TOKEN|CREDENTIAL|ACCESS[_.-]?KEY|PRIVATE[_.-]?KEY"
_SECRET_NAME = rf"[\w.-]*(?:{_WORDS})[\w.-]*"
# A variable of pio-env.sh: the value goes on, blanks and commas included, until the next variable or option, since
# `--env` joins them all with commas and quotes none.
_VARIABLE = rf"\b(PIO_{_SECRET_NAME}=)(?:(?!,PIO_|,[A-Z]\w*=|\s--?[a-z]).)+"
# Anything else named like a secret: spark.authenticate.secret=x, ?password=x&, "password": "x", PASSWORD -> x
_ASSIGNED = rf"""((?<![\w.-]){_SECRET_NAME}["']?\s*(?:=|:(?!//)|->)\s*)("[^"]*"|'[^']*'|[^\s,;&)"']+)"""
# As Scala prints a map, nothing quoted: PASSWORD -> a b,c, HOSTS -> es
_IN_MAP = rf"((?<![\w.-]){_SECRET_NAME}\s*->\s*)(?:(?!,\s[\w.-]+\s*->|\)).)+"
_HEADER = r"""(\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"',;]+"""
_IN_URL = r"(\w://[^\s:/@]+:)(?!\d+/)[^\s@]+(?=@)"
_WORTH_A_LOOK = rf"{_WORDS}|://|authorization"
"""A line without any of these holds no secret by name. Most lines do not, and the look is cheap."""

_RULES = (_VARIABLE, _IN_MAP, _ASSIGNED, _HEADER, _IN_URL)

_IN_PERL = r"""
my ($look, @rules) = map {{ qr/$_/i }} (
{patterns}
);
my ($values) = map {{ qr/$_/ }} ({values});
$| = 1;
while (<STDIN>) {{
    s/$values/{hidden}/g if defined $values;
    if ($_ =~ $look) {{ for my $rule (@rules) {{ s/$rule/$1{hidden}/g }} }}
    print or die "$!\n";
}}
"""


class Redactor:
    """Replaces secrets by ``***``: by name, in URLs, and those that it is told.

    Args:
        secrets: values to hide wherever they stand. One of less than four characters would hide half the output: it is
            left to the rules by name.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)
        self._values = "|".join(map(re.escape, values))
        self._find_value = re.compile(self._values) if values else None
        self._look = re.compile(_WORTH_A_LOOK, re.IGNORECASE)
        self._rules = [re.compile(rule, re.IGNORECASE) for rule in _RULES]

    def redact(self, line: str) -> str:
        """The line without its secrets."""
        if self._find_value:
            line = self._find_value.sub(HIDDEN, line)
        if self._look.search(line):
            for rule in self._rules:
                line = rule.sub(rf"\g<1>{HIDDEN}", line)
        return line

    def in_perl(self) -> str:
        """The text of a Perl program that does the same to each line of its standard input, whatever bytes it has."""
        patterns = ",\n".join(_quote(one) for one in (_WORTH_A_LOOK, *(rule.pattern for rule in self._rules)))
        values = _quote(self._values) if self._values else ""
        return _IN_PERL.format(patterns=patterns, values=values, hidden=HIDDEN)


def _quote(text: str) -> str:
    """As a string of Perl's in single quotes, in which only these two are special."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
