"""The wheel in an environment of the oldest Python that is there, as a user installs it: it runs the demo.

``WHEEL_PYTHONS=all`` tries each supported one, as the nightly workflow does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sandbox_project import clean_environment
from tests.support.wheel import build_wheel

ROOT = Path(__file__).parents[2]
SUPPORTED = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _find_python(version: str) -> str:
    """Return a Python of this version: this one, or one on PATH or in pyenv; empty if this computer has none."""
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for candidate in (f"python{version}", *map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))):
        found = shutil.which(candidate)
        # pyenv puts a program on PATH that fails where no Python of this version is chosen.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return ""


PYTHONS = SUPPORTED if os.environ.get("WHEEL_PYTHONS") == "all" else [next(filter(_find_python, SUPPORTED))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.mark.parametrize("version", PYTHONS)
def test_the_demo_runs_from_the_installed_wheel(wheel: Path, version: str, tmp_path: Path) -> None:
    python = _find_python(version)
    if not python:
        pytest.skip(f"there is no Python {version}")
    environment = tmp_path / "environment"
    install = ["pip", "install", "--quiet", "--no-compile", "--constraint", str(ROOT / "constraints.txt")]
    try:
        subprocess.run([ROOT / "scripts" / "make-venv", python, environment], check=True)
        subprocess.run([environment / "bin" / "python", "-m", *install, f"{wheel}[sandbox]"], check=True)
        done = subprocess.run(
            [environment / "bin" / "pio-tf", "demo"],
            cwd=tmp_path,
            env=clean_environment() | {"PIO_TF_SANDBOX_DIR": str(tmp_path / "sandbox")},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(environment, ignore_errors=True)  # 800 MB
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The demo took" in done.stderr
