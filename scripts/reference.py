#!/usr/bin/env python3
"""Writes the generated pages of docs/, and the tables in the Terraform modules' READMEs.

With --check it writes nothing, and fails where one of them is not up to date.
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
Results go to standard output; progress, warnings and errors to standard error. Nothing asks a question but
`destroy` and `host-keys accept`, and they only at a terminal and outside CI. What `--json` writes, and what a CI job
gets, is in [json.md](json.md)."""
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
    141: "not read any more",
    143: "terminated",
}
_ABOUT_EXIT_CODES = """\
Changes present: with `plan --detailed-exitcode` and with `drift`, 2 means that there is something to change, or drift,
as with Terraform; there, wrong usage and a wrong pio-tf.hcl are 1. `ssh` ends with the code of the shell or command.

The errors behind the codes are explained in [troubleshooting.md](troubleshooting.md)."""


def main() -> int:
    """The exit code: 1 where --check finds a page that differs."""
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
    """Path -> text of every generated page."""
    from pio_tf.cli.app import app
    from pio_tf.cli.json_reference import render_json
    from scripts.configuration_page import render_configuration
    from scripts.module_tables import render_readme

    modules = sorted(path.parent for path in (REPOSITORY / "terraform" / "modules").glob("*/README.md"))
    return {
        "docs/configuration.md": render_configuration(),
        "docs/commands.md": render_commands(app),
        "docs/json.md": render_json(),
        **{str((module / "README.md").relative_to(REPOSITORY)): render_readme(module) for module in modules},
    }


def render_commands(app: Typer) -> str:
    """docs/commands.md, from the tree of commands of a Typer application."""
    import typer

    root = typer.main.get_command(app)
    parts = [
        "<!-- Written by `make docs` from the commands of pio_tf/cli. Change those, not this. -->",
        "# Commands",
        root.help or "",
        _OUTPUT,
        "\n".join(_overview(root, "pio-tf")),
    ]
    for path, command in _leaves(root, "pio-tf"):
        parts += _section(path, command)
    return "\n\n".join(part for part in [*parts, _exit_codes()] if part) + "\n"


def _overview(root: Command, name: str) -> Iterator[str]:
    yield "| command | what it does |"
    yield "| --- | --- |"
    for path, command in _leaves(root, name):
        yield f"| [`{path}`](#{path.replace(' ', '-')}) | {_first_sentence(command.help or '')} |"


def _leaves(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """Every command that is not a group and not hidden, with its whole name."""
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
    parameters = [one for one in command.get_params(context) if one.name != "help"]
    yield f"## {path}"
    yield f"```\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```"
    yield (command.help or "").replace("\b\n", "").strip()
    records = [record for one in parameters if (record := one.get_help_record(context))]
    if records:
        rows = [f"| `{names}` | {_cell(text)} |" for names, text in records]
        yield "\n".join(["| argument or option | |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    """Help text for a cell of a table: one line, without the parentheses around a described default."""
    line = re.sub(r"default: \((.*?)\)\]", r"default: \1]", " ".join(text.split()))
    return line.replace("|", "\\|").replace("<", "&lt;")


def _exit_codes() -> str:
    from pio_tf import errors

    rows = {0: ["It has done what it was asked to do."], 2: ["Wrong usage of a command."]}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PioTfError)]
    for kind in kinds:
        if kind is not errors.PioTfError:
            rows.setdefault(kind.exit_code, []).append(_first_sentence(kind.__doc__ or ""))
    rows[129] = ["SIGHUP: the terminal was closed."]
    rows[130] = ["Ctrl-C."]
    rows[141] = ["The reader of the training's log is gone, as after `pio-tf train` piped into `head`."]
    rows[143] = ["SIGTERM."]
    lines = [f"| {code} | {_EXIT_NAMES[code]} | {' '.join(meanings)} |" for code, meanings in sorted(rows.items())]
    head = ["## Exit codes", "", "| code | name | meaning |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines, "", _ABOUT_EXIT_CODES])


def _first_sentence(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    sys.exit(main())
