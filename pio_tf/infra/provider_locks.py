"""Which versions of its providers Terraform has chosen: ``.terraform.lock.hcl``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = ".terraform.lock.hcl"
_PROVIDER = re.compile(r'^provider "([^"]+)" \{\n\s*version\s*=\s*"([^"]+)"', re.MULTILINE)


def read_locks(directory: Path) -> str:
    """The file's text; empty where there is none."""
    path = directory / LOCK_FILE
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def locked_versions(text: str) -> dict[str, str]:
    """Providers and their versions. Terraform writes the file itself, always in the same way."""
    return dict(_PROVIDER.findall(text))
