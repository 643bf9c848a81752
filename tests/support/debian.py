"""Debian's packages that tests need."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "debian-packages"
_CANNOT = 3
"""The script's exit status where it may not install anything."""


def need_packages(*packages: str, program: str) -> None:
    """Install what is missing, unless the program is there already.

    Skip the test where this computer can install no packages, but fail it in CI.
    """
    if shutil.which(program):
        return
    done = subprocess.run([_SCRIPT, *packages], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == _CANNOT and not {"CI", "PIO_TF_REQUIRE_DEBIAN"} & os.environ.keys():
        pytest.skip(f"{program} is not there: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
