"""docs/json.md, from the schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints, is_typeddict

from pio_tf.cli.schemas.common import ErrorResult
from pio_tf.cli.schemas.outputs import OUTPUTS
from pio_tf.cli.schemas.results import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

Form: TypeAlias = Any
"""A type, as annotations have it."""

_INTRODUCTION = """\
<!-- Written by `make docs` from pio_tf/cli/schemas. Change that, not this. -->

# Output for programs

Every command but `pio-tf ssh` takes `--json`: its result stands on standard output as one object of JSON, and nothing
else does; what is said about the work, and the log of a training, goes to standard error. `pio-tf logs --json` writes
an object for each line of the log, each on a line of its own.

Every object has `version`, the version of its schema, which is 1. Within a version nothing goes away and nothing
changes its meaning, but there may be more than a program knows: it should pass over that. A command that fails writes
an [ErrorResult](#errorresult), the same for all commands, and ends with one of the
[exit codes](commands.md#exit-codes). Only `pio-tf check`, `pio-tf drift`, `pio-tf guard` and
`pio-tf plan --detailed-exitcode` write their own result and end with another code than 0 all the same: it is their
answer."""

_CI = """\
## In a CI job

A job is known by `CI`, `GITHUB_ACTIONS` or `GITLAB_CI` in its environment, with any value but `0`, `false`, `no` and
`off`. There, whether or not it has a terminal,

- nothing is asked: `destroy` and `host-keys accept` need their options;
- nothing is live and nothing is coloured, unless `FORCE_COLOR` is set; `NO_COLOR` takes colours away everywhere;
- each line on standard error begins with its time, in UTC (`2026-11-23T03:00:12Z`). Lines of a training on standard
  output stay as they are: they may be piped on, and have times of their own.

Without a terminal but outside CI (cron, a pipe) nothing is asked, live or coloured either; a job of cron that wants the
times sets `CI=true`.

In GitLab CI, steps and log are collapsible sections. In GitHub Actions,

- each step of the work, and the log of the training, is a group, whatever ends it;
- warnings and errors are annotations, at their line where they name one of pio-tf.hcl;
- a line of a training that looks like a command of the runner (`::error::…`) is none: it stands between
  `::stop-commands::` and its end. A file gets the line alone;
- the page of the job (`$GITHUB_STEP_SUMMARY`) gets the command's table, or the error with its cause and next step;
- `$GITHUB_OUTPUT` gets what stands below. Several commands in one step overwrite each other's: give each a step.

| command | output | value |
| --- | --- | --- |
| every command | `exit` | the exit code |
| one that fails | `error` | what happened, in one sentence |
| `train` that fails | `run` | the id of the run, if there was one |
{outputs}"""


def render_json() -> str:
    """The page."""
    commands = ["| command | result |", "| --- | --- |"]
    commands += [f"| `{name}` | {_form(result)} |" for name, result in RESULTS.items()]
    outputs = [
        f"| `{command}` | `{name}` | {value} |" for command, names in OUTPUTS.items() for name, value in names.items()
    ]
    parts = [_INTRODUCTION, "\n".join(commands), *map(_section, _all_objects()), _CI.format(outputs="\n".join(outputs))]
    return "\n\n".join(parts) + "\n"


def fields(form: type) -> dict[str, tuple[Form, str]]:
    """Names of an object, each with its type and what it is."""
    return {name: split(hint) for name, hint in get_type_hints(form, include_extras=True).items()}


def split(form: Form) -> tuple[Form, str]:
    """A type, and the text beside it."""
    origin: Form = get_origin(form)
    if origin is Annotated:
        inner, *texts = get_args(form)
        return inner, str(texts[0])
    return form, ""


def _section(form: type) -> str:
    rows = [f"| `{name}` | {_form(kind)} | {text} |" for name, (kind, text) in fields(form).items()]
    head = [f"## {form.__name__}", "", form.__doc__ or "", "", "| name | type | |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _all_objects() -> Iterator[type]:
    """Each once: results in the order of their commands, with what they hold right after them."""
    seen: set[type] = set()

    def walk(form: Form) -> Iterator[type]:
        if is_typeddict(form):
            if form in seen:
                return
            seen.add(form)
            yield form
            for kind, _text in fields(form).values():
                yield from walk(kind)
        else:
            for inner in get_args(form):
                yield from walk(inner)

    for result in [ErrorResult, *RESULTS.values()]:
        yield from walk(result)


def _form(form: Form) -> str:
    if is_typeddict(form):
        return f"[{form.__name__}](#{form.__name__.lower()})"
    origin: Form = get_origin(form)
    inner = get_args(form)
    if origin is Literal:
        return ", ".join(f"`{_literal(value)}`" for value in inner)
    if origin is list:
        return f"list of {_form(inner[0])}"
    if origin is dict:
        return "object"
    if inner:
        return " or ".join(_form(one) for one in inner)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "any"}
    return words[form]


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
