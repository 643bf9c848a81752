"""`--json`, and what GitHub's runner sees, of the commands that need machines: on a sandbox with one worker."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.cli.results.access import AcceptResult, HostKeysResult, PagesResult
from pio_tf.cli.results.machines import MachinesResult
from pio_tf.cli.results.runs import ChecksResult, LogLine, RunResult, RunsResult
from pio_tf.cli.results.sandbox import SandboxResult
from pio_tf.cli.results.software import PushResult
from pio_tf.cli.results.stack import InitResult
from pio_tf.cli.results.status import StatusResult
from tests.cli.runner import Log, read_log, read_outputs
from tests.integration import light_spark
from tests.integration.training import PIO_WITHOUT_SPARK, lay_out_no_spark
from tests.support import fork_server
from tests.support.fork_server import PIO_TF, Program
from tests.support.json_check import mistakes
from tests.support.shell import Project, clean_environment
from tests.support.whole_sandbox import WholeSandbox, whole_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


class Job:
    """A step of GitHub Actions after another, in one workspace with a sandbox."""

    def __init__(self, directory: Path, sandbox: WholeSandbox) -> None:
        self.sandbox = sandbox.info.directory
        self.project = Project(directory / "work", environment=sandbox.environment)
        self.project.directory.mkdir()
        self.output, self.summary = directory / "output", directory / "summary"
        self.github = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }

    def json(self, *words: str, exit_code: int = 0) -> Any:  # noqa: ANN401 - any JSON
        """Return the result of a command."""
        return json.loads(self.project.run(*words, "--json", exit_code=exit_code).stdout)

    def step(self, *words: str, exit_code: int = 0) -> tuple[Log, dict[str, str]]:
        """Run a command as a step; return its log, with both streams read as one, and its outputs."""
        self.output.write_text("")
        self.summary.write_text("")
        done = fork_server.run(
            [PIO_TF, *words],
            cwd=self.project.directory,
            env=clean_environment() | self.project.environment | self.github,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        shown = done.stdout
        assert done.returncode == exit_code, shown
        assert "\x1b" not in shown
        return read_log(shown), read_outputs(self.output.read_text())

    def engine(self, **asked: object) -> None:
        """Order a behaviour from the stand-in for PredictionIO."""
        path = self.engine_dir / "engine.json"
        engine = json.loads(path.read_text())
        path.write_text(json.dumps({**engine, "standIn": asked}))

    @property
    def engine_dir(self) -> Path:
        """The engine's directory on the driver."""
        (found,) = self.sandbox.glob("machines/*/home/engine")
        return found


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, released_mirror: Path) -> Iterator[Job]:
    """Yield a job on a sandbox whose machines run no Spark: the tests are about what pio-tf says."""
    directory = tmp_path_factory.mktemp("sandbox")
    with whole_sandbox(directory, released=released_mirror, machine=light_spark.MACHINES) as sandbox:
        (sandbox.info.directory / light_spark.MARK).touch()
        job = Job(tmp_path_factory.mktemp("job"), sandbox)
        started = job.json("sandbox", "start")
        assert mistakes(started, SandboxResult) == []
        assert started["info"]["directory"] == str(job.sandbox)
        made = job.json("init", "trial", "--sandbox")
        assert mistakes(made, InitResult) == []
        config = Path(job.project.directory, "pio-tf.hcl")
        text, networks = re.subn(r'cidr = ".*"', 'cidr = "127.77.94.0/24"', config.read_text())
        text, workers = re.subn(r"workers( *)= 2", r"workers\1= 1", text)
        assert (networks, workers) == (1, 1)
        config.write_text(text)
        yield job


def test_up_and_what_a_training_needs(job: Job) -> None:
    for words, result in (
        (("up",), MachinesResult),
        (("sandbox", "status"), SandboxResult),
        (("config", "push"), PushResult),
        (("check",), ChecksResult),
        (("host-keys",), HostKeysResult),
        (("host-keys", "accept", "driver", "--yes"), AcceptResult),
        (("status",), StatusResult),
    ):
        assert mistakes(job.json(*words), result) == [], words


@pytest.fixture(scope="module")
def without_spark(job: Job) -> None:
    """Let trainings use no Spark from now on: the tests are about what pio-tf says of a run."""
    lay_out_no_spark(job.engine_dir.parent)
    config = Path(job.project.directory, "pio-tf.hcl")
    config.write_text(config.read_text().replace('"~/pio"', f'"~/{PIO_WITHOUT_SPARK}"'))


def test_the_pages_are_told_once_they_are_here(job: Job) -> None:
    environment = clean_environment() | job.project.environment
    with Program(
        [PIO_TF, "ui", "--json"],
        cwd=job.project.directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        lines: list[bytes] = []
        while lines[-1:] != [b"}\n"]:
            line = process.stdout.readline()
            assert line, "it ended before it had told all pages"
            lines.append(line)
        process.send_signal(signal.SIGINT)
    pages = json.loads(b"".join(lines))
    assert mistakes(pages, PagesResult) == []
    assert pages["pages"][0]["answers"] is True


@pytest.mark.usefixtures("without_spark")
def test_a_training_is_groups_of_a_log_and_hands_on_its_run(job: Job) -> None:
    log, outputs = job.step("train", "--keep-up")
    assert log.mistakes == []
    assert not log.open_group
    titles = [title for title, _ in log.groups]
    assert any(title.startswith("Run 2") for title in titles)
    lines = dict(log.groups)["Log of driver"]
    assert any("Training completed successfully." in line for line in lines)
    assert outputs["state"] == "succeeded"
    assert outputs["exit"] == "0"
    assert outputs["model"]
    run = job.json("runs")["runs"][-1]
    assert outputs["run"] == run["id"]
    assert f"run {run['id']}: succeeded" in job.summary.read_text().replace("\\", "")


@pytest.mark.usefixtures("without_spark")
def test_a_training_that_fails_is_annotated_and_hands_on_its_run(job: Job) -> None:
    job.engine(fail="exception")
    log, outputs = job.step("train", "--keep-up", exit_code=6)
    assert log.mistakes == []
    assert not log.open_group
    (error,) = log.named("error")
    assert "the stand-in" in error.data
    assert outputs["exit"] == "6"
    assert outputs["run"] == job.json("runs")["runs"][-1]["id"]
    assert "failed (exit code 6)" in job.summary.read_text()


@pytest.mark.usefixtures("without_spark")
def test_runs_and_their_ends(job: Job) -> None:
    job.engine(pauseSeconds=60)
    begun = job.json("train", "--detach", "--keep-up")
    assert mistakes(begun, RunResult) == []
    assert begun["state"] == "running"
    ended = job.json("cancel")
    assert mistakes(ended, RunResult) == []
    assert (ended["id"], ended["state"]) == (begun["id"], "cancelled")
    runs = job.json("runs")
    assert mistakes(runs, RunsResult) == []
    assert [run["state"] for run in runs["runs"]] == ["succeeded", "failed", "cancelled"]
    log = job.project.run("logs", runs["runs"][0]["id"], "--json").stdout.splitlines()
    assert [found for line in log for found in mistakes(json.loads(line), LogLine)] == []
    assert any("Training completed successfully." in json.loads(line)["line"] for line in log)


def test_down_says_what_is_stopped(job: Job) -> None:
    log, outputs = job.step("down")
    assert [title for title, _ in log.groups][-1] == "Stopping 3 of 3 machines"
    assert outputs == {"state": "stopped", "exit": "0", "deadline": ""}
    stopped = job.json("sandbox", "stop")
    assert stopped == {"version": 1, "stopped": True}
