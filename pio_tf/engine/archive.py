"""Archives of an engine: its directory with sources and build, and sbt's caches, for a driver without internet."""

from __future__ import annotations

import hashlib
import json
import shlex
import tarfile
from datetime import datetime, timezone
from functools import cache
from importlib import resources
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import asdict

from pio_tf.engine.driver_engine import PushNote, cannot_write, no_space, program
from pio_tf.engine.progress import CopyProgress
from pio_tf.engine.sources import BLOCK
from pio_tf.errors import ConfigError, NotReady, RemoteError
from pio_tf.events import Done, Reporter, Step, Warned
from pio_tf.json_text import parse_json
from pio_tf.remote.bash import shell_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.remote.ssh import ClusterConnection

_SURVEY_SECONDS = 600.0
"""A cache of sbt has tens of thousands of files."""
_DESCRIPTION = "pio-tf-engine.json"
_SPARE = 64 * 1024**2
"""Bytes that a restore leaves free on the driver."""


class ArchivedEngine(Struct, frozen=True):
    """The description in an archive."""

    engine_dir: str
    """The canonical path of the engine's directory on the driver that it is of."""
    home: str
    """The home directory of the user there."""
    saved: str
    """ISO 8601, UTC."""
    parts: Mapping[str, int]
    """``engine``, ``home/.ivy2/cache``, …: each with its size in bytes."""
    push: Mapping[str, Any] = field(default_factory=dict)
    """The facts of the last push; empty: pio-tf has not pushed it."""

    @property
    def commit(self) -> str:
        """The commit of its sources; empty: unknown."""
        return str(self.push.get("commit", ""))

    @property
    def caches(self) -> tuple[str, ...]:
        """The names of its parts besides the engine."""
        return tuple(name for name in self.parts if name != "engine")


class _Survey(Struct, frozen=True):
    """A driver, before it is saved or restored."""

    path: str
    home: str
    rooms: Mapping[str, tuple[int, str]]
    """Free bytes, and the mount point, for the engine and for the home."""
    parts: Mapping[str, int]
    is_half: bool
    push: Mapping[str, Any]


@cache
def _text() -> str:
    return resources.files(__package__).joinpath("archive.sh").read_text(encoding="utf-8")


def _program(config: Config, call: str) -> str:
    return program(config, f"pio={shell_path(config.pio.home)}\n{_text()}\n{call}")


async def _survey(remote: ClusterConnection, config: Config) -> _Survey:
    done = await remote.run(remote.driver.name, _program(config, "survey"), timeout=_SURVEY_SECONDS)
    if done.exit_status != 0:
        raise cannot_write(config, done, remote)
    lines = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    words = dict(lines)
    sized = [rest.rpartition(" ")[::2] for word, rest in lines if word == "part"]
    rooms = {}
    for name in ("engine", "home"):
        free, _, mount = words[f"room_{name}"].strip().partition(" ")
        rooms[name] = (int(free) * 1024, mount.strip())
    note = PushNote.parse(words["pushed"]).facts if "pushed" in words else {}
    parts = {name: int(kib) * 1024 for name, kib in sorted(sized, key=lambda part: part[0] != "engine")}
    return _Survey(words["path"], words["home"], rooms, parts, "half" in words, note)


async def save_engine(
    remote: ClusterConnection, config: Config, target: IO[bytes], *, reporter: Reporter
) -> tuple[ArchivedEngine, str]:
    """Write an archive of the driver's engine to a file. Return its description and SHA-512.

    The caller holds the driver's lock: a build would change what is read.

    Raises:
        NotReady: the driver has no engine, or half of one.
        RemoteError: the connection was lost, or the driver could not read a file.
    """
    reporter(Step(f"Saving the engine in {config.pio.engine_dir}", "minutes, by the size of sbt's caches"))
    found = await _survey(remote, config)
    if "engine" not in found.parts or found.is_half:
        what = "is half of two versions: a push or a restore was interrupted" if found.is_half else "has no files"
        raise NotReady(f"the engine in {found.path} on the driver {what}", next_step="pio-tf engine push DIR --build")
    saved = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    facts = ArchivedEngine(found.path, found.home, saved, found.parts, found.push)
    digest = hashlib.sha512()
    progress = CopyProgress(remote.driver.name, reporter)

    def on_data(data: bytes) -> None:
        digest.update(data)
        target.write(data)
        progress.add(len(data))

    call = f"pack {shlex.join(facts.caches)}"
    description = json.dumps({"version": 1, **asdict(facts)}).encode()
    done = await remote.transfer(remote.driver.name, _program(config, call), content=[description], on_data=on_data)
    if done.exit_status != 0:
        lines = done.stderr.strip().splitlines()
        raise RemoteError(
            f"could not read the engine in {found.path} on the driver",
            cause=lines[0] if lines else f"exit status {done.exit_status}",
            next_step="check that nothing builds there, and that the SSH user may read all of it; then try again",
            details={"machine": remote.driver.name, "kind": "engine", "output": lines[:20]},
        )
    return facts, digest.hexdigest()


def read_description(path: Path) -> ArchivedEngine:
    """Return the description of an archive.

    Raises:
        ConfigError: it is no archive of pio-tf's.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            entry = archive.next()
            file = archive.extractfile(entry) if entry is not None and entry.name == _DESCRIPTION else None
            facts = parse_json(file.read(1 << 20)) if file is not None else {}
        facts.pop("version")
        return ArchivedEngine(**facts)
    except (OSError, EOFError, tarfile.TarError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is not an archive of an engine", next_step="give one that `pio-tf engine save` has written"
        ) from error


async def restore_engine(
    remote: ClusterConnection, config: Config, path: Path, *, replace: bool, reporter: Reporter
) -> ArchivedEngine:
    """Bring an archive to the driver. The caller holds the driver's lock, and has checked the archive's checksum.

    Args:
        replace: put it in the place of an engine that is there, which is kept in ``.pio-tf/kept``.

    Raises:
        ConfigError: it is of another path, or no archive of an engine's.
        NotReady: the driver has an engine already.
        RemoteError: the connection was lost, or the driver has no space or may not write there. The engine there is as
            it was.
    """
    facts, size = read_description(path), path.stat().st_size
    found = await _survey(remote, config)
    if facts.engine_dir != found.path:
        raise ConfigError(
            f"{path.name} is of the engine in {facts.engine_dir}, not of {found.path}",
            cause="PredictionIO derives the engine's version from the path: it must be that of the prediction server",
            next_step=f'set engine_dir = "{facts.engine_dir}" in {config.where("pio.engine_dir")}; or push and build '
            "the engine's sources: pio-tf engine push DIR --build",
            details={"saved": facts.engine_dir, "path": found.path},
        )
    if "engine" in found.parts and not replace:
        raise NotReady(
            f"the driver has an engine in {found.path} already",
            next_step="`pio-tf engine restore ARCHIVE --replace` takes the archive's instead; the old one is kept in "
            ".pio-tf/kept there",
        )
    _check_room(config, facts, found)
    if facts.home != found.home and facts.caches:
        reporter(Warned(f"the caches are of {facts.home}, and come to {found.home}: the next build may take longer"))
    reporter(Step(f"Restoring the engine in {found.path}", "minutes, by the size of sbt's caches"))
    progress = CopyProgress(remote.driver.name, reporter, total=size)
    done = await remote.transfer(remote.driver.name, _program(config, "unpack"), content=_blocks(path, progress))
    if done.exit_status != 0:
        raise cannot_write(config, done, remote)
    reporter(Done(f"restored the engine in {found.path}, as it was saved at {facts.saved}"))
    return facts


def _check_room(config: Config, facts: ArchivedEngine, found: _Survey) -> None:
    """Refuse a driver without space: caches are unpacked beside the engine, and then copied to the home."""
    caches = sum(facts.parts[name] for name in facts.caches)
    needed = {"engine": sum(facts.parts.values()) + _SPARE, "home": caches}
    if found.rooms["engine"][1] == found.rooms["home"][1]:
        needed["engine"] += caches
    for name, size in needed.items():
        free, mount = found.rooms[name]
        if size > free:
            raise no_space(config, needed=size, free=free, what=f"the engine and its caches in {mount}")


def _blocks(path: Path, progress: CopyProgress) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(BLOCK):
            progress.add(len(data))
            yield data
