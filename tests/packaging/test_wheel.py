"""The wheel: what a user installs must work without the repository around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pio_tf.infra.bootstrap import render_image
from pio_tf.infra.root_module import render_stack
from pio_tf.sandbox.pio import __file__ as pio_package
from tests.support.site import Site
from tests.support.wheel import build_wheel

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "pio_tf" / "ci" / "templates"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


def test_the_wheel_carries_the_licence_the_modules_the_pipelines_and_the_stand_in(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        f"pio_tf/infra/modules/{path.relative_to(ROOT / 'terraform' / 'modules')}"
        for path in (ROOT / "terraform" / "modules").rglob("*")
        if path.is_file()
    }
    stand_in = {
        f"pio_tf/sandbox/pio/{path.relative_to(Path(pio_package).parent)}"
        for path in Path(pio_package).parent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    templates = {
        f"pio_tf/ci/templates/{path.relative_to(TEMPLATES)}" for path in TEMPLATES.rglob("*") if path.is_file()
    }
    assert len(templates) > 10
    assert not templates - names
    assert not modules - names
    assert not stand_in - names
    assert {"pio_tf/py.typed", "pio_tf/config/template.hcl", "pio_tf/sandbox/template.hcl"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "scripts/"))]


def test_the_installed_wheel_writes_the_same_stack_and_image_as_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel],
        check=True,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    project = tmp_path / "project"
    project.mkdir()
    config = Site(project, "trial", "http://127.0.0.1:1", tmp_path / "terraformrc").write()
    # The editable installation of the repository comes after PYTHONPATH.
    code = (
        "import sys, json, pio_tf\n"
        "from pio_tf.config.load import load_config\n"
        "from pio_tf.infra.bootstrap import render_image\n"
        "from pio_tf.infra.root_module import render_stack\n"
        f"assert pio_tf.__file__.startswith({str(site)!r}), pio_tf.__file__\n"
        f"config = load_config({str(config.path)!r})\n"
        "print(json.dumps([render_stack(config), render_image(config)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [render_stack(config), render_image(config)]
