"""A sandbox for the tests of one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from pio_tf.sandbox.project import prepare_project
from tests.integration.light_spark import MACHINES
from tests.integration.training import end_light_spark, no_spark_in
from tests.support.sandbox_project import Project, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, share_mirror: Callable[[Path], Path]
) -> Iterator[Project]:
    """Make a project in the network of the module's ``CIDR``: clusters of two modules may run at the same time.

    ``ALARM_SPEED`` of a module is that of its idle alarms.
    """
    directory = tmp_path_factory.mktemp("project")
    sandbox = tmp_path_factory.mktemp("sandbox") / "sandbox"
    speed = getattr(request.module, "ALARM_SPEED", 1.0)
    info = start_sandbox(sandbox, alarm_speed=speed, machine=MACHINES, install_mirror=share_mirror)
    try:
        prepare_project(directory, info, cluster="trial", cidr=request.module.CIDR)
        yield Project(directory, info, clean_environment() | {"PIO_TF_SANDBOX_DIR": str(sandbox)})
    finally:
        stop_sandbox(sandbox)


@pytest.fixture
def without_spark(project: Project) -> Iterator[None]:
    """Let the trainings and the machines of a test use no Spark: the test is about what pio-tf does with a run."""
    with no_spark_in(project):
        yield


@pytest.fixture(autouse=True)
def with_spark(request: pytest.FixtureRequest) -> None:
    """Let any other test have Spark's own master and workers on machines that a test without Spark has left running."""
    if "project" in request.fixturenames and "without_spark" not in request.fixturenames:
        end_light_spark(request.getfixturevalue("project"))
