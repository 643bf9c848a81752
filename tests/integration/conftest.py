"""A sandbox for the tests of one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from pio_tf.sandbox.project import prepare_project
from tests.integration.training import no_spark_in
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
    info = start_sandbox(sandbox, alarm_speed=getattr(request.module, "ALARM_SPEED", 1.0), install_mirror=share_mirror)
    try:
        prepare_project(directory, info, cluster="trial", cidr=request.module.CIDR)
        yield Project(directory, info, clean_environment() | {"PIO_TF_SANDBOX_DIR": str(sandbox)})
    finally:
        stop_sandbox(sandbox)


@pytest.fixture
def without_spark(project: Project) -> Iterator[None]:
    """Let the trainings of a test use no Spark: the test is about what pio-tf does with a run."""
    with no_spark_in(project):
        yield
