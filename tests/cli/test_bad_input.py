"""Mistakes that are found before AWS is asked: in pio-tf.hcl, around it, and in credentials."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make a directory with a correct pio-tf.hcl, and no AWS."""
    project = Project(tmp_path)
    project.write()
    return project


def test_a_configuration_that_is_named_but_not_there(project: Project) -> None:
    said = project.fails("plan", "-c", "elsewhere.hcl", exit_code=2)
    assert str(project.directory / "elsewhere.hcl") in said
    assert "pio-tf init" in said
    said = project.fails("plan", exit_code=2, PIO_TF_CONFIG="from-the-environment.hcl")
    assert "from-the-environment.hcl" in said


def test_a_configuration_that_is_a_directory(project: Project) -> None:
    path = project.directory / "configuration"
    path.mkdir()
    said = project.fails("status", "-c", "configuration", exit_code=2)
    assert f"{path} is a directory" in said
    assert str(path / "pio-tf.hcl") in said


@pytest.mark.parametrize(
    ("block", "inner", "at", "message"),
    [
        ("spark", "workers = ", "workers", "expected a value"),
        ("spark", "workers = 2\nconf = {", "spark {", 'the "{" here is never closed'),
        ("network", 'cidr = "300.20.0.0/24"', "cidr", 'network.cidr: must be an IPv4 address range'),
        ("network", 'cidr = "10.20.0.5/24"', "cidr", 'network.cidr: must begin at the first address of the range'),
        ("network", 'cidr = "10.0.0.0/8"', "cidr", "network.cidr: 10.0.0.0/8 must be between /16 and /28"),
        ("aws", 'region = "europe"', "region", 'aws.region: must be an AWS region, like "eu-west-1", got "europe"'),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(project: Project, block: str, inner: str, at: str, message: str) -> None:
    project.write(**{block: inner})
    said = project.fails("plan", exit_code=2)
    assert f"{project.line(at)}: {message}" in said
    assert not (project.directory / ".pio-tf").exists()


def test_all_mistakes_come_at_once_each_with_its_line(project: Project) -> None:
    project.write(
        spark='workers = 0\ninstance_typ = "r3.xlarge"',
        driver='root_volume_gib = "big"',
        ssh='key = ["id"]',
        sprak="executors = 2",
    )
    said = project.fails("up", exit_code=2)
    for at, message in (
        ("workers", "spark.workers: must be at least 1, got 0"),
        ("instance_typ", 'spark.instance_typ: unknown name, did you mean "instance_type"?'),
        ("root_volume_gib", 'driver.root_volume_gib: must be a whole number, got "big"'),
        ("key", "ssh.key: must be"),
        ("sprak", 'sprak: unknown name, did you mean "spark"? Known here: aws, cluster,'),
    ):
        assert f"{project.line(at)}: {message}" in said
    assert f"correct these lines in {project.directory / 'pio-tf.hcl'}" in said


def test_an_environment_variable_that_is_not_set(project: Project) -> None:
    project.write(elasticsearch='hosts = [env("NO_SUCH_HOST")]')
    said = project.fails("plan", exit_code=2)
    assert project.line("NO_SUCH_HOST") in said
    assert "NO_SUCH_HOST" in said


@pytest.mark.parametrize("command", ["plan", "up", "status", "down", "destroy --confirm trial"])
def test_without_credentials_every_command_says_so_at_once(project: Project, command: str) -> None:
    began = time.monotonic()
    said = project.fails(*command.split(), exit_code=1)
    assert time.monotonic() - began < 60, "it waited for something"
    assert "no AWS credentials were found" in said
    assert "aws configure" in said
    assert "aws.profile" in said


def test_a_profile_that_does_not_exist(project: Project) -> None:
    project.write(aws='region = "us-east-1"\nprofile = "night-shift"')
    said = project.fails("status", exit_code=1)
    assert '"night-shift" does not exist' in said
    assert "aws.profile" in said


def test_a_credentials_file_that_does_not_exist(project: Project) -> None:
    project.write(aws='region = "us-east-1"\ncredentials_file = "keys"')
    said = project.fails("down", exit_code=1)
    assert f"{project.directory / 'keys'} does not exist" in said
    assert "aws.credentials_file" in said


def test_a_public_key_that_is_missing_is_named_with_how_to_make_it(project: Project) -> None:
    (project.directory / "id.pub").unlink()
    said = project.fails("generate", exit_code=2)
    assert f"{project.line('key = ')}: ssh.key: its public half {project.directory / 'id.pub'}" in said
    assert "ssh-keygen -y" in said


def test_a_stack_directory_that_cannot_be_made(project: Project) -> None:
    (project.directory / ".pio-tf").write_text("a file where the directory should be")
    said = project.fails("generate", exit_code=2)
    assert str(project.directory / ".pio-tf") in said
    (project.directory / ".pio-tf").unlink()
    project.run("generate")
    assert (project.directory / ".pio-tf" / "trial" / "stack" / "main.tf").is_file()


def test_files_of_somebody_else_are_not_overwritten(project: Project) -> None:
    stack = project.directory / "infrastructure"
    stack.mkdir()
    (stack / "main.tf").write_text("# by hand\n")
    said = project.fails("generate", "--out", str(stack), exit_code=2)
    assert "main.tf" in said
    assert (stack / "main.tf").read_text() == "# by hand\n"
    assert os.listdir(stack) == ["main.tf"]  # noqa: PTH208 - names are what is compared


def test_a_sandbox_that_is_not_running(project: Project) -> None:
    (project.directory / "pio-tf.hcl").unlink()
    said = project.fails("init", "--sandbox", exit_code=1, PIO_TF_SANDBOX_DIR=str(project.directory / "sandbox"))
    assert "pio-tf sandbox start" in said
    assert not (project.directory / "pio-tf.hcl").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("up --for 2h --no-deadline", "--for and --no-deadline contradict each other"),
        ("train --for 10s", "--for '10s' is not between a minute and 144 hours"),
        ("up --for soon", "--for 'soon' is not a duration"),
        ("extend 200h", "DURATION '200h' is not between a minute and 144 hours"),
        ("train --attach --for 2h", "--attach takes a run that has begun"),
    ],
)
def test_a_time_that_machines_cannot_run_for(project: Project, command: str, message: str) -> None:
    project.write()
    assert message in project.fails(*command.split(), exit_code=2)
