"""Help: every command in a group, each with one whole line; the options that all have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import pytest
import typer

from pio_tf.cli.app import SECTIONS, app
from pio_tf.cli.command import COMMON, CommandSpec, GroupSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 60
COMMANDS: Any = typer.main.get_command(app)


def entries() -> Iterator[CommandSpec | GroupSpec]:
    for section in SECTIONS.values():
        for entry in section:
            yield entry
            if isinstance(entry, GroupSpec):
                yield from entry.commands


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    app([*words, "--help"], prog_name="pio-tf", standalone_mode=False)
    return capsys.readouterr().out.splitlines()


def test_the_main_job_comes_first_and_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)
    headings = [line for line in lines if re.fullmatch(r"[A-Z].*:", line)]
    assert headings == [*(f"{heading}:" for heading in SECTIONS), "Options:"]
    first = lines[lines.index(headings[0]) + 1 : lines.index(headings[1]) - 1]
    assert [line.split()[0] for line in first] == ["init", "plan", "up", "train", "down", "status"]


@pytest.mark.parametrize("columns", ["80", "200"])
def test_each_line_is_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.delenv("TERMINAL_WIDTH", raising=False)
    for words, listed in [
        ((), [entry for section in SECTIONS.values() for entry in section]),
        *(((group.name,), group.commands) for group in entries() if isinstance(group, GroupSpec)),
    ]:
        lines = shown(capsys, *words)
        rows = [line.strip().split(maxsplit=1) for line in lines]
        assert [[entry.name, entry.summary] for entry in listed if [entry.name, entry.summary] not in rows] == []
        assert not any(line.endswith("...") and "COMMAND" not in line for line in lines)


@pytest.mark.parametrize("entry", list(entries()), ids=lambda entry: entry.name)
def test_a_line_is_a_short_sentence(entry: CommandSpec | GroupSpec) -> None:
    assert 0 < len(entry.summary) <= WIDTH
    assert entry.summary[0].isupper()
    assert entry.summary.endswith(".")


def test_every_command_has_the_options_that_all_have() -> None:
    def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's
        children = cast("dict[str, Any]", getattr(command, "commands", {}))
        if not children or command.invoke_without_command:
            yield name, command
        for child, inner in children.items():
            yield from leaves(inner, f"{name} {child}")

    found = dict(leaves(COMMANDS, "pio-tf"))
    assert len(found) > 30
    for name, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--verbose", "-v", "--quiet", "-q", "--debug"} <= options, name
        assert COMMON.keys() <= {parameter.name for parameter in command.params}


def test_no_two_options_of_a_command_are_one() -> None:
    for name, command in COMMANDS.commands.items():
        options = [option for parameter in command.params for option in parameter.opts]
        assert len(options) == len(set(options)), name
