"""`pio-tf demo`: it says what fails, and always stops its sandbox. The nightly workflow runs the whole of it."""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING

import pytest

from pio_tf.cli.demo import Demo, show_demo, workplace
from pio_tf.cli.output import Output
from pio_tf.errors import PioTfError, SandboxError
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def user(tmp_path: Path) -> Demo:
    """Return a user of a `pio-tf` that writes down how it is called, and cannot start machines."""
    program = tmp_path / "pio-tf"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n[ "$1" != up ] || exit 5\n')
    program.chmod(0o755)
    return Demo(Output(), tmp_path / "project", {"PATH": "/usr/bin:/bin"}, program=(str(program),))


def test_a_step_that_fails_ends_the_demo_and_stops_the_sandbox(user: Demo, tmp_path: Path) -> None:
    with pytest.raises(PioTfError, match="`pio-tf up --yes` ended with exit code 5"):
        show_demo(user, "light")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["sandbox start --services light", "init demo --sandbox", "up --yes", "sandbox stop"]


def test_what_is_not_as_a_step_expects_ends_the_demo(user: Demo) -> None:
    with pytest.raises(PioTfError, match="not so: there are 4 machines"):
        user.confirm(False, "there are 4 machines")


def test_a_second_demo_beside_the_first_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path, environment={"PIO_TF_SANDBOX_DIR": str(tmp_path / "sandbox")})
    with (tmp_path / "sandbox-demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another demo runs" in project.fails("demo", exit_code=4)


def test_steps_are_refused_without_a_terminal_to_wait_at(tmp_path: Path) -> None:
    assert "--step needs a terminal" in Project(tmp_path).fails("demo", "--step", exit_code=2)


def test_a_sandbox_that_can_not_be_stopped_keeps_its_files_for_the_next_try(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").touch()
    with (
        pytest.raises(SandboxError, match="is not a sandbox's directory"),
        workplace(tmp_path / "place") as directory,
    ):
        shutil.copytree(tmp_path / "foreign", directory / "sandbox")
    assert (tmp_path / "place" / "sandbox" / "file").exists()
