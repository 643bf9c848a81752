"""`pio-tf` in the environment that a CI gives its jobs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.app import command_name
from tests.cli.runner import Log, read_log, read_outputs
from tests.support.fork_server import Program
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, sys, typer
from pathlib import Path
from pio_tf.cli import app, main
from pio_tf.cli.command import CommandCall, command

@command(config=False)
def work(call: CommandCall, ending: str):
    from pio_tf.cli.results.base import CommandResult, Table
    from pio_tf.errors import TrainingFailed, ConfigError
    from pio_tf.events import Checked, Done, MachineProgress, OutputLine, OutputLines, Step, TrainingProgress, Warned
    tell = call.output.reporter
    tell(Step("Starting 2 machines"))
    tell(MachineProgress("driver", "running", ready=True))
    tell(OutputLine("::error::of a provider", source="terraform"))
    tell(Warned("100% of the memory\\nis taken"))
    tell(Done("2 machines run"))
    if ending == "early":
        raise ConfigError("pio-tf.hcl:3: aws.region: must be one", next_step="correct it")
    tell(Step("Training"))
    tell(Checked("disk", "ok", "30 GiB free"))
    tell(OutputLine("[INFO] begun", source="driver"))
    tell(TrainingProgress("run-7", 5.0, jobs=5, jobs_done=1))
    tell(OutputLines("::error::not ours\\n##[group]nor this\\n", source="driver"))
    if ending == "failure":
        cause = "a lost executor\\nof many"
        raise TrainingFailed("no model", cause=cause, next_step="look", details={"run": "run-7"})
    if ending == "signal":
        os.kill(os.getpid(), 15)
    tell(Done("trained"))
    tell(Step("Stopping"))

    class Work(CommandResult):
        text: str
        def table(self): return Table(("NAME", "MODEL"), [("run-7", "ur|1")])
        def closing(self): return "it is there"
        def outputs(self): return {"run": "run-7", "has-changes": True}

    call.show(Work(text="##[error]x"))

@command()
def ask(call: CommandCall):
    from pio_tf.cli.ci_output import can_ask
    raise typer.Exit(7 if can_ask() else 0)

app.SECTIONS["Tests"] = (work, ask)
main.main()
"""
ANSI = re.compile(r"\x1b")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "


@dataclass(frozen=True)
class Step:
    """A step of a job that has run."""

    exit_code: int
    stdout: str
    stderr: str
    log: Log
    summary: str
    outputs: dict[str, str]


@pytest.fixture
def environ() -> dict[str, str]:
    dropped = ("CI", "GITHUB_", "GITLAB_", "NO_COLOR", "FORCE_COLOR", "TTY_", "COLORTERM", "AWS_", "PIO_TF")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


@pytest.fixture
def github(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    files = {"GITHUB_STEP_SUMMARY": tmp_path / "summary", "GITHUB_OUTPUT": tmp_path / "output"}
    for file in files.values():
        file.touch()
    return {
        **environ,
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(tmp_path),
        **{name: str(file) for name, file in files.items()},
    }


def run(environ: dict[str, str], cwd: Path, *words: str) -> Step:
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM, *words]
    with Program(command, cwd=cwd, env=environ, stdin=null, stdout=pipe, stderr=pipe) as done:
        stdout, stderr = (text.decode() for text in done.communicate())  # with the carriage returns that they have
    assert "Traceback" not in stderr, stderr
    summary, output = cwd / "summary", cwd / "output"
    return Step(
        done.returncode,
        stdout,
        stderr,
        read_log(stderr),
        summary.read_text() if summary.exists() else "",
        read_outputs(output.read_text()) if output.exists() else {},
    )


def test_outside_ci_there_is_nothing_of_it(environ: dict[str, str], tmp_path: Path) -> None:
    files = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    step = run(environ | files | {"CI": "false"}, tmp_path, "work", "well")
    assert step.stderr.startswith("Starting 2 machines\ndriver: running\n")
    assert "warning: 100% of the memory\nis taken\n" in step.stderr
    assert "::group" not in step.stderr
    assert "stop-commands" not in step.stdout
    assert not (tmp_path / "summary").exists()
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("variable", ["CI=true", "CI=1", "GITHUB_ACTIONS=true", "GITLAB_CI=true"])
def test_every_line_of_talk_has_its_time_and_the_log_of_a_training_stays_as_it_is(
    environ: dict[str, str], tmp_path: Path, variable: str
) -> None:
    name, _, value = variable.partition("=")
    step = run(environ | {name: value}, tmp_path, "work", "well")
    marks = r"::|\x1b\[0K"
    assert [line for line in step.stderr.splitlines() if not re.match(f"{TIME}|{marks}", line)] == []
    assert re.search(rf"^{TIME}driver: running$", step.stderr, flags=re.MULTILINE)
    assert "[INFO] begun\n" in step.stdout
    assert not re.search(TIME, step.stdout)


@pytest.mark.parametrize("ending", ["well", "failure", "early", "signal"])
@pytest.mark.parametrize("variable", ["CI", "GITHUB_ACTIONS"])
def test_without_force_color_there_is_no_colour(
    environ: dict[str, str], tmp_path: Path, variable: str, ending: str
) -> None:
    step = run(environ | {variable: "true", "TERM": "xterm-256color"}, tmp_path, "work", ending)
    assert not ANSI.search(step.stdout + step.stderr)


def test_force_color_colours_and_no_color_takes_all_of_it_away(environ: dict[str, str], tmp_path: Path) -> None:
    colour = environ | {"CI": "true", "TERM": "xterm", "FORCE_COLOR": "1"}
    coloured = run(colour, tmp_path, "work", "well")
    assert ANSI.search(coloured.stderr)
    assert ANSI.search(coloured.stdout)
    for both in (colour | {"NO_COLOR": "1"}, environ | {"FORCE_COLOR": "1", "NO_COLOR": "1"}):
        step = run(both, tmp_path, "work", "well")
        assert not ANSI.search(step.stdout + step.stderr)


def at_a_terminal(environ: dict[str, str], cwd: Path, *words: str) -> tuple[int, str]:
    """Exit code, and what a terminal was shown that all three streams are."""
    master, slave = pty.openpty()
    process = Program(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=cwd,
        env=environ | {"TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    return process.wait(), shown.decode()


def test_a_terminal_in_ci_gets_neither_a_live_display_nor_a_question(environ: dict[str, str], tmp_path: Path) -> None:
    ci = environ | {"CI": "true"}
    assert at_a_terminal(environ, tmp_path, "ask") == (7, "")
    assert at_a_terminal(ci, tmp_path, "ask") == (0, "")
    code, shown = at_a_terminal(ci, tmp_path, "work", "well")
    assert code == 0
    assert not ANSI.search(shown)
    code, shown = at_a_terminal(environ, tmp_path, "work", "well")
    assert ANSI.search(shown)


def test_destroy_does_not_wait_for_an_answer_in_ci(environ: dict[str, str], tmp_path: Path) -> None:
    Project(tmp_path).write()
    code, shown = at_a_terminal(environ | {"CI": "true"}, tmp_path, "destroy")
    assert code == 2
    assert "trial was not destroyed" in shown
    assert "pio-tf destroy --confirm trial" in shown


@pytest.mark.parametrize(("ending", "code"), [("well", 0), ("failure", 6), ("early", 2), ("signal", 143)])
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["rows", "json"])
def test_groups_are_closed_whatever_ends_the_command(
    github: dict[str, str], tmp_path: Path, ending: str, code: int, options: tuple[str, ...]
) -> None:
    step = run(github, tmp_path, "work", ending, *options)
    assert step.exit_code == code
    assert step.log.mistakes == []
    assert not step.log.open_group
    assert not step.log.stopped
    assert step.outputs["exit"] == str(code)


def test_steps_and_the_log_of_the_training_are_groups_of_their_own(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github, tmp_path, "work", "well", "--json")
    assert [title for title, _ in step.log.groups] == ["Starting 2 machines", "Training", "Log of driver", "Stopping"]
    lines = {title: [re.sub(TIME, "", line) for line in inner] for title, inner in step.log.groups}
    assert lines["Starting 2 machines"] == ["driver: running", "::error::of a provider", "2 machines run"]
    assert lines["Training"] == ["disk: ok: 30 GiB free"]
    assert lines["Log of driver"] == [
        "[INFO] begun",
        "training 0:00:05, 1 of 5 jobs done",
        "::error::not ours",
        "##[group]nor this",
    ]
    assert any(re.fullmatch(f"{TIME}trained", line) for line in step.log.lines)


def test_lines_of_the_training_are_no_commands_on_standard_output_either(
    github: dict[str, str], tmp_path: Path
) -> None:
    step = run(github, tmp_path, "work", "well")
    log = read_log(step.stdout)
    assert log.commands == []
    assert log.stopped == ""
    assert log.lines[:3] == ["[INFO] begun", "::error::not ours", "##[group]nor this"]


def test_a_file_gets_the_lines_as_they_are(github: dict[str, str], tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as out:
        command = [sys.executable, "-c", PROGRAM, "work", "well"]
        subprocess.run(command, env=github, stdout=out, stderr=subprocess.DEVNULL, check=True)
    assert (tmp_path / "log").read_text().startswith("[INFO] begun\n::error::not ours\n##[group]nor this\n")


def test_json_stays_json_and_holds_no_command(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github, tmp_path, "work", "well", "--json")
    assert json.loads(step.stdout) == {"version": 1, "text": "##[error]x"}
    assert read_log(step.stdout).commands == []


def test_a_warning_is_an_annotation(github: dict[str, str], tmp_path: Path) -> None:
    (warning,) = run(github, tmp_path, "work", "well").log.named("warning")
    assert warning.data == "100% of the memory\nis taken"


def test_a_mistake_in_the_configuration_is_annotated_at_its_line(github: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "pio-tf.hcl").write_text('cluster {\n  name = "x"\n}\naws {\n  region = "europe"\n}\n')
    step = run(github, tmp_path, "plan", "-c", "infra/pio-tf.hcl")
    assert step.exit_code == 2
    wrong = next(one for one in step.log.named("error") if one.properties["line"] == "5")
    assert wrong.properties["file"] == "infra/pio-tf.hcl"
    assert wrong.properties["title"] == "pio-tf plan failed (exit code 2)"
    assert wrong.data.startswith("aws.region: must be an AWS region")
    assert re.search(rf"^{TIME}error: pio-tf.hcl", step.stderr, flags=re.MULTILINE)


def test_an_error_is_annotated_summed_up_and_handed_on(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github, tmp_path, "work", "failure")
    (error,) = step.log.named("error")
    assert error.properties == {"title": "pio-tf work failed (exit code 6)"}
    assert error.data == "no model\ncause: a lost executor\nof many\nnext:  look"
    assert step.summary == (
        "### pio-tf work failed (exit code 6)\n\n"
        "```text\nno model\ncause: a lost executor\nof many\nnext:  look\n```\n\n"
    )
    assert step.outputs == {"error": "no model", "run": "run-7", "exit": "6"}


def test_an_interrupted_command_says_so(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github, tmp_path, "work", "signal", "--json")
    (error,) = step.log.named("error")
    assert "interrupted by SIGTERM" in error.data
    assert json.loads(step.stdout)["error"]["exit_code"] == 143
    assert step.outputs["exit"] == "143"


def test_wrong_usage_is_annotated_too(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github, tmp_path, "work", "well", "--fast", "--json")
    assert step.exit_code == 2
    (error,) = step.log.named("error")
    assert "--fast" in error.data
    assert "--fast" in json.loads(step.stdout)["error"]["what"]
    assert step.outputs["exit"] == "2"


def test_the_result_is_summed_up_and_handed_on(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github, tmp_path, "work", "well")
    assert step.summary == ("### pio-tf work\n\n| NAME | MODEL |\n| --- | --- |\n| run-7 | ur\\|1 |\n\nit is there\n\n")
    assert step.outputs == {"run": "run-7", "has-changes": "true", "exit": "0"}


def test_files_of_the_runner_that_cannot_be_written_are_a_warning_only(github: dict[str, str], tmp_path: Path) -> None:
    step = run(github | {"GITHUB_STEP_SUMMARY": str(tmp_path)}, tmp_path, "work", "well")
    assert step.exit_code == 0
    assert "warning: $GITHUB_STEP_SUMMARY cannot be written" in step.stderr


@pytest.mark.parametrize("ending", ["well", "failure", "signal"])
def test_sections_of_gitlab_are_closed_in_turn(environ: dict[str, str], tmp_path: Path, ending: str) -> None:
    step = run(environ | {"CI": "true", "GITLAB_CI": "true"}, tmp_path, "work", ending)
    marks = re.findall(r"^\x1b\[0Ksection_(start|end):\d{10}:([\w.-]+)\r\x1b\[0K(.*)$", step.stderr, re.MULTILINE)
    assert [title for kind, _, title in marks if kind == "start"][:2] == ["Starting 2 machines", "Training"]
    for (kind, name, _), (then, same, _) in zip(marks[::2], marks[1::2], strict=True):
        assert (kind, then, same) == ("start", "end", name)
    assert len({name for _, name, _ in marks}) == len(marks) / 2
    assert "\x1b" not in step.stderr.replace("\x1b[0K", "")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("pio-tf plan --json", "pio-tf plan"),
        ("pio-tf sandbox start", "pio-tf sandbox start"),
        ("pio-tf host-keys --json", "pio-tf host-keys"),
        ("pio-tf train -- --conf x", "pio-tf train"),
        ("pio-tf init trainer", "pio-tf init"),
        ("pio-tf", "pio-tf"),
    ],
)
def test_the_command_is_named_without_its_arguments(line: str, name: str) -> None:
    assert command_name(line.split(" ")) == name
