"""The text between quotes and in heredocs of HCL, with the value that Terraform reads.

python-hcl2 takes ``$${`` up to the next ``}``, across quotes and lines. :func:`hide_escapes` hides it from the parser.
"""

from __future__ import annotations

import re
import unicodedata

from hcl2.utils import process_escape_sequences

from pio_tf.config.problems import Problem, UnreadableHcl
from pio_tf.config.syntax_errors import describe_character

_HIDDEN = {"$": "\ufdd0", "%": "\ufdd1"}
"""Noncharacters, which no text may hold."""
_SHOWN = str.maketrans({hidden: character for character, hidden in _HIDDEN.items()})
_REFUSED = re.compile("[\ufdd0\ufdd1]|\r(?!\n)")
_ESCAPE = re.compile(r'\\(?:[nrt"\\]|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))', re.DOTALL)
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def hide_escapes(text: str) -> str:
    """Return the text of the same length in which no ``$${`` and ``%%{`` is left.

    Raises:
        UnreadableHcl: a character in the text means something else to Terraform, in quotes too.
    """
    if found := _REFUSED.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise UnreadableHcl(Problem(line, "", f"{describe_character(text, found.start())} cannot be in this file"))
    return re.sub(r"(?:\$\$|%%)(?=\{)", lambda match: _HIDDEN[match[0][0]] * 2, text)


def show_escapes(text: str) -> str:
    """Return the text that :func:`hide_escapes` was given."""
    return text.translate(_SHOWN)


def literal(text: str) -> str:
    """Return the value of text without escapes: Terraform normalizes all text to NFC."""
    return unicodedata.normalize("NFC", re.sub("[\ufdd0\ufdd1]{2}", lambda match: match[0][0].translate(_SHOWN), text))


def unescape(text: str) -> str:
    """Return the value of a part of a quoted string.

    Raises:
        ValueError: Terraform does not take the text.
    """
    if "\n" in text:
        raise ValueError('the string is not closed: expected another " before the end of the line')
    for escape in _ESCAPE.finditer(text):
        if escape[3] is not None:
            known = '\\n \\r \\t \\" \\\\ \\uNNNN'
            raise ValueError(f"{escape[0]} is not an escape; these are: {known}; for one backslash, write \\\\")
        code = int(escape[1] or escape[2] or "0", 16)
        if code in _SURROGATES:
            raise ValueError(f"{escape[0]} is half of a character; write the whole one, as itself or as \\UNNNNNNNN")
        if code > _LAST_CHARACTER:
            raise ValueError(f"{escape[0]} is beyond the last character, \\U0010FFFF")
    return literal(process_escape_sequences(text))


def heredoc_body(text: str) -> str:
    """Return the lines of a heredoc (``<<EOT``, ``<<-EOT``) with the last newline; ``<<-`` removes the indentation.

    Raises:
        ValueError: Terraform takes the text otherwise, or not at all.
    """
    head, _, body = text.partition("\n")
    tag = head.lstrip("<-")
    body = body[: body.rindex(tag)].rstrip(" \t")
    if "." in tag or not (body.endswith("\n") or not body):
        raise ValueError(f"the text after {head} is not closed: expected {tag.replace('.', '')} alone in a line")
    if any(line.strip() == tag for line in body.split("\n")):
        raise ValueError(f"Terraform ends the text after {head} at a line of blanks and {tag}; choose another word")
    if not head.startswith("<<-"):
        return body
    lines = [f"{line}\n" for line in body.split("\n")[:-1]]
    filled = [line for line in lines if line.strip()]
    for line in filled:
        if (first := line.lstrip(" \t")[0]).isspace():
            raise ValueError(f"a line begins with U+{ord(first):04X}; indent the text after {head} with spaces or tabs")
    margin = min((len(line) - len(line.lstrip(" \t")) for line in filled), default=0)
    return "".join(line[margin:] if line.strip() else line for line in lines)
