"""The provider's mirror and the local AWS, once a session; a directory with a pio-tf.hcl for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.local_project import aws
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws

__all__ = ["aws", "site"]


@pytest.fixture
def site(tmp_path: Path, aws: LocalAws, mirror: Path) -> Site:
    """Make a directory for a cluster of its own."""
    return Site(directory=tmp_path, name="demo", url=aws.url, mirror=mirror)
