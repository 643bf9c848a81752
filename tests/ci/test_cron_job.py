"""The script that cron runs: silent when all is well, and as good as the job itself at ending early."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pio_tf.ci.pipeline import render_pipeline, write_pipeline
from pio_tf.config.load import load_config
from pio_tf.config.template import render_template

if TYPE_CHECKING:
    from pathlib import Path

STAND_IN = """\
#!/usr/bin/env bash
echo "pio-tf $*, $PIO_TF_CONFIG"
trap 'echo stopping; sleep 0.3; echo stopped; exit 143' TERM
for ((n = 0; n < ${LASTS-0} * 20; n++)); do sleep 0.05; done
exit "${CODE-0}"
"""
"""A stand-in for ``pio-tf``: it lasts and ends as the environment says, and takes its time to end after a signal."""


@dataclass(frozen=True)
class Cron:
    """A computer's cron."""

    directory: Path
    home: Path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Run the script, with as little as cron gives it."""
        return subprocess.Popen(
            [self.directory / "pio-tf-job", *arguments],
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, exit_code: int = 0, **environment: str) -> str:
        """Run it to its end: what cron would mail."""
        process = self.start(*arguments, **environment)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == exit_code, said
        return said

    def log(self, job: str) -> str:
        path = self.directory / ".pio-tf" / "ur" / "cron" / f"{job}.log"
        return path.read_text() if path.exists() else ""

    def wait_for(self, job: str, text: str) -> None:
        for _ in range(2400):
            if text in self.log(job):
                return
            time.sleep(0.05)
        raise AssertionError(self.log(job))


@pytest.fixture
def cron(tmp_path: Path) -> Cron:
    directory = tmp_path / "it's here"
    directory.mkdir()
    (directory / "pio-tf.hcl").write_text(render_template(cluster="ur", region="eu-west-1"))
    write_pipeline(render_pipeline("cron", load_config(directory / "pio-tf.hcl"), root=directory), directory)
    program = tmp_path / ".local" / "bin" / "pio-tf"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return Cron(directory, tmp_path)


@pytest.mark.parametrize(("job", "command"), [("train", "train --no-apply"), ("reap", "down --if-idle")])
def test_a_job_that_ends_well_says_nothing_and_leaves_a_log(cron: Cron, job: str, command: str) -> None:
    assert cron.run(job) == ""
    assert cron.log(job) == f"pio-tf {command}, pio-tf.hcl\n"


def test_a_job_that_fails_says_how_and_shows_the_end_of_its_log(cron: Cron) -> None:
    said = cron.run("train", exit_code=6, CODE="6")
    assert "pio-tf train ended with exit code 6" in said
    assert str(cron.directory / ".pio-tf") in said
    assert "pio-tf train --no-apply, pio-tf.hcl\n" in said


def test_a_job_does_not_begin_while_the_one_before_runs(cron: Cron) -> None:
    first = cron.start("train", LASTS="120")
    try:
        cron.wait_for("train", "pio-tf train")
        assert cron.run("train") == ""
        assert cron.run("reap") == "", "another job is not held up"
        assert cron.log("reap") != ""
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=120)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_job_that_is_stopped_stops_its_machines_first(cron: Cron, number: signal.Signals) -> None:
    process = cron.start("train", LASTS="120")
    cron.wait_for("train", "pio-tf train")
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert cron.log("train").endswith("stopping\nstopped\n")


def test_wrong_usage_is_told(cron: Cron) -> None:
    assert "usage: pio-tf-job train | reap" in cron.run("fly", exit_code=2)
    assert "usage: pio-tf-job train | reap" in cron.run(exit_code=2)


def test_the_crontab_names_the_script_however_its_directory_is_called(cron: Cron) -> None:
    lines = [line for line in (cron.directory / "pio-tf.crontab").read_text().splitlines() if line[0] != "#"]
    for line, job in zip(lines, ("train", "reap"), strict=True):
        command = line.split(" ", 5)[5].replace(r"\%", "%")  # as cron takes it
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"HOME": str(cron.home), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert cron.log(job)
    assert os.access(cron.directory / "pio-tf-job", os.X_OK)
