"""Build a release, check it, and show what would be published: ``make release``. Publishes nothing.

usage: python -m scripts.release [TAG]
"""

from __future__ import annotations

import hashlib
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


def build() -> list[Path]:
    """Build source distribution and wheel. Return their paths."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT], check=True)
    return sorted(DIST.iterdir())


def check(files: list[Path]) -> None:
    """Check the metadata, then install each file in an environment of its own and ask it for its version."""
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    for file in files:
        with tempfile.TemporaryDirectory(prefix="pio-tf-release-") as directory:
            subprocess.run([ROOT / "scripts" / "make-venv", sys.executable, directory], check=True)
            binaries = Path(directory) / "bin"
            constraints = ROOT / "constraints.txt"
            install = [binaries / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, file]
            subprocess.run(install, check=True)
            done = subprocess.run([binaries / "pio-tf", "--version"], check=True, capture_output=True, text=True)
            if done.stdout != f"pio-tf {__version__}\n":
                raise ValueError(f"{file.name} installs {done.stdout.strip()}, not pio-tf {__version__}")


def main(tag: str = "") -> None:
    """Build and check; show files, sizes, checksums and notes."""
    check_tag(tag, __version__)
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)
    files = build()
    check(files)
    print(f"\nReady to publish pio-tf {__version__} (tag v{__version__}):\n")
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"  {file.relative_to(ROOT)}  {file.stat().st_size:,} bytes  sha256:{digest}")
    print(
        f"\nNotes:\n\n{notes}\n\nNothing was published. Push the tag, and the workflow Release publishes these files."
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
