"""What `--json` writes is what docs/json.md says, for every command that needs no machines; for the others, see
test_json_sandbox.py."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import pytest
import typer

from pio_tf.cli.app import app
from pio_tf.cli.json_reference import fields, render_json
from pio_tf.cli.schemas.common import ErrorResult
from pio_tf.cli.schemas.outputs import OUTPUTS
from pio_tf.cli.schemas.results import RESULTS
from pio_tf.cli.schemas.runs import LogLine, RunsResult
from pio_tf.cli.schemas.stack import InitResult
from pio_tf.cli.tables.runs import log_line, runs_rows
from pio_tf.training.runs.archive import Archive
from pio_tf.training.runs.record import Client, RunRecord
from tests.support.deployments import existing_network
from tests.support.json_check import mistakes
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from pio_tf.cli.output import Rows
    from pio_tf.sandbox.aws import LocalAws

Command: TypeAlias = Any  # a click command; which click depends on Typer's version
WITHOUT = {"ssh"}
"""Its output is that of a shell."""
LIFE = (
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
    """Every command, with its whole name."""

    def walk(command: Command, name: str) -> Iterator[tuple[str, Command]]:
        children = getattr(command, "commands", {})
        if not children or command.invoke_without_command:
            yield name, command
        for child, inner in children.items():
            yield from walk(inner, f"{name} {child}".strip())

    yield from walk(typer.main.get_command(app), "")


def schema_of(words: tuple[str, ...]) -> type:
    """The schema for a command line: that of the longest name that begins it, options of its own before others."""
    line = " ".join(words)
    name = max((name for name in RESULTS if f"{line} ".startswith(f"{name} ")), key=len)
    return RESULTS[name]


@pytest.fixture(scope="module")
def life(
    tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Path
) -> dict[tuple[str, ...], subprocess.CompletedProcess[str]]:
    """What each of the commands has answered."""
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
    assert list(mistakes(result, schema_of(words))) == []


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
    assert list(mistakes(result, InitResult)) == []
    assert Path(result["file"]).name == "pio-tf.hcl"
    assert result["cluster"] == "night"


@pytest.fixture
def archived(project: Project) -> RunRecord:
    """A run that was copied to this computer."""
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
    assert list(mistakes(result, RunsResult)) == []
    assert [(run["id"], run["state"], run["seconds"]) for run in result["runs"]] == [(archived.id, "failed", 1.5)]
    assert result == runs_rows((archived,)).data


def test_a_log_is_an_object_on_each_line(project: Project, archived: RunRecord) -> None:
    lines = project.run("logs", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [log_line("[INFO] one"), log_line('[INFO] "two" ü')]
    assert [list(mistakes(json.loads(line), LogLine)) for line in lines] == [[], []]


@pytest.mark.parametrize("words", ["plan", "logs", "config show", "destroy", "host-keys accept driver", "up --fast"])
def test_an_error_is_one_line_of_json_for_every_command(tmp_path: Path, words: str) -> None:
    done = Project(tmp_path).run(*words.split(), "--json", exit_code=2)
    (line,) = done.stdout.splitlines()
    assert list(mistakes(json.loads(line), ErrorResult)) == []
    assert json.loads(line)["error"]["exit_code"] == 2


@pytest.mark.parametrize(("name", "command"), [item for item in commands() if item[0] not in WITHOUT])
def test_every_command_has_json_and_a_schema(name: str, command: Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)
    assert name in RESULTS


def test_every_schema_is_of_a_command_and_has_its_version_first() -> None:
    assert {" ".join(word for word in name.split() if not word.startswith("-")) for name in RESULTS} == {
        name for name, _command in commands()
    } - WITHOUT
    assert {next(iter(fields(result))) for result in RESULTS.values()} == {"version"}


def test_the_page_is_what_make_docs_writes() -> None:
    page = Path(__file__).parents[2] / "docs" / "json.md"
    assert page.read_text(encoding="utf-8") == render_json(), "run `make docs`"


class Sample(TypedDict):
    number: int
    names: list[str]
    maybe: float | None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"number": 1, "names": ["a"], "maybe": None}, []),
        ({"number": 1, "names": [], "maybe": 2}, []),
        ({"number": True, "names": [], "maybe": 2.5}, ["result.number: True is no int"]),
        ({"names": [1], "maybe": None}, ["result.number is missing", "result.names[0]: 1 is no str"]),
        ({"number": 1, "names": [], "maybe": None, "more": 1}, ["result.more is not in Sample"]),
        ([], ["result: [] is no object"]),
    ],
)
def test_a_mistake_against_a_schema_is_found(value: object, found: list[str]) -> None:
    assert list(mistakes(value, Sample)) == found


def test_what_is_handed_on_is_what_the_page_says() -> None:
    from pio_tf.cli.check import check_rows
    from pio_tf.cli.tables.machines import extended_rows, machine_rows, status_rows
    from pio_tf.cli.tables.runs import run_rows
    from pio_tf.cli.tables.stack import drift_rows
    from pio_tf.cluster import ClusterStatus, Extended

    run = RunRecord("20261123T030000Z-3f9c", "trial", Client("ci", "runner", 7, ""), "pio train", "/opt/engine")
    made: dict[str, Rows] = {
        "status": status_rows(ClusterStatus("trial", False, (), None)),
        "up": machine_rows(()),
        "down": machine_rows(()),
        "extend": extended_rows(Extended(None, datetime.now(tz=timezone.utc))),
        "train": run_rows(run),
        "cancel": run_rows(run),
        "check": check_rows(()),
        "drift": drift_rows(()),
    }
    for command, rows in made.items():
        assert set(rows.outputs) == set(OUTPUTS[command])
