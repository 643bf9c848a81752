"""The local AWS of these tests, and a project on it."""

from __future__ import annotations

from tests.support.local_project import aws, project

__all__ = ["aws", "project"]
