"""Secrets out of what a training prints.

PIO's console prints ``Submission command: …`` with every PIO_ variable in it, passwords included, and a failing
`pio status` prints the configuration of its sources. What a training prints is redacted on the driver, before it
reaches the log's file, by the same rules in Perl: the two languages read these patterns alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pio_tf.secret_names import SECRET_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"

_SECRET_NAME = rf"[\w.-]*(?:{'|'.join(map(re.escape, SECRET_WORDS))})[\w.-]*"
# A variable of pio-env.sh: the value goes on, blanks and commas included, until the next variable or option, since
# `--env` joins them all with commas and quotes none.
_VARIABLE = rf"\b(PIO_{_SECRET_NAME}=)(?:(?!,PIO_|,[A-Z]\w*=|\s--?[a-z]).)+"
# Anything else named like a secret: spark.authenticate.secret=x, ?password=x&, "password": "x", PASSWORD -> x
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
"""Patterns, and before them the words without any of which a line has nothing for them. Most lines have none, and a log
is searched for fixed words ten times as fast as for patterns."""

_IN_PERL = r"""
my @rules = (
{rules}
);
my @words = map {{ @{{$_->[0]}} }} @rules;
my ($values) = map {{ qr/$_/ }} ({values});
binmode STDIN;
binmode STDOUT;
$| = 1;
my $begun = '';
while (1) {{
    my $count = sysread STDIN, my $data, 65536;
    die "$!\n" unless defined $count;
    last unless $count;
    my $whole = 1 + rindex $data, "\n";
    if ($whole) {{
        hand_out($begun . substr $data, 0, $whole);
        $begun = '';
    }}
    $begun .= substr $data, $whole;
}}
hand_out($begun);

sub hand_out {{ # whole lines
    my ($text) = @_;
    $text =~ s/$values/{hidden}/g if defined $values;
    $text = join '', map {{ redact($_) }} split /^/, $text if has(lc $text, @words);
    print $text or die "$!\n";
}}

sub redact {{
    my ($line) = @_;
    my $lower = lc $line;
    for my $rule (@rules) {{
        my ($words, @patterns) = @$rule;
        next unless has($lower, @$words);
        $line =~ s/$_/$1{hidden}/g for @patterns;
    }}
    return $line;
}}

sub has {{
    my $lower = shift;
    for my $word (@_) {{ return 1 if index($lower, $word) >= 0 }}
    return 0;
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
        self._rules = [(words, [re.compile(one, re.IGNORECASE) for one in patterns]) for words, patterns in _RULES]

    def redact(self, line: str) -> str:
        """The line without its secrets."""
        if self._find_value:
            line = self._find_value.sub(HIDDEN, line)
        lower = line.lower()
        for words, patterns in self._rules:
            if any(word in lower for word in words):
                for pattern in patterns:
                    line = pattern.sub(rf"\g<1>{HIDDEN}", line)
        return line

    def in_perl(self) -> str:
        """The text of a Perl program that does the same to each line of its standard input, whatever bytes it has."""
        rules = ",\n".join(
            f"[[{', '.join(map(_quote, words))}], map {{ qr/$_/i }} {', '.join(map(_quote, patterns))}]"
            for words, patterns in _RULES
        )
        values = _quote(self._values) if self._values else ""
        return _IN_PERL.format(rules=rules, values=values, hidden=HIDDEN)


def _quote(text: str) -> str:
    """As a string of Perl's in single quotes, in which only these two are special."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
