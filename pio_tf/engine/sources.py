"""An engine's sources on this computer: their files with checksums, checked before anything is pushed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.config.kinds import memory_mib
from pio_tf.engine.listing import list_sources
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.config.schema import Config

BLOCK = 1 << 18
_BUILD_INPUT = re.compile(r"(src|project|lib)/.*|[^/]+\.(sbt|scala|java)")
"""The files that `pio build` reads: sbt's directories (its reference, "Directory structure"), and sources beside
build.sbt, which sbt compiles, too. engine.json is not one: `pio train` reads it."""


class SourceFile(Struct, frozen=True):
    """A file, or a symbolic link."""

    path: str
    """Relative to the engine's directory."""
    mode: str
    """644, 755 or link."""
    sha256: str
    """Of the content; of a link, of its target."""
    size: int = 0
    target: str = ""
    """Of a link."""

    @classmethod
    def link(cls, path: str, target: str) -> SourceFile:
        """Return a symbolic link."""
        return cls(path, "link", hashlib.sha256(target.encode()).hexdigest(), target=target)

    def __str__(self) -> str:
        """Return its line in the note of a push."""
        return f"{self.sha256} {self.mode} {self.path}"


class EngineSources(Struct, frozen=True):
    """The sources of an engine, as they are now."""

    directory: Path
    files: tuple[SourceFile, ...]
    commit: str = ""
    uncommitted: bool = False
    untracked: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all paths, modes and contents."""
        return _digest(self.files)

    @property
    def build_digest(self) -> str:
        """The same of the files that a build reads."""
        return _digest(file for file in self.files if _BUILD_INPUT.fullmatch(file.path))

    @property
    def version(self) -> str:
        """The commit as people read it; empty: there is none."""
        return f"{self.commit[:12]}{', with uncommitted changes' if self.uncommitted else ''}" if self.commit else ""


def _digest(files: Iterable[SourceFile]) -> str:
    return hashlib.sha256("".join(f"{file}\n" for file in files).encode()).hexdigest()


def needs_no_build(config: Config) -> bool:
    """Return whether the engine is one in Python."""
    return any(word.split("=")[0] == "--main-py-file" for word in config.train.pio_arguments)


def read_sources(config: Config, directory: Path) -> EngineSources:
    """Read the sources of an engine.

    Raises:
        ConfigError: it is no engine's directory; or a file is too large, unreadable, or no file; or a link leads out.
    """
    directory = directory.resolve()
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        raise ConfigError(f"the engine's directory {directory} {what}", next_step=_WHICH)
    try:
        listing = list_sources(directory)
        _check_names(directory, listing.paths, [*([] if needs_no_build(config) else ["build.sbt"]), "engine.json"])
        files = tuple(_read(config, directory, path) for path in listing.paths)
    except OSError as error:
        raise ConfigError(
            f"cannot read {error.filename or directory}",
            cause=error.strerror or str(error),
            next_step="check its owner and permissions: ls -l; or name it in .gitignore",
        ) from error
    return EngineSources(directory, files, listing.commit, listing.uncommitted, listing.untracked)


def check_source(config: Config) -> None:
    """Find mistakes in the sources that pio-tf.hcl names, before machines start. Raise as :func:`read_sources` does."""
    if config.pio.engine.source is not None:
        read_sources(config, config.pio.engine.source)


_WHICH = "give the directory with the engine's build.sbt and engine.json: pio-tf engine push DIR, or pio.engine.source"


def _check_names(directory: Path, paths: Iterable[str], wanted: Iterable[str]) -> None:
    known = set(paths)
    for name in wanted:
        if name in known:
            continue
        if (directory / name).exists():
            raise ConfigError(
                f"{name} in {directory} would not be pushed",
                cause="git does not track it, or .gitignore names it",
                next_step=f"git -C {directory} add --force {name}",
            )
        raise ConfigError(f"{directory} has no {name}: it is not an engine's directory", next_step=_WHICH)
    for path in known:
        if not path.isprintable():
            raise ConfigError(
                f"the name of {path!r} in {directory} has characters that cannot be printed",
                cause="the name must be one line of UTF-8",
                next_step="rename the file, or name it in .gitignore",
            )


def _read(config: Config, directory: Path, path: str) -> SourceFile:
    file = directory / path
    facts = file.lstat()
    if stat.S_ISLNK(facts.st_mode):
        return _link(directory, path, os.readlink(file))  # noqa: PTH115 - as it is written
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(
            f"{file} is neither a file nor a link", next_step=f"remove it, or write {path} into .gitignore"
        )
    limit = memory_mib(config.pio.engine.max_file)
    if facts.st_size > limit * 1024**2:
        raise ConfigError(
            f"{file} is too large to push: {facts.st_size / 1024**2:,.0f} MiB, more than {limit:,} MiB",
            cause="sources are small: this is most likely a data set or the output of a build",
            next_step=f"write {path} into .gitignore (and `git rm --cached {path}` if git tracks it); or raise "
            f"pio.engine.max_file in {config.where('pio.engine.max_file')}",
            details={"file": str(file), "bytes": facts.st_size, "limit": limit * 1024**2},
        )
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while data := content.read(BLOCK):
            digest.update(data)
    return SourceFile(path, "755" if facts.st_mode & stat.S_IXUSR else "644", digest.hexdigest(), facts.st_size)


def _link(directory: Path, path: str, target: str) -> SourceFile:
    """Return a link that stays within the directory, on the driver, too."""
    inside = os.path.normpath(PurePosixPath(path).parent / target)
    real = os.path.realpath(directory / path)
    if target.startswith("/") or inside.startswith("..") or not Path(real).is_relative_to(directory):
        raise ConfigError(
            f"the link {directory / path} leads out of the engine's directory: to {target}",
            cause="the driver does not have what it leads to",
            next_step=f"replace the link by a copy, make it a relative one, or write {path} into .gitignore",
            details={"link": path, "target": target},
        )
    if not (target + inside).isprintable():
        raise ConfigError(f"the link {directory / path} leads to a name that cannot be printed", next_step="rename it")
    return SourceFile.link(path, target)
