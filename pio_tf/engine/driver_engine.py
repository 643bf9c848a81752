"""The engine's directory on the driver: what it has, and its programs (``engine.sh``)."""

from __future__ import annotations

import json
import re
import shlex
import stat
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.engine.sources import SourceFile
from pio_tf.errors import RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config
    from pio_tf.remote.commands import CompletedCommand
    from pio_tf.remote.ssh import ClusterConnection

_LOOK_SECONDS = 300.0
"""The driver reads every file of the sources that it has."""
_LINE = re.compile(r"([0-9a-f]{64}) (644|755|link) (.+)")
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)", re.DOTALL)


@cache
def text() -> str:
    """Return the text of ``engine.sh``."""
    return resources.files(__package__).joinpath("engine.sh").read_text(encoding="utf-8")


def program(config: Config, call: str) -> str:
    """Return a bash program that calls a function of ``engine.sh``."""
    return f"engine={shell_path(config.pio.engine_dir)}\n{text()}\n{call}"


class PushNote(Struct, frozen=True):
    """The driver's note of a push."""

    facts: Mapping[str, Any]
    """``commit``, ``uncommitted``, ``digest``, ``at``, ``by``."""
    files: Mapping[str, SourceFile]

    @classmethod
    def parse(cls, lines: str) -> PushNote:
        """Read a note; one that is unreadable has no facts and no files."""
        first, _, rest = lines.partition("\n")
        try:
            facts = parse_json(first)
        except ValueError:
            facts = None
        found = (match for line in rest.splitlines() if (match := _LINE.fullmatch(line)))
        files = {match[3]: SourceFile(match[3], match[2], match[1]) for match in found}
        return cls(facts if isinstance(facts, dict) else {}, files)


@dataclass
class DriverEngine:
    """The engine on the driver, as it was looked at."""

    path: str = ""
    """Its canonical path."""
    free_kib: int = 0
    is_half: bool = False
    """Whether a push was interrupted while it put files into place."""
    notes: list[PushNote] = field(default_factory=list)
    """The last push, and one that was interrupted."""
    files: dict[str, SourceFile] = field(default_factory=dict)
    """By path, the files that it has: the paths asked for, and the paths in its notes."""
    others: set[str] = field(default_factory=set)
    """The same paths where it has a directory, or anything that is no file and no link."""


async def look_at_engine(remote: ClusterConnection, config: Config, paths: list[str]) -> DriverEngine:
    """Return what the driver has of these paths, in one round trip.

    Raises:
        RemoteError: the driver is unreachable, or cannot say.
    """
    asked = "".join(f"{path}\n" for path in paths).encode()
    done = await remote.run(remote.driver.name, program(config, "look"), content=asked, timeout=_LOOK_SECONDS)
    if done.exit_status != 0:
        raise cannot_write(config, done, remote)
    found = DriverEngine()
    modes: dict[str, int] = {}
    for item in done.stdout.split("\0"):
        word, _, rest = item.partition(" ")
        if match := _SUM.fullmatch(item):
            if stat.S_ISREG(mode := modes.get(match[2], 0)):
                kind = "755" if mode & stat.S_IXUSR else "644"
                found.files[match[2]] = SourceFile(match[2], kind, match[1])
        elif word == "path":
            found.path = rest
        elif word == "free":
            found.free_kib = int(rest) if rest.strip().isdecimal() else 0
        elif word == "changing":
            found.is_half = True
        elif word == "note":
            found.notes.append(PushNote.parse(rest))
        elif word == "stat":
            raw, _, path = rest.partition(" ")
            modes[path] = int(raw, 16)
            if not stat.S_ISREG(modes[path]) and not stat.S_ISLNK(modes[path]):
                found.others.add(path)
        elif word == "link":
            path, _, target = rest.partition("\n")
            found.files[path] = SourceFile.link(path, target)
    return found


class EngineFacts(Struct, frozen=True):
    """The engine that a run trains, for its record. Empty texts: unknown."""

    commit: str = ""
    uncommitted: bool = False
    """Whether tracked files differed from the commit when it was pushed."""
    digest: str = ""
    """SHA-256 of the sources that were pushed: of all paths, modes and contents."""
    engine_json: str = ""
    """SHA-256 of engine.json, or of the variant that is trained."""
    pushed: str = ""
    """When it was pushed: ISO 8601, UTC; empty: it was not."""
    edited: bool = False
    """Whether files differ on the driver from what was pushed."""
    stale_build: bool = False
    """Whether sources were pushed after the last build."""
    half: bool = False
    """Whether a push or a restore was interrupted while it put files into place."""


async def describe_engine(remote: ClusterConnection, config: Config, variant: str) -> EngineFacts:
    """Return what the driver knows about its engine.

    Args:
        variant: path of engine.json there.

    Raises:
        RemoteError: the driver is unreachable.
    """
    call = f"describe_engine {shell_path(variant)}"
    done = await remote.run(remote.driver.name, program(config, call), timeout=_LOOK_SECONDS)
    words = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    note = PushNote.parse(words["pushed"]).facts if "pushed" in words else {}
    return EngineFacts(
        commit=str(note.get("commit", words.get("commit", ""))),
        uncommitted=bool(note.get("uncommitted", "uncommitted" in words)),
        digest=str(note.get("digest", "")),
        engine_json=words.get("engine_json", ""),
        pushed=str(note.get("at", "")),
        edited="edited" in words,
        stale_build="stale" in words,
        half="half" in words,
    )


async def note_build(remote: ClusterConnection, config: Config) -> None:
    """Note on the driver that the engine was built."""
    await remote.run(remote.driver.name, program(config, "built"))


def cannot_write(config: Config, done: CompletedCommand, remote: ClusterConnection) -> RemoteError:
    """Return the error for a program of ``engine.sh`` that has failed."""
    lines = done.stderr.strip().splitlines()
    path, user = config.pio.engine_dir, config.ssh.user
    quoted = path if path.startswith("~/") else shlex.quote(path)
    return RemoteError(
        f"cannot write the engine in {path} on {remote.driver.name}",
        cause=lines[0] if lines else f"exit status {done.exit_status}",
        next_step=f"on {remote.driver.name}, check the disk (df -h), and let {user} write there: "
        f"sudo mkdir -p {quoted} && sudo chown {user} {quoted}; then try again",
        details={"machine": remote.driver.name, "path": path, "kind": "engine", "output": lines[:20]},
    )


def no_space(config: Config, *, needed: int, free: int, what: str) -> RemoteError:
    """Return the error for a driver without space; ``needed`` and ``free`` are in bytes."""
    mib = 1024**2
    return RemoteError(
        f"the driver has no space for {what}: {-(-needed // mib):,} MiB needed, {free // mib:,} MiB free",
        cause=f"that is the file system of {config.pio.engine_dir}; nothing was changed",
        next_step="free space there (pio-tf ssh; du -xh --max-depth=2 ~ | sort -h), or enlarge driver.root_volume_gib",
        details={"needed": needed, "free": free, "kind": "no-space"},
    )


def to_note(facts: Mapping[str, object], files: tuple[SourceFile, ...]) -> str:
    """Return the text of a note."""
    return json.dumps(facts) + "\n" + "".join(f"{file}\n" for file in files)
