"""scripts/install.py: uv installs what pip's configuration allows, and pip where uv fails."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.install import uv_settings

INSTALL = Path(__file__).parents[2] / "scripts" / "install.py"


def make_wheel(directory: Path, name: str) -> None:
    """Write a wheel of one module."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Make an environment without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "environment"], check=True)
    return tmp_path / "environment"


def install(environment: Path, *arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Install into the environment what a configuration of pip finds."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    ours |= {"PIP_CONFIG_FILE": str(config or os.devnull), "UV_CACHE_DIR": str(environment / "cache")}
    command = [sys.executable, str(INSTALL), str(environment / "bin" / "python"), *arguments]
    return subprocess.run(command, env=ours, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("arguments", "installer"), [([], "uv"), (["--ignore-installed"], "pip")])
def test_uv_installs_from_where_pip_would_and_pip_if_uv_fails(
    environment: Path, tmp_path: Path, arguments: list[str], installer: str
) -> None:
    """uv has no --ignore-installed."""
    make_wheel(tmp_path, "example")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\n[install]\nfind-links = {tmp_path}\n")
    done = install(environment, "example", *arguments, config=config)
    assert done.returncode == 0, done.stderr
    (name,) = environment.glob("lib/python*/site-packages/example-1.0.dist-info/INSTALLER")
    assert name.read_text().strip() == installer
    assert ("uv could not install this; pip tries" in done.stderr) == (installer == "pip")


def test_what_neither_can_install_is_an_error_of_pip(environment: Path, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {tmp_path}\n")
    done = install(environment, "example", config=config)
    assert done.returncode == 1
    assert "No matching distribution found for example" in done.stderr


def test_a_setting_of_the_command_or_of_the_environment_wins_over_a_global_one() -> None:
    listed = (
        ":env:.constraint='a.txt b.txt'\n"
        ":env:.index-url='https://env.invalid/simple'\n"
        "global.index-url='https://global.invalid/simple'\n"
        "global.extra-index-url='\\nhttps://one.invalid\\nhttps://two.invalid'\n"
        "global.find-links='/a\\n/b'\n"
        "global.user='no'\n"
        "global.no-index='true'\n"
        "install.cert='/etc/own.pem'\n"
        "global.cert='/etc/other.pem'\n"
    )
    options, variables = uv_settings(listed)
    assert options == ["--no-index"]
    assert variables == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "true",
        "UV_CONSTRAINT": "a.txt b.txt",
        "UV_BUILD_CONSTRAINT": "a.txt b.txt",
        "UV_DEFAULT_INDEX": "https://env.invalid/simple",
        "UV_INDEX": "https://one.invalid https://two.invalid",
        "UV_FIND_LINKS": "/a,/b",
        "SSL_CERT_FILE": "/etc/own.pem",
    }
