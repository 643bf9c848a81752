"""Build a release, check it, and show what would be published: ``make release``. Publishes nothing.

In ``dist/`` are then: source distribution and wheel, both container images, a list of all components (CycloneDX), the
release notes, and SHA256SUMS of all.

usage: python -m scripts.release [TAG]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pio_tf.version import __version__

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def release_notes(changelog: str, version: str) -> str:
    """Return the section of a version in CHANGELOG.md.

    Raises:
        ValueError: the changelog has no such section, or nothing stands in it.
    """
    heading = rf"^## \[?{re.escape(version)}\]?(?: [^\n]*)?\n"
    section = re.search(rf"{heading}(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    if section is None or not section[1].strip():
        raise ValueError(f"CHANGELOG.md has no notes under '## {version}': cut the version first")
    return section[1].strip()


def check_tag(tag: str, version: str) -> None:
    """Raise ValueError unless the tag is the version's: ``v0.2.0``."""
    if tag and tag != f"v{version}":
        raise ValueError(f"tag {tag} does not match pio_tf/version.py: expected v{version}")


def check_tree(directory: Path) -> None:
    """Raise ValueError if the working tree has what no commit has: a release is built from a commit."""
    command = ["git", "status", "--porcelain"]
    status = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    if status.stdout:
        raise ValueError(f"the working tree is not clean: commit or remove this first:\n{status.stdout.rstrip()}")


def build() -> list[Path]:
    """Build source distribution and wheel. Return their paths."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT], check=True)
    return sorted(DIST.iterdir())


def check(files: list[Path]) -> None:
    """Check the metadata. Install each file in an environment of its own, ask its version, and list what it needs."""
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    for file in files:
        with tempfile.TemporaryDirectory(prefix="pio-tf-release-") as directory:
            subprocess.run([ROOT / "scripts" / "make-venv", sys.executable, directory], check=True)
            binaries = Path(directory) / "bin"
            constraints = ROOT / "constraints.txt"
            package = f"{file}[terraform]"
            python = str(binaries / "python")
            install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), package]
            subprocess.run(install, check=True)
            done = subprocess.run([binaries / "pio-tf", "--version"], check=True, capture_output=True, text=True)
            if done.stdout != f"pio-tf {__version__}\n":
                raise ValueError(f"{file.name} installs {done.stdout.strip()}, not pio-tf {__version__}")
            if file.suffix == ".whl":
                list_components(binaries / "python", DIST / f"pio-tf-{__version__}.cdx.json")


def list_components(python: Path, path: Path) -> None:
    """Write what is installed beside a Python, with versions and licences: a software bill of materials (CycloneDX)."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--pyproject"]
    subprocess.run([*command, ROOT / "pyproject.toml", "--output-file", path, python], check=True)


def build_images() -> None:
    """Build the container images, as root."""
    root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive", "--preserve-env=PIO_TF_IMAGE_BASE"]
    subprocess.run([*root, ROOT / "scripts" / "container-image", DIST, "cli", "sandbox"], check=True)


def write_checksums(directory: Path) -> str:
    """Write SHA256SUMS of all files, which ``sha256sum --check`` reads. Return its text."""
    names = sorted(path.name for path in directory.iterdir())
    command = ["sha256sum", *names]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    (directory / "SHA256SUMS").write_text(done.stdout, encoding="utf-8")
    return done.stdout


def main(tag: str = "") -> None:
    """Build and check; show files, checksums and notes."""
    check_tag(tag, __version__)
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)
    check_tree(ROOT)
    check(build())
    build_images()
    (DIST / "RELEASE_NOTES.md").write_text(f"{notes}\n", encoding="utf-8")
    print(f"\nReady to publish pio-tf {__version__} (tag v{__version__}):\n\n{write_checksums(DIST)}")
    print(f"Notes:\n\n{notes}\n\nNothing was published. Push the tag, and the workflow Release publishes these files.")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
