"""``scripts/debian-base``, with an apt of this file's sources, and a mmdebstrap that only notes its own."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "debian-base"


@pytest.mark.skipif(not Path("/etc/os-release").exists(), reason="it is for Linux")
def test_a_root_file_system_takes_packages_of_its_own_release_and_distribution_only(tmp_path: Path) -> None:
    release = platform.freedesktop_os_release()
    name, codename = release["ID"], release.get("VERSION_CODENAME", "")
    if not codename:
        pytest.skip("this distribution has no codename")
    origin = name.capitalize()
    targets = (
        f"{codename} main http://mirror.example/main/ {codename} {origin}",
        f"{codename}-security main http://mirror.example/security/ {codename}-security {origin}",
        f"another main http://mirror.example/main/ another {origin}",
        f"{codename} stable https://docker.example/linux/ {codename} Docker",
        f"{codename} main cdrom:[disk]/ {codename} {origin}",
    )
    program(tmp_path / "bin" / "apt-get", "cat <<'END'\n" + "\n".join(targets) + "\nEND")
    program(tmp_path / "bin" / "apt-config", "true")
    program(tmp_path / "bin" / "mmdebstrap", f"cat >{tmp_path}/sources; echo no network; exit 1")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PIO_TF_MACHINE_IMAGES": str(tmp_path / "images"),
    }
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[-1]) == (1, "", "no network")
    assert (tmp_path / "sources").read_text().splitlines() == [
        f"deb http://mirror.example/main/ {codename} main",
        f"deb http://mirror.example/security/ {codename}-security main",
    ]
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["base-lock"]


def program(path: Path, text: str) -> None:
    """Write a shell script that is executable."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
