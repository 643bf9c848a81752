"""An engine's directory for tests, in a git repository or without one."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "build.sbt": 'name := "ur"\n',
    "engine.json": '{"id": "default", "engineFactory": "com.actionml.RecommendationEngine", "algorithms": []}\n',
    "src/main/scala/Engine.scala": "class Engine\n",
    "src/main/scala/Über.scala": "class Über\n",
    "project/build.properties": "sbt.version=1.3.13\n",
}


def write(directory: Path, files: dict[str, str]) -> Path:
    """Write files; return their directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


def git(directory: Path, *arguments: str) -> str:
    """Run git with an identity of its own; return its output."""
    identity = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1", **identity}
    done = subprocess.run(
        [shutil.which("git") or "git", "-C", str(directory), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def repository(directory: Path) -> Path:
    """Write an engine and commit it; return its directory."""
    write(directory, FILES)
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "-m", "An engine")
    return directory
