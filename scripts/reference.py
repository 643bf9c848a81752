#!/usr/bin/env python3
"""Write the generated pages of docs/, and the tables in the Terraform modules' READMEs.

With --check it writes nothing, and fails if one of them is not up to date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer import Typer

Command: TypeAlias = Any  # a click command; which click depends on Typer's version
REPOSITORY = Path(__file__).resolve().parent.parent

_OUTPUT = """\
Results go to standard output; progress, warnings and errors to standard error. Only `destroy` and `host-keys accept`
ask a question, and only at a terminal and outside CI. [json.md](json.md) describes what `--json` writes, and what a CI
job gets. If a result cannot be written, because standard output is closed or its disk is full, the exit code is still
that of the work."""
_COMMON = """\
## Options of every command

| option | |
| --- | --- |
{rows}

With `--quiet`, a command writes its result, warnings, failed checks and errors, and nothing else. It does not show the
log of a training; `pio-tf logs` shows it later. With `--verbose`, it also names each call to AWS, without its
parameters, and shows each resource that Terraform reads or changes, with its address.

An error is one message: what failed, its cause, and the next step. With `--debug`, its traceback comes before it. An
error that pio-tf does not expect is a bug: its traceback is also written to a file, which the message names."""
_EXIT_NAMES = {
    0: "success",
    1: "error",
    2: "usage; changes present",
    3: "guard refused",
    4: "locked",
    5: "not ready; preflight failed",
    6: "training failed",
    7: "machines may be running",
    129: "hung up",
    130: "interrupted",
    141: "no reader",
    143: "terminated",
}
_ABOUT_EXIT_CODES = """\
With `plan --detailed-exitcode` and `drift`, 2 means that there is something to change, or drift, as in Terraform. Wrong
usage and a wrong pio-tf.hcl are 1 there. `ssh` exits with the code of the shell or the command.

[troubleshooting.md](troubleshooting.md) explains the errors behind the codes."""


def main() -> int:
    """Return the exit code: 1 if --check finds a page that differs."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, text in render_pages().items():
        page = REPOSITORY / name
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            page.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'not up to date, run `make docs`' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


def render_pages() -> dict[str, str]:
    """Return the text of every generated page, by its path."""
    from pio_tf.cli.app import app
    from scripts.configuration_page import render_configuration
    from scripts.json_reference import SCHEMA, render_json, render_schema
    from scripts.module_tables import render_readme

    modules = sorted(path.parent for path in (REPOSITORY / "terraform" / "modules").glob("*/README.md"))
    return {
        "docs/configuration.md": render_configuration(),
        "docs/commands.md": render_commands(app),
        "docs/json.md": render_json(),
        f"docs/{SCHEMA}": render_schema(),
        **{str((module / "README.md").relative_to(REPOSITORY)): render_readme(module) for module in modules},
    }


def render_commands(app: Typer) -> str:
    """Return docs/commands.md, from the tree of commands of a Typer application."""
    import typer

    root = typer.main.get_command(app)
    leaves = list(_leaves(root, "pio-tf"))
    parts = [
        "<!-- Written by `make docs` from the commands of pio_tf/cli. Change those, not this. -->",
        "# Commands",
        root.help or "",
        _OUTPUT,
        "\n".join(_overview(leaves)),
        _COMMON.format(rows="\n".join(_rows(leaves[0][1], common=True))),
    ]
    for path, command in leaves:
        parts += _section(path, command)
    return "\n\n".join(part for part in [*parts, _exit_codes()] if part) + "\n"


def _overview(leaves: list[tuple[str, Command]]) -> Iterator[str]:
    yield "| command | what it does |"
    yield "| --- | --- |"
    for path, command in leaves:
        yield f"| [`{path}`](#{path.replace(' ', '-')}) | {_first_sentence(command.help or '')} |"


def _leaves(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """Yield every command that is not a group and not hidden, with its whole name."""
    children = getattr(command, "commands", None)
    if children is None or command.invoke_without_command:
        yield path, command
    if children is None:
        return
    for name, child in children.items():
        if not child.hidden:
            yield from _leaves(child, f"{path} {name}")


def _section(path: str, command: Command) -> Iterator[str]:
    import typer

    context = typer.Context(command, info_name=path)
    yield f"## {path}"
    yield f"```\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```"
    yield (command.help or "").replace("\b\n", "").strip()
    if rows := list(_rows(command, common=False)):
        yield "\n".join(["| argument or option | |", "| --- | --- |", *rows])


def _rows(command: Command, *, common: bool) -> Iterator[str]:
    """Yield a row for each argument and option, either those of this command or those of every command."""
    import typer

    from pio_tf.cli.command import COMMON

    context = typer.Context(command)
    for one in command.get_params(context):
        if one.name != "help" and (one.name in COMMON) == common and (record := one.get_help_record(context)):
            yield f"| `{record[0]}` | {_cell(record[1])} |"


def _cell(text: str) -> str:
    """Return help for a cell of a table: one line, without the parentheses around a described default."""
    line = re.sub(r"default: \((.*?)\)\]", r"default: \1]", " ".join(text.split()))
    return line.replace("|", "\\|").replace("<", "&lt;")


def _exit_codes() -> str:
    from pio_tf import errors

    rows = {0: ["The command has done its work."], 2: ["Wrong usage of a command."]}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PioTfError)]
    for kind in kinds:
        if kind is not errors.PioTfError:
            rows.setdefault(kind.exit_code, []).append(_first_sentence(kind.__doc__ or ""))
    rows[129] = ["SIGHUP: the terminal was closed."]
    rows[130] = ["Ctrl-C."]
    rows[141] = ["Nothing reads the training's log any more, as after `pio-tf train | head`."]
    rows[143] = ["SIGTERM."]
    lines = [f"| {code} | {_EXIT_NAMES[code]} | {' '.join(meanings)} |" for code, meanings in sorted(rows.items())]
    head = ["## Exit codes", "", "| code | name | meaning |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines, "", _ABOUT_EXIT_CODES])


def _first_sentence(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    sys.exit(main())
