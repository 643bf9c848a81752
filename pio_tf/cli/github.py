"""The protocol of GitHub Actions' runner: commands in a step's output, and files that a step appends to.

The runner's own code defines it (actions/runner: ActionCommand.cs, ActionCommandManager.cs, ProcessInvoker.cs). A line
is a command if ``::name …::`` begins it, after blanks, or if ``##[name …]`` stands anywhere in it. The runner reads
standard error and standard output alike; if both have lines, it reads those of standard error first.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.errors import PioTfError

_COMMAND = re.compile(r"##\[|(?:^|[\r\n])\W*::")
"""More than the runner takes for a command: its comparison ignores invisible characters, and .NET ends a line at a
carriage return, too."""
_PLACE = re.compile(r"(?<![^\s(])(?P<file>[^\s:()]+\.hcl):(?P<line>\d+)(?::\s*(?P<message>.*))?")


class Place(Struct, frozen=True):
    """A line of a pio-tf.hcl that an error names, and the error's message for it."""

    file: str
    line: int
    message: str


def command(name: str, message: str = "", **properties: object) -> str:
    """Return the line ``::error file=pio-tf.hcl,line=3::message``, without the properties that have no value."""
    given = ",".join(f"{key}={_escape_property(str(value))}" for key, value in properties.items() if value)
    return f"::{name}{' ' + given if given else ''}::{_escape(message)}\n"


def guard(text: str) -> str:
    """Return the lines, with those that the runner would take for commands between two that stop commands.

    Commands are stopped for no longer: the runner would ignore pio-tf's own on the other stream, too.
    """
    if "::" not in text and "##[" not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _COMMAND.search(line):
            token = f"pio-tf-{os.urandom(16).hex()}"
            lines[number] = f"::stop-commands::{token}\n{line}\n::{token}::"
    return "\n".join(lines)


def output_entry(name: str, value: object) -> str:
    """Return a line for ``$GITHUB_OUTPUT``, ``name=value``, or several for a value of several lines."""
    text = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    if "\n" not in text and "\r" not in text:
        return f"{name}={text}\n"
    delimiter = f"pio-tf-{os.urandom(16).hex()}"
    return f"{name}<<{delimiter}\n{text}\n{delimiter}\n"


def append(variable: str, text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Append to the file that a variable names, if any. Return the problem with that file; empty: none."""
    path = environ.get(variable)
    if not path or not text:
        return ""
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        return f"${variable} cannot be written: {error}"
    return ""


def places(error: PioTfError, environ: Mapping[str, str] = os.environ) -> tuple[Place, ...]:
    """Return the lines of configurations that an error names, with files as the workspace names them."""
    found, named = [], Path(str(error.details.get("file", "")))
    for line in f"{error.what}\n{error.cause}".splitlines():
        if match := _PLACE.search(line):
            file = named if named.name == match["file"] else Path(match["file"])
            message = (match["message"] or line).strip()
            found.append(Place(_in_workspace(file, environ), int(match["line"]), message))
    return tuple(found)


def _in_workspace(file: Path, environ: Mapping[str, str]) -> str:
    """Return the path in the workspace: GitHub puts annotations beside the code there."""
    workspace = environ.get("GITHUB_WORKSPACE")
    try:
        return str(file.resolve().relative_to(Path(workspace).resolve())) if workspace else str(file)
    except ValueError:  # it is elsewhere
        return str(file)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
