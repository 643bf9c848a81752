"""A step's output, and the files of the step, as GitHub's runner reads them.

It follows the runner's own code (ActionCommand.cs, ActionCommandManager.cs, FileCommandManager.cs), but for commands
that are out of use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_KNOWN = {"error", "warning", "notice", "debug", "group", "endgroup", "add-mask", "stop-commands", "set-output"}
_PROPERTY = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
_DATA = {"%0D": "\r", "%0A": "\n", "%25": "%"}


@dataclass(frozen=True)
class RunnerCommand:
    """One that the runner has obeyed."""

    name: str
    properties: dict[str, str]
    data: str


@dataclass
class Log:
    """The log of a step."""

    commands: list[RunnerCommand] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The lines that are no commands."""
    groups: list[tuple[str, list[str]]] = field(default_factory=list)
    """Title and lines of each, in order."""
    open_group: bool = False
    mistakes: list[str] = field(default_factory=list)
    stopped: str = ""

    def named(self, name: str) -> list[RunnerCommand]:
        return [command for command in self.commands if command.name == name]


def read_log(text: str) -> Log:
    """Go through the lines as the runner does; .NET ends them at a carriage return, too."""
    log = Log()
    for line in re.split(r"\r\n|\n|\r", text):
        command = _parse(line, log.stopped)
        if command is None:
            _plain(log, line)
        elif log.stopped:
            if command.name == log.stopped:
                log.stopped = ""
            else:
                _plain(log, line)
        elif command.name == "stop-commands":
            log.stopped = command.data
        else:
            _obey(log, command)
    return log


def _plain(log: Log, line: str) -> None:
    log.lines.append(line)
    if log.open_group:
        log.groups[-1][1].append(line)


def _obey(log: Log, command: RunnerCommand) -> None:
    log.commands.append(command)
    if command.name == "group":
        if log.open_group:
            log.mistakes.append(f"a group in a group: {command.data}")
        log.groups.append((command.data, []))
        log.open_group = True
    elif command.name == "endgroup":
        if not log.open_group:
            log.mistakes.append("an end without a group")
        log.open_group = False


def _parse(line: str, token: str) -> RunnerCommand | None:
    known = _KNOWN | {token} - {""}
    found = re.match(r"\s*::(?P<info>.*?)::(?P<data>.*)", line)
    separator, unescape = ",", _PROPERTY
    if not found or found["info"].partition(" ")[0] not in known:
        found = re.search(r"##\[(?P<info>[^\]]*)\](?P<data>.*)", line)
        separator = ";"
    if not found or found["info"].partition(" ")[0] not in known:
        return None
    name, _, properties = found["info"].partition(" ")
    pairs = (pair.partition("=") for pair in properties.split(separator) if "=" in pair)
    return RunnerCommand(
        name, {key.strip(): _unescape(value, unescape) for key, _, value in pairs}, _unescape(found["data"], _DATA)
    )


def _unescape(text: str, replacements: dict[str, str]) -> str:
    for escaped, plain in replacements.items():
        text = text.replace(escaped, plain)
    return text


def read_outputs(text: str) -> dict[str, str]:
    """Parse ``$GITHUB_OUTPUT``.

    It has ``name=value``, or ``name<<DELIMITER`` and lines up to it; the last of a name counts.
    """
    outputs: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if re.match(r"[^=]*<<", line):
            name, _, delimiter = line.partition("<<")
            value: list[str] = []
            while (inner := next(lines)) != delimiter:
                value.append(inner)
            outputs[name] = "\n".join(value)
        elif line:
            name, equals, plain = line.partition("=")
            assert equals, line
            outputs[name] = plain
    return outputs
