"""Text that a terminal prints as it is: only colours reach it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import asdict, replace

if TYPE_CHECKING:
    from pio_tf.events import Event

EventT = TypeVar("EventT", bound="Event")

# It begins with a set of characters, which re searches fast; then comes what follows the character.
_SEQUENCES = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"(?:(?<=\x1b)(?P<colour>\[[0-9;:]*m)"
    # OSC, DCS, SOS, PM, APC
    r"|(?:(?<=\x1b)[\]PX^_]|(?<=[\x9d\x90\x98\x9e\x9f]))[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:(?<=\x1b)\[|(?<=\x9b))[0-?]*[ -/]*[@-~]?"  # CSI
    r"|(?<=\x1b)[ -/]*[0-~]?"
    r"|(?P<end>(?<=\r)\r*(?=\n|$))"
    r")?"
)
_SUSPICIOUS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROLS = bytes(byte for byte in range(128) if _SUSPICIOUS.match(chr(byte)))
_LONG = 1000
"""Characters."""


def printable(text: str) -> str:
    r"""Return text without anything that makes a terminal do more than print: colours, tabs and line ends stay.

    Machines, Terraform and AWS return text that others may have written. Its control sequences could fill the
    clipboard, set the title, or clear and overwrite what stands on the screen. A lone carriage return, with which
    programs draw their progress, becomes a blank.
    """
    if not _is_suspicious(text):
        return text
    return _SEQUENCES.sub(_replacement, text)


def _replacement(found: re.Match[str]) -> str:
    if found["colour"]:
        return found[0]
    return " " if found[0] == "\r" and found["end"] is None else ""


def printable_event(event: EventT) -> EventT:
    """Return an event with all its texts printable; the same one, if they are."""
    texts: dict[str, Any] = {
        name: printable(value)
        for name, value in asdict(event).items()
        if isinstance(value, str) and _is_suspicious(value)
    }
    return replace(event, **texts) if texts else event


def _is_suspicious(text: str) -> bool:
    if len(text) > _LONG and text.isascii():  # twice as fast for a block of a log
        return len(text.encode().translate(None, _CONTROLS)) < len(text)
    return _SUSPICIOUS.search(text) is not None
