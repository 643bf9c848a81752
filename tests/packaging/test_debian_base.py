"""``scripts/debian-base``, with an apt of this file's sources, and a mmdebstrap that only notes its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.background import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = Path(__file__).parents[2] / "scripts" / "debian-base"


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="it is for root on Linux")


def begin(directory: Path, *, targets: Sequence[str], mmdebstrap: str) -> subprocess.Popen[str]:
    """Start the script with these sources, and with this shell script as mmdebstrap."""
    program(directory / "bin" / "apt-get", "cat <<'END'\n" + "\n".join(targets) + "\nEND")
    program(directory / "bin" / "apt-config", "true")
    program(directory / "bin" / "mmdebstrap", mmdebstrap)
    environment = {
        **os.environ,
        "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
        "PIO_TF_MACHINE_IMAGES": str(directory / "images"),
    }
    pipe = subprocess.PIPE
    return subprocess.Popen([SCRIPT], env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def release() -> tuple[str, str]:
    """Return the name and the codename of this computer's distribution."""
    described = platform.freedesktop_os_release()
    if "VERSION_CODENAME" not in described:
        pytest.skip("this distribution has no codename")
    return described["ID"], described["VERSION_CODENAME"]


def test_a_root_file_system_takes_packages_of_its_own_release_and_distribution_only(
    tmp_path: Path, release: tuple[str, str]
) -> None:
    name, codename = release
    origin = name.capitalize()
    targets = (
        f"{codename} main http://mirror.example/main/ {codename} {origin}",
        f"{codename}-security main http://mirror.example/security/ {codename}-security {origin}",
        f"another main http://mirror.example/main/ another {origin}",
        f"{codename} stable https://docker.example/linux/ {codename} Docker",
        f"{codename} main cdrom:[disk]/ {codename} {origin}",
    )
    process = begin(tmp_path, targets=targets, mmdebstrap=f"cat >{tmp_path}/sources; echo no network; exit 1")
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error.splitlines()[-1]) == (1, "", "no network")
    assert (tmp_path / "sources").read_text().splitlines() == [
        f"deb http://mirror.example/main/ {codename} main",
        f"deb http://mirror.example/security/ {codename}-security main",
    ]
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["base-lock"]


def test_a_build_that_is_ended_leaves_no_process_and_no_mount_and_removes_nothing_that_was_mounted(
    tmp_path: Path, release: tuple[str, str]
) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "file").touch()
    # Its last arguments are the directory and a dash.
    mounts = f"""
      while [ $# -gt 2 ]; do shift; done
      mkdir -p "$1/dev" && mount --bind {tmp_path}/host "$1/dev" && echo >{tmp_path}/mounted
      exec tail -f {tmp_path}/mounted"""
    target = f"{release[1]} main http://mirror.example/ {release[1]} {release[0]}"
    process = begin(tmp_path, targets=[target], mmdebstrap=mounts)
    assert wait_until(lambda: (tmp_path / "mounted").exists())
    process.terminate()
    process.communicate(timeout=60)
    left = ["pgrep", "-f", str(tmp_path)]
    assert wait_until(lambda: subprocess.run(left, check=False).returncode != 0)
    assert (tmp_path / "host" / "file").exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["base-lock"]


def program(path: Path, text: str) -> None:
    """Write a shell script that is executable."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
