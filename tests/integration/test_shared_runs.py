"""A team's state and runs in S3, on a whole sandbox: one of two pipelines trains, and each sees what the other did.

The tests share one cluster, and two checkouts of it, in whatever state of power the one before has left it.
"""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.training import TRAINING, behave, bring_up, listed, run_in
from tests.support.background import wait_until
from tests.support.sandbox_project import sandbox_client

if TYPE_CHECKING:
    from tests.support.sandbox_project import Project


CIDR = "127.77.76.0/25"
BUCKET = "states-of-the-team"
LONG = 300
"""Seconds: longer than any test waits."""


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Make a cluster for trainings without Spark, with its state in a bucket that `pio-tf init --backend` has made."""
    said = project.run("init", "--backend", "--bucket", f"s3://{BUCKET}").stderr
    found = re.search(r'  backend "s3" \{\n.*?\n  \}\n', said, re.DOTALL)
    assert found, said
    text = project.config.read_text()
    project.config.write_text(text.replace("terraform {\n", f"terraform {{\n{found[0]}\n", 1))
    return bring_up(project, spark=False)


@pytest.fixture(scope="module")
def other(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make another computer's checkout, which knows the state and the runs only from the bucket."""
    other = project.copy(tmp_path_factory.mktemp("other") / "project")
    assert not (other.directory / ".pio-tf" / "trial" / "runs").exists()
    return other


def s3(project: Project) -> Any:  # noqa: ANN401 - boto3 makes them
    return sandbox_client(project.sandbox, "s3")


def keys(project: Project) -> set[str]:
    found = s3(project).list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {item["Key"].removeprefix("pio-tf/trial/") for item in found}


def lock(project: Project) -> dict[str, Any]:
    body = s3(project).get_object(Bucket=BUCKET, Key="pio-tf/trial/run.lock")["Body"].read()
    return dict(json.loads(body))


def test_the_state_is_in_the_bucket_and_nowhere_else(project: Project) -> None:
    assert keys(project) == {"terraform.tfstate"}
    assert not list((project.directory / ".pio-tf" / "trial" / "stack").glob("terraform.tfstate*"))


def test_of_two_pipelines_that_train_at_once_one_does_and_the_other_is_told_who(
    project: Project, other: Project
) -> None:
    project.run("down")
    with project.start("train") as first, other.start("train") as second:
        assert wait_until(lambda: first.has_ended() or second.has_ended(), within=300)
        loser, winner = (first, second) if first.has_ended() else (second, first)
        said = loser.ends(4)
        assert "run.lock" in said or "the lock on the driver" in said
        assert f"(process {winner.process.pid}, since " in said
        winner.ends(0)
    assert project.powers() == {"stopped"}
    (run,) = listed(project)
    assert keys(project) == {"terraform.tfstate", f"runs/{run}/record.json", f"runs/{run}/log"}


def test_every_client_sees_that_run_and_its_log_while_the_machines_are_stopped(
    project: Project, other: Project
) -> None:
    assert listed(project) == listed(other)
    (record,) = listed(other).values()
    assert record["state"] == "succeeded"
    shown = other.run("logs").stdout
    assert "Training completed successfully." in shown
    assert project.run("logs").stdout == shown


def test_a_client_that_was_killed_leaves_its_run_which_others_see_and_nobody_cuts_off(
    project: Project, other: Project
) -> None:
    project.run("up")
    behave(project, pauseSeconds=LONG)
    with project.start("train") as client:
        client.says(TRAINING)
        run = run_in(client.said)
        assert (lock(project)["run"], lock(project)["pid"]) == (run, client.process.pid)
        client.send(signal.SIGKILL)
    assert listed(other)[run]["state"] == "running"
    assert f"run {run} is active" in other.run("train", exit_code=4).stderr
    other.run("down", exit_code=4)
    assert lock(other)["run"] == run

    other.run("cancel", run)
    other.run("down")
    assert "run.lock" not in keys(other)
    assert listed(project)[run]["state"] == "cancelled"
    assert project.powers() == {"stopped"}


def test_an_interrupted_training_gives_the_lock_back(project: Project, other: Project) -> None:
    with project.start("train") as client:
        assert wait_until(lambda: "run.lock" in keys(project))
        said = other.run("train", exit_code=4).stderr
        assert f"(process {client.process.pid}, since " in said
        client.send(signal.SIGTERM)
        client.ends(143)
    assert "run.lock" not in keys(project)
    assert project.powers() == {"stopped"}


def test_destroy_leaves_the_bucket_and_the_runs(project: Project) -> None:
    runs = listed(project)
    assert runs
    project.run("destroy", "--confirm", "trial")
    assert listed(project) == runs
    assert "terraform.tfstate" in keys(project)
    (version, *_) = s3(project).list_object_versions(Bucket=BUCKET, Prefix="pio-tf/trial/terraform.tfstate")["Versions"]
    assert version["IsLatest"]
