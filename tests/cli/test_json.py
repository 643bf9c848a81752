"""`--json` writes what docs/json.md says, for every command that needs no machines.

For the others, see test_json_sandbox.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import typer

from pio_tf import ClusterStatus, Extended
from pio_tf.cli.app import app
from pio_tf.cli.results.base import CommandResult, ErrorResult
from pio_tf.cli.results.machines import ExtendResult, MachinesResult
from pio_tf.cli.results.model import RollbackResult
from pio_tf.cli.results.runs import ChecksResult, LogLine, ReportResult, RunResult, RunsResult
from pio_tf.cli.results.stack import DriftResult, InitResult, PlanResult, ReviewedResult
from pio_tf.cli.results.status import StatusResult
from pio_tf.infra.cost import Prices
from pio_tf.infra.plan import Plan
from pio_tf.training.custody.models import Rollback
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.runs.run_copies import Archive
from scripts.json_reference import RESULTS, SCHEMA, json_schema, render_json, render_schema
from tests.support.deployments import existing_network
from tests.support.json_check import mistakes
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.sandbox.aws import LocalAws

Command: TypeAlias = Any  # a click command; which click depends on Typer's version
WITHOUT = {"ssh", "demo"}
"""Their output is that of other programs."""
LIFE = (
    ("validate",),
    ("generate",),
    ("generate", "--image"),
    ("plan", "--out", "kept"),
    ("guard", "kept"),
    ("guard", "--list"),
    ("apply", "kept"),
    ("plan",),
    ("drift",),
    ("output",),
    ("config", "show"),
    ("config", "show", "core-site.xml"),
    ("list",),
    ("cost",),
    ("status",),
    ("host-keys",),
    ("runs",),
    ("down", "--force"),
    ("destroy", "--confirm", "trial"),
    ("sandbox", "status"),
    ("sandbox", "stop"),
)
"""Commands in the order in which they are run, on one cluster."""


def commands() -> Iterator[tuple[str, Command]]:
    """Yield every command, with its whole name."""

    def walk(command: Command, name: str) -> Iterator[tuple[str, Command]]:
        children = getattr(command, "commands", {})
        if not children or command.invoke_without_command:
            yield name, command
        for child, inner in children.items():
            yield from walk(inner, f"{name} {child}".strip())

    yield from walk(typer.main.get_command(app), "")


def result_of(words: tuple[str, ...]) -> type[CommandResult]:
    """Return the result of a command line: of the longest name that begins it, its own options before others."""
    line = " ".join(words)
    name = max((name for name in RESULTS if f"{line} ".startswith(f"{name} ")), key=len)
    return RESULTS[name]


@pytest.fixture(scope="module")
def life(
    tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path
) -> dict[tuple[str, ...], subprocess.CompletedProcess[str]]:
    """Return the answer of each command."""
    directory = tmp_path_factory.mktemp("project")
    environment = {"PIO_TF_SANDBOX_DIR": str(directory / "sandbox")}
    project = Project(directory, url=aws.url, mirror=mirror, environment=environment)
    project.write(network=existing_network(aws.url, "127.77.92.0/24") + "first_host = 10")
    answers: dict[tuple[str, ...], subprocess.CompletedProcess[str]] = {}
    for words in LIFE:
        if words[0] == "down":  # a driver that runs would be asked for runs, and no machine is behind this one
            ec2(aws.url).stop_instances(InstanceIds=[project.instances()["driver"][0]])
        answers[words] = project.run(*words, "--json")
    return answers


@pytest.mark.parametrize("words", LIFE, ids=" ".join)
def test_a_result_is_what_the_page_says(
    life: dict[tuple[str, ...], subprocess.CompletedProcess[str]], words: tuple[str, ...]
) -> None:
    result = json.loads(life[words].stdout)
    assert mistakes(result, result_of(words)) == []


def test_results_say_what_there_is(life: dict[tuple[str, ...], subprocess.CompletedProcess[str]]) -> None:
    results = {words: json.loads(done.stdout) for words, done in life.items()}
    assert results["plan", "--out", "kept"]["has_changes"] is True
    assert results["plan",]["has_changes"] is False
    assert results["guard", "kept"]["refused"] is False
    assert [one["name"] for one in results["apply", "kept"]["machines"]] == ["driver", "master", "worker-1"]
    assert results["status",]["machines"][2]["state"] == "running"
    assert {one["state"] for one in results["down", "--force"]["machines"]} == {"stopped"}
    assert [one["name"] for one in results["config", "show", "core-site.xml"]["files"]] == ["core-site.xml"]
    assert results["destroy", "--confirm", "trial"]["cluster"] == "trial"
    assert results["sandbox", "stop"]["stopped"] is False


def test_init_says_what_it_has_written(tmp_path: Path) -> None:
    result = json.loads(Project(tmp_path).run("init", "night", "--json").stdout)
    assert mistakes(result, InitResult) == []
    assert Path(result["file"]).name == "pio-tf.hcl"
    assert result["cluster"] == "night"


@pytest.fixture
def archived(project: Project) -> RunRecord:
    """Copy a run to this computer."""
    record = RunRecord(
        id="20261123T030000Z-3f9c",
        cluster="trial",
        client=Client("ci", "runner", 7, "2026-11-23T03:00:00Z"),
        command="pio train",
        engine_dir="/opt/engine",
        machines=("driver m5.large i-1",),
        pio_tf="0.1",
        state="failed",
        started=1.0,
        ended=2.5,
        exit_status=1,
        cause="a lost executor",
        proofs=({"name": "exit", "held": False, "detail": "exited with 1"},),
    )
    archive = Archive(project.directory / ".pio-tf" / "trial" / "runs")
    archive.save(record)
    archive.log(record.id).write_text('[INFO] one\n[INFO] "two" ü\n')
    return record


def test_runs_of_this_computer(project: Project, archived: RunRecord) -> None:
    result = json.loads(project.run("runs", "--json").stdout)
    assert mistakes(result, RunsResult) == []
    assert [(run["id"], run["state"], run["seconds"]) for run in result["runs"]] == [(archived.id, "failed", 1.5)]
    assert result == RunsResult.of((archived,), Prices({"m5.large": 0.096}, {}, "")).model_dump()


def test_a_log_is_an_object_on_each_line(project: Project, archived: RunRecord) -> None:
    lines = project.run("logs", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"version": 1, "line": "[INFO] one"},
        {"version": 1, "line": '[INFO] "two" ü'},
    ]
    assert [mistakes(json.loads(line), LogLine) for line in lines] == [[], []]


@pytest.mark.parametrize("words", ["plan", "logs", "config show", "destroy", "host-keys accept driver", "up --fast"])
def test_an_error_is_one_line_of_json_for_every_command(tmp_path: Path, words: str) -> None:
    done = Project(tmp_path).run(*words.split(), "--json", exit_code=2)
    (line,) = done.stdout.splitlines()
    assert mistakes(json.loads(line), ErrorResult) == []
    assert json.loads(line)["error"]["exit_code"] == 2


@pytest.mark.parametrize(("name", "command"), [item for item in commands() if item[0] not in WITHOUT])
def test_every_command_has_json_and_a_result(name: str, command: Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)
    assert name in RESULTS


def test_every_result_is_of_a_command_and_has_its_version_first() -> None:
    assert {" ".join(word for word in name.split() if not word.startswith("-")) for name in RESULTS} == {
        name for name, _command in commands()
    } - WITHOUT
    assert {next(iter(result.model_fields)) for result in RESULTS.values()} == {"version"}


def test_the_pages_are_what_make_docs_writes() -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert (docs / "json.md").read_text(encoding="utf-8") == render_json(), "run `make docs`"
    assert (docs / SCHEMA).read_text(encoding="utf-8") == render_schema(), "run `make docs`"


def test_the_schema_file_is_one_that_validators_take(tmp_path: Path) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    schema = Path(__file__).parents[2] / "docs" / SCHEMA
    subprocess.run([checker, "--check-metaschema", schema], check=True, capture_output=True)
    right, wrong = tmp_path / "right.json", tmp_path / "wrong.json"
    right.write_text(json.dumps({"version": 1, "cluster": "trial", "destroyed": True}))
    wrong.write_text(json.dumps({"version": 1, "cluster": "trial", "destroyed": False}))
    done = [
        subprocess.run([checker, "--schemafile", schema, file], check=False, capture_output=True).returncode
        for file in (right, wrong)
    ]
    assert done == [0, 1]


def test_every_field_that_a_program_cannot_guess_is_described() -> None:
    definitions = json_schema()["$defs"]
    silent = [name for name, definition in definitions.items() if not definition["description"].endswith(".")]
    assert silent == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"version": 1, "line": "a"}, []),
        ({"version": 2, "line": "a"}, ["$.version: 1 was expected"]),
        ({"version": 1, "line": 7}, ["$.line: 7 is not of type 'string'"]),
        ({"line": "a"}, ["$: 'version' is a required property"]),
        (
            {"version": 1, "line": "a", "more": 1},
            ["$: Additional properties are not allowed ('more' was unexpected)"],
        ),
        ([], ["$: [] is not of type 'object'"]),
    ],
)
def test_a_mistake_against_the_schema_is_found(value: object, found: list[str]) -> None:
    assert mistakes(value, LogLine) == found


def test_what_is_handed_on_is_what_the_page_says() -> None:
    run = RunRecord("20261123T030000Z-3f9c", "trial", Client("ci", "runner", 7, ""), "pio train", "/opt/engine")
    plan = Plan(Path("plan.tfplan"), (), has_changes=False)
    made: tuple[CommandResult, ...] = (
        StatusResult.of(ClusterStatus("trial", False, (), None)),
        MachinesResult(machines=[], deadline=None),
        ExtendResult.model_validate(Extended(None, datetime.now(tz=timezone.utc))),
        RunResult.of(run, Prices({}, {}, "")),
        ReportResult(path=Path("report.html"), runs=0),
        ChecksResult(checks=[]),
        DriftResult.of(()),
        PlanResult.of(plan),
        ReviewedResult.of(plan, pull=7),
        RollbackResult.of(Rollback({"ur": "ur_1"}, ("ur_2",))),
    )
    for result in made:
        assert set(result.outputs()) == set(result.OUTPUTS)
    known = {type(result) for result in made}
    assert {result.__name__ for result in RESULTS.values() if result.OUTPUTS and result not in known} == {"GuardResult"}
