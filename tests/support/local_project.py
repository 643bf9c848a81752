"""Fixtures: an AWS of this process, once a file, and a project on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.aws import LocalAws
from tests.support.shell import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    """Yield a local AWS without machines behind its instances, for the tests of one file."""
    with LocalAws(transition_seconds=0.1) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, aws: LocalAws) -> Project:
    """Make a directory with a correct pio-tf.hcl for the local AWS."""
    project = Project(tmp_path, url=aws.url)
    project.write()
    return project
