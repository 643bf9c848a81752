"""Hide secrets in the output of a training.

PIO's console prints ``Submission command: …`` with every PIO_ variable in it, passwords included, and a failing
`pio status` prints the configuration of its sources. The driver redacts the output before it reaches the log's file, by
the same rules in Perl (``redact.pl``): the two languages read these patterns alike.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.known_secrets import forms_of, pattern_of
from pio_tf.secret_names import SECRET_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"

# Every pattern takes linear time: a search begins at the start of a name, and the group behind the lookahead takes the
# whole name without going back in it. A line of 40 KB must not hold up the training, which waits for its pipe.
# Perl repeats a group at most 32,766 times (65,534 since 5.30): a value's group takes many characters each time.
_SECRET_NAME = rf"(?=[\w.-]*?(?:{'|'.join(map(re.escape, SECRET_WORDS))}))(?=(?P<n>[\w.-]+))(?P=n)"
# A variable of pio-env.sh: its value, blanks and commas included, ends at the next variable or option. `--env` joins
# them all with commas and quotes none.
_VARIABLE = rf"(?P<k>(?<![\w.-])(?=PIO_){_SECRET_NAME}=)(?:[^,\s]+|(?!,PIO_|,[A-Z]\w*=|\s--?[a-z]).)+"
# Any other name of a secret: spark.authenticate.secret=x, ?password=x&, "password": "x", PASSWORD -> x. A quoted value
# ends at its quote, or with the line.
_QUOTED = r""""[^"\\\n]*(?:\\.[^"\\\n]*)*"?|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?"""
_ASSIGNED = rf"""(?P<k>(?<![\w.-]){_SECRET_NAME}["']?\s*(?:=|:(?!//)|->)\s*)(?:{_QUOTED}|[^\s,;&)"']+)"""
# Never the shell's own PWD
_PWD = rf"""(?P<k>[?&;_."'-]pwd["']?\s*[=:]\s*)(?:{_QUOTED}|[^\s,;&)"']+)"""
# As Scala prints a map, nothing quoted: PASSWORD -> a b,c, HOSTS -> es
_IN_MAP = rf"(?P<k>(?<![\w.-]){_SECRET_NAME}\s*->\s*)(?:[^,)\n]+|(?!,\s[\w.-]+\s*->|\)).)+"
# As Hadoop prints its configuration: <name>fs.s3a.secret.key</name><value>x</value>
_IN_XML = rf"(?P<k><name>\s*{_SECRET_NAME}\s*</name>\s*<value>)[^<\n]+"
_HEADER = r"""(?P<k>\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"',;]+"""
_IN_URL = r"(?P<k>\w://[^\s:/@]+:)(?!\d+/)(?:(?!://)[^\s@])+(?=@)"
_AWS_KEY_ID = r"(?P<k>\bA(?:KI|SI)A)[A-Z2-7]{16}\b"
_RULES = (
    (SECRET_WORDS, (_VARIABLE, _IN_MAP, _IN_XML, _ASSIGNED)),
    (("pwd",), (_PWD,)),
    (("authorization",), (_HEADER,)),
    (("@",), (_IN_URL,)),
    (("akia", "asia"), (_AWS_KEY_ID,)),
)
"""Words, and the patterns for lines with one of them. Most lines have none, and the search for fixed words is ten times
as fast as for patterns."""


class LogLimits(Struct, frozen=True):
    """The limits of a run's log on the driver."""

    size: int = 256 * 1024**2
    """Bytes that it may take, besides its end. The driver keeps the logs of 30 runs."""
    errors: int = 500
    """The driver ends a run if the log repeats one error so many times, and says nothing else, ..."""
    seconds: int = 60
    """... in so many seconds. PredictionIO writes 200 a second when Elasticsearch refuses its engine instance."""


_LIMITS = LogLimits()


class Redactor:
    """Replaces secrets by ``***``: values after a secret's name, passwords in URLs, and given values.

    Args:
        secrets: values to hide everywhere, also as JSON, HTML, addresses and base64 write them. One of fewer than four
            characters is hidden where it stands alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        secrets = tuple(secrets)
        self._forms = forms_of(secrets)
        self._values = pattern_of(secrets)
        self._find_value = re.compile(self._values) if self._values else None
        self._rules = [(words, [re.compile(one, re.IGNORECASE) for one in patterns]) for words, patterns in _RULES]

    def redact(self, line: str) -> str:
        """Return the line without its secrets."""
        if self._find_value:
            line = self._find_value.sub(HIDDEN, line)
        lower = line.lower()
        for words, patterns in self._rules:
            if any(word in lower for word in words):
                for pattern in patterns:
                    line = pattern.sub(rf"\g<k>{HIDDEN}", line)
        return line

    def in_perl(self, limits: LogLimits = _LIMITS) -> str:
        """Return a Perl program that does the same to each line of its standard input, whatever bytes it holds.

        It hands out a longer line in pieces of 64 KiB, so that a line without an end takes no more memory. It writes a
        run's log: it also keeps the limits.
        """
        rules = ",\n".join(
            f"[[{', '.join(map(_quote, words))}], map {{ qr/$_/i }} {', '.join(map(_quote, patterns))}]"
            for words, patterns in _RULES
        )
        values = _quote(self._values) if self._values else ""
        forms = ", ".join(map(_quote, self._forms))
        program = resources.files(__package__).joinpath("redact.pl").read_text(encoding="utf-8")
        declarations = (
            f"my @rules = (\n{rules}\n);\nmy ($values) = map {{ qr/$_/ }} ({values});\n"
            f"my @forms = ({forms});\n"
            f"my ($room, $repeats, $patience) = ({limits.size}, {limits.errors}, {limits.seconds});\n"
        )
        return declarations + program


def _quote(text: str) -> str:
    """Return a string of Perl's in single quotes, in which only these two characters are special."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
