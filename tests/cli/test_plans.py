"""`plan --out`, `apply DIR` and `drift` as a pipeline calls them: results, and exit codes that mean one thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws


@pytest.fixture
def planned(tmp_path: Path, aws: LocalAws, mirror: Path) -> Project:
    """Make a project that Terraform can plan."""
    project = Project(tmp_path, name="kept", url=aws.url, mirror=mirror)
    project.write()
    return project


def test_a_plan_is_kept_and_its_place_told(planned: Project) -> None:
    done = planned.run("plan", "--out", "kept", "--detailed-exitcode", exit_code=2)
    assert "saved in kept; to apply it: pio-tf apply kept" in done.stdout
    assert (planned.directory / "kept" / "plan.md").is_file()

    data = json.loads(planned.run("plan", "--out", "kept", "--json").stdout)
    assert (data["has_changes"], data["directory"]) == (True, "kept")

    planned.write(network='cidr = "127.77.0.0/25"')
    said = planned.fails("apply", "kept", exit_code=3)
    assert "the stack (terraform.tfvars): " in said
    assert planned.instances() == {}


def test_a_plan_refuses_arguments_with_which_spark_could_not_start(planned: Project) -> None:
    planned.write(train='spark_arguments = ["--driver-memory", "lots"]')
    said = planned.fails("plan", exit_code=2)
    assert "train.spark_arguments: --driver-memory: 'lots' cannot work" in said


def test_two_means_changes_and_nothing_else_with_detailed_exitcode(project: Project) -> None:
    assert "No such option" in project.run("plan", "--oups", exit_code=2).stderr
    assert "No such option" in project.fails("plan", "--detailed-exitcode", "--oups", exit_code=1)
    project.write(spark='instance_type = "m5.large"\nworkers = "many"')
    project.fails("plan", exit_code=2)
    assert "spark.workers" in project.fails("plan", "--detailed-exitcode", exit_code=1)


def test_two_means_drift_and_nothing_else(project: Project) -> None:
    assert "No such option" in project.fails("drift", "--oups", exit_code=1)
    assert "has not been created" in project.fails("drift", exit_code=5)
    project.write(aws='region = "nowhere"')
    assert "aws.region" in project.fails("drift", exit_code=1)


def test_usage_is_told_to_programs_too(project: Project) -> None:
    said = json.loads(project.run("drift", "--json", "--oups", exit_code=1).stdout)
    assert said["error"]["exit_code"] == 1
    assert "--oups" in said["error"]["what"]


def test_a_directory_without_a_plan_is_told_before_aws_is_asked(project: Project) -> None:
    project.write(aws='region = "us-east-1"\nendpoint_url = "http://127.0.0.1:9"')
    said = project.fails("apply", "nothing", exit_code=2)
    assert "nothing holds no plan that can be applied" in said
    assert "`pio-tf plan --out nothing` writes one" in said
