"""docs/json.md and docs/pio-tf.schema.json, from the models of the commands' results."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from pio_tf.cli.results.access import AcceptResult, HostKeysResult, PagesResult
from pio_tf.cli.results.base import CommandResult, ErrorResult
from pio_tf.cli.results.clusters import ClustersResult
from pio_tf.cli.results.engine import EngineArchiveResult, EnginePushResult
from pio_tf.cli.results.guard import GuardResult, RulesResult
from pio_tf.cli.results.machines import ExtendResult, MachinesResult
from pio_tf.cli.results.model import ModelDetailsResult, ModelsResult, RollbackResult
from pio_tf.cli.results.outputs import OutputResult
from pio_tf.cli.results.pipelines import CommentResult, IamResult, KeysResult, PipelineResult
from pio_tf.cli.results.resize import ResizeResult
from pio_tf.cli.results.runs import (
    ChecksResult,
    CostResult,
    LogLine,
    NotifyResult,
    ReportResult,
    RunDetailsResult,
    RunResult,
    RunsResult,
)
from pio_tf.cli.results.sandbox import SandboxFireResult, SandboxResult, SandboxServiceResult, SandboxStopResult
from pio_tf.cli.results.schedule import ScheduleResult
from pio_tf.cli.results.software import (
    FetchResult,
    FilesResult,
    MirrorListResult,
    MirrorPushResult,
    ProvisionResult,
    PushResult,
)
from pio_tf.cli.results.stack import (
    AdoptResult,
    DestroyResult,
    DriftResult,
    GenerateResult,
    InitResult,
    PlanResult,
    ReviewedResult,
    ValidateResult,
)
from pio_tf.cli.results.status import StatusResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import core_schema

Schema: TypeAlias = dict[str, Any]
SCHEMA = "pio-tf.schema.json"
RESULTS: dict[str, type[CommandResult]] = {
    "init": InitResult,
    "adopt": AdoptResult,
    "validate": ValidateResult,
    "generate": GenerateResult,
    "plan": PlanResult,
    "guard": GuardResult,
    "guard --list": RulesResult,
    "iam": IamResult,
    "apply": OutputResult,
    "drift": DriftResult,
    "output": OutputResult,
    "destroy": DestroyResult,
    "up": MachinesResult,
    "down": MachinesResult,
    "extend": ExtendResult,
    "resize": ResizeResult,
    "list": ClustersResult,
    "status": StatusResult,
    "schedule set": ScheduleResult,
    "schedule show": ScheduleResult,
    "schedule pause": ScheduleResult,
    "schedule resume": ScheduleResult,
    "schedule remove": ScheduleResult,
    "check": ChecksResult,
    "train": RunResult,
    "runs": RunsResult,
    "runs show": RunDetailsResult,
    "cost": CostResult,
    "report": ReportResult,
    "logs": LogLine,
    "cancel": RunResult,
    "notify": NotifyResult,
    "model list": ModelsResult,
    "model show": ModelDetailsResult,
    "model rollback": RollbackResult,
    "engine push": EnginePushResult,
    "engine save": EngineArchiveResult,
    "engine restore": EngineArchiveResult,
    "config show": FilesResult,
    "config push": PushResult,
    "provision": ProvisionResult,
    "mirror list": MirrorListResult,
    "mirror fetch": FetchResult,
    "mirror push": MirrorPushResult,
    "ui": PagesResult,
    "host-keys": HostKeysResult,
    "host-keys accept": AcceptResult,
    "ci github": PipelineResult,
    "ci gitlab": PipelineResult,
    "ci jenkins": PipelineResult,
    "ci cron": PipelineResult,
    "ci keys": KeysResult,
    "ci comment": CommentResult,
    "ci reviewed": ReviewedResult,
    "sandbox start": SandboxResult,
    "sandbox status": SandboxResult,
    "sandbox service": SandboxServiceResult,
    "sandbox fire": SandboxFireResult,
    "sandbox stop": SandboxStopResult,
}
"""The result of each command. `ssh` and `demo` have none: their output is that of other programs."""

_INTRODUCTION = """\
<!-- Written by `make docs` from pio_tf/cli/results. Change that, not this. -->

# Output for programs

With `--json`, a command writes its result to standard output as one JSON object, and nothing else. Messages about the
work, and the log of a training, go to standard error. `pio-tf logs --json` writes one object for each line of the log,
each on a line of its own. Only `pio-tf ssh` and `pio-tf demo` have no `--json`.

Every object has `version`, the version of its schema, which is 1. Within a version pio-tf removes no field and changes
no field's meaning. It may add fields: ignore those that you do not know. A *time* is a text such as
`2026-11-23T03:00:00+00:00` (ISO 8601). [pio-tf.schema.json](pio-tf.schema.json) is the JSON Schema of all objects.

If a command fails, it writes an [ErrorResult](#errorresult) instead and ends with one of the
[exit codes](commands.md#exit-codes). `pio-tf check`, `pio-tf drift`, `pio-tf guard`, `pio-tf schedule show --check` and
`pio-tf plan --detailed-exitcode` answer with their exit code: they write their own result and may end with another code
than 0."""

_CI = """\
## In a CI job

pio-tf knows a CI job by `CI`, `GITHUB_ACTIONS`, `GITLAB_CI` or `JENKINS_URL` in the environment, with any value but
`0`, `false`, `no` and `off`. In a job, with a terminal or without,

- pio-tf asks nothing: `destroy` and `host-keys accept` need their options;
- nothing is live, and nothing is coloured unless `FORCE_COLOR` is set. `NO_COLOR` removes colours everywhere;
- each line on standard error begins with its time, in UTC (`2026-11-23T03:00:12Z`). Lines of a training on standard
  output stay as they are: they may be piped, and have times of their own.

Without a terminal but outside CI (cron, a pipe), pio-tf also asks nothing and shows nothing live or coloured. If you
want the times in a cron job, set `CI=true`.

In GitLab CI, steps and log are collapsible sections. In GitHub Actions,

- each step of the work, and the log of the training, is a group, however it ends;
- warnings and errors are annotations, at the line of pio-tf.hcl that they name;
- a line of a training that looks like a command of the runner (`::error::…`) is none: pio-tf writes it between
  `::stop-commands::` and its end. A file gets the line alone;
- the job's page (`$GITHUB_STEP_SUMMARY`) gets the command's table, or the error with its cause and next step;
- `$GITHUB_OUTPUT` gets the values below. Commands in one step overwrite each other's: give each command a step.

| command | output | value |
| --- | --- | --- |
| every command | `exit` | the exit code |
| a command that fails | `error` | what happened, in one sentence |
| `train` that fails | `run` | the id of the run, if there was one |
{outputs}"""


class _WithDocstrings(GenerateJsonSchema):
    """The JSON Schema of results, in which the docstrings of a dataclass's fields are their descriptions."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        """Return the schema of a dataclass."""
        found = super().dataclass_schema(schema)
        for name, text in _field_docstrings(schema["cls"]).items():
            found["properties"].get(name, {}).setdefault("description", text)
        return found


_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "object"}


def json_schema() -> Schema:
    """Return the JSON Schema of everything that ``--json`` writes: the results, and the error."""
    models: list[type[CommandResult]] = list(dict.fromkeys([ErrorResult, *RESULTS.values()]))
    _, schema = models_json_schema([(model, "serialization") for model in models], schema_generator=_WithDocstrings)
    definitions: Schema = schema["$defs"]
    for definition in definitions.values():
        _describe(definition)
    commands = ", ".join(f"{name}: {model.__name__}" for name, model in RESULTS.items())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Output of pio-tf --json, version 1",
        "description": f"One object of these, or for `logs` one a line. {commands}. Any command may write ErrorResult.",
        "anyOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in models],
        "$defs": {name: definitions[name] for name in _in_order(definitions, models)},
    }


def render_schema() -> str:
    """Return docs/pio-tf.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def render_json() -> str:
    """Return docs/json.md."""
    commands = ["| command | result |", "| --- | --- |"]
    commands += [f"| `{name}` | {_link(result.__name__)} |" for name, result in RESULTS.items()]
    outputs = [
        f"| `{command}` | `{name}` | {value} |"
        for command, result in RESULTS.items()
        for name, (_show, value) in result.OUTPUTS.items()
    ]
    sections = [_section(name, definition) for name, definition in json_schema()["$defs"].items()]
    parts = [_INTRODUCTION, "\n".join(commands), *sections, _CI.format(outputs="\n".join(outputs))]
    return "\n\n".join(parts) + "\n"


def _field_docstrings(cls: type) -> dict[str, str]:
    """Return the strings that follow the fields of a class, by the fields' names."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    found = {}
    for field, after in itertools.pairwise(definition.body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


def _in_order(definitions: Schema, models: list[type[CommandResult]]) -> list[str]:
    """Return the names of the definitions: results in the order of their commands, each before its parts."""
    names: list[str] = []

    def walk(name: str) -> None:
        if name not in names:
            names.append(name)
            for reference in _references(definitions[name]):
                walk(reference.rpartition("/")[2])

    for model in models:
        walk(model.__name__)
    return names


def _describe(definition: Schema) -> None:
    """Make descriptions of docstrings: those of fields may stand under ``Args:``, and code between two backticks."""
    text, _, arguments = definition["description"].partition("\n\nArgs:\n")
    fields = dict(re.findall(r"^ *(\w+): (.*(?:\n +.*)*?)(?=\n *\w+: |\Z)", arguments, flags=re.MULTILINE))
    definition["description"] = _plain(text)
    for name, field in definition["properties"].items():
        field.pop("title", None)  # pydantic's, made of the name
        if description := field.get("description") or fields.get(name, ""):
            field["description"] = _plain(description)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").rstrip(".") + ("." if text[:1].isupper() else "")


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _section(name: str, definition: Schema) -> str:
    rows = [
        f"| `{field}` | {_form(schema)} | {schema.get('description', '')} |"
        for field, schema in definition["properties"].items()
    ]
    head = [f"## {name}", "", definition["description"], "", "| name | type | |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _form(schema: Schema) -> str:
    """Return a type in words: ``list of text``, ``time or null``."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_form(one) for one in schema["anyOf"])
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values:
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    if schema.get("type") == "array":
        return f"list of {_form(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    kind = schema.get("type", "any")
    return _WORDS.get(kind, str(kind))


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"
