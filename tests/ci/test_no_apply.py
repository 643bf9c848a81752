"""`pio-tf train --no-apply`: a job that trains creates and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.shell import Project


def test_a_cluster_that_was_never_created_is_not_created_by_a_training(project: Project, mirror: Path) -> None:
    project.mirror = mirror
    project.write()
    said = project.fails("train", "--no-apply", exit_code=5)
    assert "trial has not been created" in said
    assert "pio-tf up" in said
    assert project.states() == {}


def test_a_run_that_is_followed_has_begun_already(project: Project) -> None:
    assert "--attach takes a run that has begun" in project.fails("train", "--attach", "--no-apply", exit_code=2)
