"""The files in a directory that belong to an engine: what git tracks, or else all that no ``.gitignore`` names."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pathspec import GitIgnoreSpec

LEFT_OUT = frozenset({".git", ".pio-tf", "target", "project/target", "project/project"})
"""Directories that are no sources: git's own, pio-tf's own, and what a build writes. The driver has its own builds."""
_SECONDS = 60.0
"""git reads the index and the status of files: seconds, even on a slow disk."""


class Listing(Struct, frozen=True):
    """The paths of an engine's sources, relative to its directory."""

    paths: tuple[str, ...]
    untracked: tuple[str, ...] = ()
    """Files that git neither tracks nor ignores. They are no part of the sources."""
    commit: str = ""
    """The commit that is checked out; empty: there is no repository, or no commit."""
    uncommitted: bool = False
    """Whether tracked files differ from the commit."""


def list_sources(directory: Path) -> Listing:
    """Return the files of an engine.

    In a repository of git's, these are the tracked files as they are now, uncommitted changes included. A file that git
    does not track is left out, because nothing says whether it belongs to the engine: the listing names it.

    Raises:
        ConfigError: git is missing or fails; it tracks no file there, or a submodule is not checked out.
    """
    if any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return _tracked(directory)
    return Listing(tuple(sorted(_not_ignored(directory, "", ()))))


def _is_source(path: str) -> bool:
    return not any(path == name or path.startswith(f"{name}/") for name in LEFT_OUT)


def _tracked(directory: Path) -> Listing:
    # Without --stage, which git before 2.36 refuses here.
    found = [os.fsdecode(path) for path in _split(_git(directory, "ls-files", "-z", "--recurse-submodules"))]
    submodules = [name for name in found if (directory / name).is_dir() and not (directory / name).is_symlink()]
    # A file may be removed, but not yet for git.
    paths = {name for name in found if _is_source(name) and os.path.lexists(directory / name)}
    if submodules:
        raise ConfigError(
            f"the submodule {submodules[0]} in {directory} is not checked out",
            next_step=f"git -C {directory} submodule update --init --recursive",
        )
    if not paths:
        raise ConfigError(
            f"git tracks no file in {directory}",
            cause="in a repository, only tracked files are pushed",
            next_step=f"git -C {directory} add FILES; or give the engine's own directory",
        )
    untracked = _split(_git(directory, "ls-files", "-z", "--others", "--exclude-standard"))
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD", fails=True).decode().strip()
    changes = _git(directory, "status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
    return Listing(
        tuple(sorted(paths)),
        tuple(name for name in map(os.fsdecode, untracked) if _is_source(name)),
        commit,
        bool(changes),
    )


def _split(answer: bytes) -> list[bytes]:
    return [part for part in answer.split(b"\0") if part]


def _git(directory: Path, *arguments: str, fails: bool = False) -> bytes:
    """Return the answer of git in a directory; ``fails``: an empty one if git says no."""
    program = shutil.which("git")
    if program is None:
        raise ConfigError(
            f"{directory} is in a git repository, but there is no git on this computer",
            cause="git names the files that belong to the engine",
            next_step="install git; or push a copy of the files in a directory outside of the repository",
        )
    # A hook of git's runs with variables that point to another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            [program, "-C", str(directory), "--no-optional-locks", *arguments],
            env={**environment, "LC_ALL": "C"},
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"git did not answer within {_SECONDS:g} s in {directory}", next_step="try `git status` there"
        ) from error
    if done.returncode != 0 and not fails:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigError(
            f"git could not list the files in {directory}",
            cause=lines[0] if lines else f"git {arguments[0]} ended with exit status {done.returncode}",
            next_step=f"try `git -C {directory} status`",
        )
    return done.stdout


def _not_ignored(directory: Path, prefix: str, rules: tuple[tuple[str, GitIgnoreSpec], ...]) -> Iterator[str]:
    """Yield the files below ``prefix``, which ends with a slash or is empty.

    Args:
        rules: the ``.gitignore`` files above, each with the prefix of its directory. The deepest one wins.
    """
    ignore = directory / prefix / ".gitignore"
    if ignore.is_file():
        from pathspec import GitIgnoreSpec

        lines = ignore.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        rules = ((prefix, GitIgnoreSpec.from_lines(lines)), *rules)
    with os.scandir(directory / prefix) as entries:
        for entry in entries:
            path = prefix + entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if not _is_source(path) or _is_ignored(f"{path}/" if is_directory else path, rules):
                continue
            if is_directory:
                yield from _not_ignored(directory, f"{path}/", rules)
            else:
                yield path


def _is_ignored(path: str, rules: tuple[tuple[str, GitIgnoreSpec], ...]) -> bool:
    for prefix, spec in rules:
        found = spec.check_file(path.removeprefix(prefix)).include
        if found is not None:
            return found
    return False
