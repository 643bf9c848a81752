"""A sandbox for the tests of one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.project import prepare_project
from tests.integration.light_spark import MACHINES
from tests.integration.training import end_light_spark, light_machines_in, no_spark_in
from tests.support.sandbox_project import Project
from tests.support.whole_sandbox import WholeSandbox, whole_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, released_mirror: Path, class_archive: None
) -> Iterator[WholeSandbox]:
    """Run a sandbox. ``ALARM_SPEED`` of a module is that of its idle alarms."""
    speed = getattr(request.module, "ALARM_SPEED", 1.0)
    directory = tmp_path_factory.mktemp("sandbox")
    with whole_sandbox(directory, released=released_mirror, machine=MACHINES, alarm_speed=speed) as running:
        yield running


@pytest.fixture(scope="module")
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: WholeSandbox) -> Project:
    """Make a project in the network of the module's ``CIDR``: clusters of two modules may run at the same time."""
    directory = tmp_path_factory.mktemp("project")
    prepare_project(directory, sandbox.info, cluster="trial", cidr=request.module.CIDR)
    return Project(directory, sandbox.info, sandbox.environment)


@pytest.fixture
def without_spark(project: Project) -> Iterator[None]:
    """Let the trainings and the machines of a test use no Spark: the test is about what pio-tf does with a run."""
    with no_spark_in(project):
        yield


@pytest.fixture
def light_machines(project: Project) -> Iterator[None]:
    """Let the machines that start in a test have no Spark: the test does not train with it."""
    with light_machines_in(project):
        yield


@pytest.fixture(autouse=True)
def with_spark(request: pytest.FixtureRequest) -> None:
    """Let any other test have Spark's own master and workers on machines that a test without Spark has left running."""
    if "project" in request.fixturenames and not {"without_spark", "light_machines"}.intersection(request.fixturenames):
        end_light_spark(request.getfixturevalue("project"))
