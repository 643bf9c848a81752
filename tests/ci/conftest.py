"""The local AWS of tests/cli serves these tests, too."""

from __future__ import annotations

from tests.cli.conftest import aws, mirror, project

__all__ = ["aws", "mirror", "project"]
