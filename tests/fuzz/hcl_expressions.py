"""HCL expressions of literals in every spelling, and their values according to Terraform."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

from tests.support.provider_scripts import TERRAFORM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from random import Random
    from typing import Any

VARIABLES = {"A": '  v${x} "q" \\n', "B": "", "C": "line\n  two"}
"""The environment of ``env("…")``; for Terraform, they are variables."""
_BLANKS = ("", "", "  ", "    ", "\t", " \t", "\u00a0", "\u3000 ")
_PIECES = (
    *("a", "b", " ", "  ", "\t", "E", "{", "}", "#", "//", "/*", "*/", "'", "~", "<<E", "\\$"),
    *("$", "$$", "${", "$${", "$$${", "%", "%%", "%{", "%%{", "%%%{", "%{if}", "${x}", '${~ env("A") ~}'),
    *('${env("A")}', '${env("B")}', '${ env("C") }'),
    *("\\n", "\\t", "\\r", '\\"', "\\\\", "\\u00e9", "\\u0000", "\\u2028", "\\u000a", "e\\u0301", "\\U0001F600"),
    *(
        "\u00e9",
        "e\u0301",
        "\u00a0",
        "\u2028",
        "\u0085",
        "\x0b",
        "\x00",
        "\x07",
        "\r",
        "\ufeff",
        "\ufffe",
        "\U0001f600",
    ),
)
_NUMBERS = (
    *("0", "7", "-3", "- 3", "007", "1.50", "1e3", "1E-2", "-2.5", "-0", "-0.0", "0.1", "1e+2", "1.0", "1e23", "1e400"),
    *("123456789012345678901234567890", "0.30000000000000004", "9007199254740993"),
)
_KEYS = (
    *("a", "b-c", "for", "in", "if", "true", "null", "7", "1.0", "1e3", "007", "-1", "0.10", "123456789012345678901"),
    *('"x y"', '"\\u00e9"', '"e\u0301"', '"$${a}"', '"$${"', '"a\\nb"', '"7"', '"%%{"', "\u00e9", "a.b", "(a)"),
)


def expression(random: Random, newline: str = "\n", depth: int = 0) -> str:
    """Draw an expression; most are good."""
    kinds = [_string, _string, _string, _heredoc, _heredoc, _heredoc, _simple]
    return random.choice(kinds if depth > 1 else [*kinds, _list, _map, _parenthesis])(random, newline, depth)


def _text(random: Random, most: int) -> str:
    return "".join(random.choice(_PIECES) for _ in range(random.randint(0, most)))


def _string(random: Random, _newline: str, _depth: int) -> str:
    return f'"{_text(random, 4)}"'


def _heredoc(random: Random, newline: str, _depth: int) -> str:
    tag = random.choice(["E", "EOT", "E-1", "E_2"])
    ends = ["", "", "", "  ", tag, f"{tag} "]
    lines = [
        random.choice(_BLANKS) + _text(random, 3) + random.choice(['"', ""]) + random.choice(ends)
        for _ in range(random.randint(0, 4))
    ]
    head = random.choice(["<<", "<<-", "<<-"]) + tag
    return newline.join([head, *lines, random.choice(["", "  ", "\t"]) + tag, ""])


def _simple(random: Random, _newline: str, _depth: int) -> str:
    return random.choice([*_NUMBERS, "true", "false", "null"])


def _list(random: Random, newline: str, depth: int) -> str:
    items = [expression(random, newline, depth + 1) for _ in range(random.randint(0, 3))]
    comment = random.choice(["", f"{newline}# c{newline}", f" // c{newline}", "/* c */"])
    return (
        f"[{random.choice(['', newline])}{random.choice([',', f',{newline}', f' , {newline}']).join(items)}{comment}]"
    )


def _map(random: Random, newline: str, depth: int) -> str:
    text = "{" + random.choice(["", newline])
    for _ in range(random.randint(0, 3)):
        text += random.choice(_KEYS) + random.choice([" = ", ":", "=", " : "]) + expression(random, newline, depth + 1)
        if not text.endswith("\n"):  # Terraform takes no comma in the line after a heredoc
            text += random.choice([", ", newline, f",{newline}"])
    return text + "}"


def _parenthesis(random: Random, newline: str, depth: int) -> str:
    return f"({random.choice(['', newline])}{expression(random, newline, depth + 1)}{random.choice(['', newline])})"


def with_variables(text: str) -> str:
    """Return a text with Terraform's variables in place of ``env("…")``."""
    return re.sub(r'env\(\s*"(\w)"\s*\)', r"var.\1", text)


def terraform_values(directory: Path, expressions: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of expressions, by name, out of one ``terraform console``.

    Raises:
        AssertionError: Terraform takes an expression for none.
    """
    variables = "".join(
        f"variable {json.dumps(name)} {{\n  default = {json.dumps(value).replace('${', '$${')}\n}}\n"
        for name, value in VARIABLES.items()
    )
    (directory / "variables.tf").write_text(variables)
    for name, text in expressions.items():
        (directory / f"{name}.tf").write_bytes(f"locals {{\n{name} = {with_variables(text)}\n}}\n".encode())
    question = f"base64encode(jsonencode({{{', '.join(f'{name} = local.{name}' for name in expressions)}}}))\n"
    done = subprocess.run(
        [TERRAFORM, f"-chdir={directory}", "console"],
        input=question,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    refused = {name: expressions[name] for name in re.findall(r"on \S*?(\w+)\.tf line", done.stderr)}
    assert not refused, f"Terraform refuses {refused}"
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(base64.b64decode(json.loads(done.stdout)))
    return answer
