"""The provider's mirror and the local AWS, once a session; a directory with a pio-tf.hcl for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.aws import LocalAws
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    """Yield a local AWS, for the tests of one file."""
    with LocalAws(transition_seconds=0.1) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, aws: LocalAws, mirror: Path) -> Site:
    """Make a directory for a cluster of its own."""
    return Site(directory=tmp_path, name="demo", url=aws.url, mirror=mirror)
