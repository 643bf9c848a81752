"""Syntax errors of pio-tf.hcl, explained.

The parser stops where it cannot continue. For a forgotten quote or bracket, that is often far below the mistake. So
:func:`explain_syntax_error` also looks for strings and brackets that are never closed, and reports the earlier place.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from pio_tf.config.problems import Problem

if TYPE_CHECKING:
    from lark.exceptions import LarkError

_PIECES = re.compile(
    r"""
      (?P<skip> \#[^\n]* | //[^\n]* | /\*.*?\*/ | <<-?(?P<tag>[A-Za-z][\w.-]*)[ \t]*\n.*?^[ \t]*(?P=tag)[ \t]*$
              | "(?:[^"\\\n]|\\.)*" )
    | (?P<unclosed> " | /\* | <<-?[A-Za-z][\w.-]*(?=[ \t]*\n) )
    | (?P<bracket> [{}()\[\]] )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_MOST_TERMINALS = 30
"""If any terminal may follow, the lexer names all that it knows, which tells a user nothing."""
_CONTROLS = {"\0": "null", "\r": "carriage return without a newline", "\f": "form feed", "\v": "vertical tab"}
"""Names that Unicode does not have."""
_ODD_CHARACTER = re.compile(r"[^\n\t\r -~]")
_CLOSERS = {"{": "}", "[": "]", "(": ")"}


def explain_syntax_error(text: str, error: LarkError) -> Problem:
    """Return the best explanation of a parser error: the line, what was expected, and what was found."""
    line, message = _explain_parser(text, error)
    for cause in (_find_odd_character(text), _find_unclosed(text)):
        if cause is not None and cause[0] <= line:
            line, message = cause
    return Problem(line, "", message)


def describe_character(text: str, position: int) -> str:
    """Return ``column 4: the character U+00A0 (no-break space)`` for the character at a position."""
    character = text[position]
    column = position - text.rfind("\n", 0, position)
    number = f"U+{ord(character):04X}"
    name = unicodedata.name(character, _CONTROLS.get(character, "")).lower()
    details = ", ".join(filter(None, [number, name] if character.isprintable() else [name]))
    shown = f'"{character}"' if character.isprintable() else number
    return f"column {column}: the character {shown}" + (f" ({details})" if details else "")


def _explain_parser(text: str, error: LarkError) -> tuple[int, str]:
    lines = text.rstrip().split("\n")
    if isinstance(error, UnexpectedToken):
        expected, found, line = set(error.expected), str(error.token), error.line
        if error.token.type == "$END":
            found, line = "", len(lines)
        elif error.token.type == "NL_OR_COMMENT":
            found = "\n"
        elif error.token.type != "STRING_CHARS":
            found = found.lstrip()  # the lexer joins an operator with the newlines before it
    elif isinstance(error, UnexpectedCharacters):
        expected, found, line = set(error.allowed), error.char, min(error.line, len(lines))
    else:
        return 1, "cannot be read as HCL"
    if expected == {"LBRACE"} and line > 1 and lines[line - 1].startswith((found or " ", " ")):
        line = max((number for number in range(1, line) if lines[number - 1].strip()), default=1)
        found = "\n"  # the item begins on the line before, and is not finished there
    hint = "; strings are in double quotes" if found.startswith("'") else ""
    return line, f"expected {_expected(expected)}, found {_quote(found)}{hint}"


def _expected(terminals: set[str]) -> str:
    """Return words for a set of the grammar's terminals. The order matters: the first match says most."""
    if len(terminals) > _MOST_TERMINALS:
        return "something else"
    if {"COMMA", "RSQB"} <= terminals:
        return '"," or "]" of the list'
    if {"INT_LITERAL", "DBLQUOTE"} <= terminals:
        return "a value: a string in quotes, a number, true, false, a list or a map"
    if "LBRACE" in terminals:
        return '"=" for an option or "{" for a block'
    if terminals <= {"NAME", "NL_OR_COMMENT"}:
        return "the name of an option or a block"
    if "$END" in terminals:
        return "a new line with an option or a block"
    if "DBLQUOTE" in terminals:
        return "the closing quote of the string"
    for terminal, word in (("RBRACE", '"}"'), ("RPAR", '")"'), ("RSQB", '"]"'), ("EQ", '"="'), ("COLON", '":"')):
        if terminal in terminals:
            return word
    return "something else"


def _quote(found: str) -> str:
    if not found:
        return "the end of the file"
    if found.startswith(("\n", "#", "//")) or not found.strip():
        return "the end of the line"
    word = found.split()[0]
    return f'"{word[:40]}"' if word.isprintable() else f"the character U+{ord(word[0]):04X}"


def _find_odd_character(text: str) -> tuple[int, str] | None:
    """Find the first character outside of strings, heredocs and comments that has no meaning there."""
    position = 0
    for skipped in (*(piece.span() for piece in _PIECES.finditer(text) if piece["skip"]), (len(text), len(text))):
        if found := _ODD_CHARACTER.search(text, position, skipped[0]):
            line = text.count("\n", 0, found.start()) + 1
            what = describe_character(text, found.start())
            return line, f"{what} can only be in quotes or comments; {_hint(found[0])}"
        position = skipped[1]
    return None


def _hint(character: str) -> str:
    """Return what to write instead of a character."""
    if unicodedata.category(character) in ("Pi", "Pf") or character in "\u201a\u201e\u2032\u2033\u301e\uff02":
        return 'strings are in double quotes: " (U+0022)'
    if character.isspace():
        return "write a space (U+0020)"
    if character.isalnum():
        return "names consist of a to z, 0 to 9, _ and -"
    return "write it in ASCII" if character.isprintable() else "delete it"


def _find_unclosed(text: str) -> tuple[int, str] | None:
    """Find the first string, comment, heredoc or bracket that is not closed, or is closed by another bracket.

    An unclosed string goes before a bracket in the same line, because the bracket may be part of that string.
    """
    opened: list[tuple[str, int]] = []
    wrong: tuple[int, str] | None = None
    wrong_line = 0
    for piece in _PIECES.finditer(text):
        line = text.count("\n", 0, piece.start()) + 1
        if wrong_line and line > wrong_line:
            return wrong
        if piece["unclosed"]:
            return line, _unclosed_message(piece["unclosed"])
        bracket = piece["bracket"]
        if bracket is None or wrong_line:
            continue
        if bracket in _CLOSERS:
            opened.append((bracket, line))
            continue
        opener, opened_in = opened.pop() if opened else ("", 0)
        if _CLOSERS.get(opener) != bracket:
            wrong_line = line
            if opener:  # otherwise the parser's message is as good
                wrong = line, f'expected "{_CLOSERS[opener]}" for the "{opener}" in line {opened_in}, found "{bracket}"'
    if not wrong_line and opened:
        opener, line = opened[-1]
        return line, f'the "{opener}" here is never closed: expected "{_CLOSERS[opener]}", found the end of the file'
    return wrong


def _unclosed_message(opener: str) -> str:
    if opener == '"':
        return 'the string is not closed: expected another " before the end of the line'
    if opener == "/*":
        return 'the comment is not closed: expected "*/"'
    return f"the text after {opener} is not closed: expected {opener.lstrip('<-')} alone in a line"
