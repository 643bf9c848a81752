"""The tables in a Terraform module's README: what it takes, gives and makes, out of its .tf files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import hcl2
from hcl2.utils import SerializationOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BEGIN = "<!-- Written by `make docs` from this module's .tf files. Change those, not this. -->"
END = "<!-- Here ends what `make docs` writes. -->"


def render_readme(module: Path) -> str:
    """Return the module's README.md with current tables: between the two marks, or at its end."""
    text = (module / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].strip("\n")
    return "\n\n".join(part for part in (before.rstrip(), BEGIN, render_tables(module), END, after) if part) + "\n"


def render_tables(module: Path) -> str:
    """Return tables of a module's requirements, inputs, outputs, resources, data sources and calls.

    It leaves out empty tables.
    """
    parts = [_requirements(module)]
    inputs = list(_inputs(module))
    outputs = [(f"`{name}`", body["description"]) for name, body in _named(module, "output")]
    made = [
        (f"`{prefix}{kind}.{name}`", _how_many(body))
        for word, prefix in (("resource", ""), ("data", "data."))
        for kind, name, body in _labelled_twice(module, word)
    ]
    made += [(f"`module.{name}`, of `{body['source']}`", _how_many(body)) for name, body in _named(module, "module")]
    for head, names, rows in (
        ("Inputs", ("name", "type", "default", "description"), inputs),
        ("Outputs", ("name", "description"), outputs),
        ("Resources, data sources and modules", ("address", "how many"), made),
    ):
        if rows:
            parts.append(f"## {head}")
            parts.append("\n".join(_table(names, rows)))
    return "\n\n".join(parts)


def _requirements(module: Path) -> str:
    needs = []
    for block in _blocks(module, "terraform"):
        needs.append(f"Terraform `{block['required_version']}`")
        for providers in block.get("required_providers", []):
            needs += [
                f"provider `{name}` (`{body['source']}`) `{body['version']}`"
                for name, body in providers.items()
                if not name.startswith("__")
            ]
    return f"It needs {', '.join(needs)}."


def _inputs(module: Path) -> Iterator[tuple[str, ...]]:
    for name, body in _named(module, "variable"):
        default = f"`{_written(body['default'])}`" if "default" in body else "required"
        yield f"`{name}`", f"`{_written(body['type'], bare=True)}`", default, body["description"]


def _how_many(body: dict[str, Any]) -> str:
    for word in ("count", "for_each"):
        if word in body:
            return f"`{word} = {_written(body[word], bare=True)}`"
    return "1"


def _written(value: Any, *, bare: bool = False) -> str:  # noqa: ANN401 (whatever HCL has)
    """Return a value as HCL writes it. ``bare``: text is an expression."""
    if isinstance(value, str):
        expression = re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL)
        return expression[1] if expression else value if bare else json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(_written(item) for item in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {_written(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return json.dumps(value)


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(names)
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"


def _blocks(module: Path, word: str) -> Iterator[dict[str, Any]]:
    for path in sorted(module.glob("*.tf")):
        options = SerializationOptions(strip_string_quotes=True)
        yield from hcl2.loads(path.read_text(encoding="utf-8"), serialization_options=options).get(word, [])


def _named(module: Path, word: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in _blocks(module, word):
        yield from ((name, body) for name, body in block.items() if not name.startswith("__"))


def _labelled_twice(module: Path, word: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for kind, named in _named(module, word):
        yield from ((kind, name, body) for name, body in named.items() if not name.startswith("__"))
