"""`pio-tf up` that creates machines shows them and their cost first, and asks at a terminal only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fork_server import PIO_TF
from tests.support.shell import Project, clean_environment
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws

SHOWN = (
    "pio-tf creates 3 machines in us-east-1, and ",
    "  driver       m5.large",
    "  worker       m5.large",
    "the cluster costs 0.30 USD an hour running, and 0.017 USD an hour stopped",
)


@pytest.fixture
def project(tmp_path: Path, aws: LocalAws, mirror: Path) -> Project:
    project = Project(tmp_path, name="asked", url=aws.url, mirror=mirror)
    project.write(network='cidr = "127.77.98.0/24"', cluster='name = "{name}"\nstart_timeout = "1s"')
    return project


def test_a_person_who_says_no_gets_no_machine(project: Project) -> None:
    environment = clean_environment() | {"HOME": str(project.directory), "TERM": "xterm"}
    with TerminalUser([PIO_TF, "up"], cwd=project.directory, env=environment, size=(120, 40)) as user:
        seen = user.sees("Create them? [y/N]: ")
        assert all(line in seen for line in SHOWN), seen
        user.type("n\n")
        user.sees("no machine was created")
        user.sees("next:  pio-tf up --yes")
        assert user.ends() == 2
    assert project.instances() == {}


def test_a_pipe_is_told_and_not_asked_and_nothing_is_shown_once_they_exist(project: Project) -> None:
    done = project.run("up", exit_code=5)  # no machine answers here
    assert all(line in done.stderr for line in SHOWN), done.stderr
    assert "Create them?" not in done.stderr
    assert set(project.instances()) == {"driver", "master", "worker-1"}
    assert "pio-tf creates" not in project.run("up", exit_code=5).stderr
