"""A push: an engine's sources, brought to the driver. Only changed files travel.

Files arrive in a stage beside the old ones. Once all of them are there with the right checksums, the driver renames
them one by one, whatever happens to the connection. If it loses its power meanwhile, a mark stays: no training of
pio-tf's takes an engine with it, and the next push completes it.
"""

from __future__ import annotations

import tarfile
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.engine.driver_engine import cannot_write, look_at_engine, no_space, program, to_note
from pio_tf.engine.progress import CopyProgress
from pio_tf.engine.sources import BLOCK
from pio_tf.errors import PioTfError
from pio_tf.events import Done, Reporter, Step, Warned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pio_tf.config.schema import Config
    from pio_tf.engine.driver_engine import DriverEngine, PushNote
    from pio_tf.engine.sources import EngineSources, SourceFile
    from pio_tf.remote.ssh import ClusterConnection

_SPARE = 64 * 1024**2
"""Bytes that a push leaves free on the driver."""
_NAMED = 5
"""Files that a warning names."""


class PushPlan(Struct, frozen=True):
    """The difference between an engine's sources and the driver's."""

    changed: tuple[SourceFile, ...]
    """Files to write."""
    removed: tuple[str, ...]
    """Files of an earlier push that are gone here, to remove."""
    kept: tuple[str, ...]
    """Paths of both kinds that were changed on the driver, not by pio-tf: that version is kept beside the engine."""
    noted: bool = True
    """Whether the driver's note of the push is right."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changed and not self.removed and self.noted


class PushedEngine(Struct, frozen=True):
    """The result of a push, or of a dry run."""

    path: str
    """The engine's canonical path on the driver."""
    sources: EngineSources
    plan: PushPlan


def plan_push(sources: EngineSources, engine: DriverEngine) -> PushPlan:
    """Compare the sources with the driver's.

    Raises:
        PioTfError: a directory on the driver is in the way of a file.
    """
    wanted = {file.path: file for file in sources.files}
    known: dict[str, set[str]] = {}
    for note in engine.notes:
        for path, file in note.files.items():
            known.setdefault(path, set()).add(file.sha256)
    emptied = {parent for path in known if path not in wanted for parent in map(str, PurePosixPath(path).parents)}
    if in_the_way := sorted(engine.others & set(wanted) - emptied):
        raise PioTfError(
            f"{engine.path}/{in_the_way[0]} on the driver is in the way: it is not a file",
            cause="pio-tf removes nothing that it has not pushed",
            next_step=f"look at it, and remove it there (pio-tf ssh); or remove {in_the_way[0]} from the sources",
        )
    there = engine.files
    changed = tuple(
        file
        for path, file in wanted.items()
        if path not in there or (there[path].sha256, there[path].mode) != (file.sha256, file.mode)
    )
    gone = sorted(path for path in known if path in there and path not in wanted)
    replaced = [file.path for file in changed if file.path in there and there[file.path].sha256 != file.sha256]
    kept = tuple(path for path in (*replaced, *gone) if there[path].sha256 not in known.get(path, ()))
    noted = not engine.is_half and bool(engine.notes) and _is_noted(engine.notes[0], sources)
    return PushPlan(changed, tuple(gone), kept, noted)


def _facts(sources: EngineSources) -> dict[str, object]:
    return {
        "version": 1,
        "commit": sources.commit,
        "uncommitted": sources.uncommitted,
        "digest": sources.digest,
        "inputs": sources.build_digest,
    }


def _is_noted(note: PushNote, sources: EngineSources) -> bool:
    return all(note.facts.get(name) == value for name, value in _facts(sources).items())


async def look_and_plan(remote: ClusterConnection, config: Config, sources: EngineSources) -> PushedEngine:
    """Return what :func:`push_engine` would do. Change nothing."""
    engine = await look_at_engine(remote, config, [file.path for file in sources.files])
    return PushedEngine(engine.path, sources, plan_push(sources, engine))


async def push_engine(
    remote: ClusterConnection, config: Config, sources: EngineSources, *, by: str, reporter: Reporter
) -> PushedEngine:
    """Bring the sources to the driver. The caller holds the driver's lock.

    Args:
        by: this client.

    Raises:
        RemoteError: the connection was lost, or the driver has no space or may not write there. The engine there is as
            it was.
    """
    reporter(Step(f"Pushing the engine {sources.directory.name} to {config.pio.engine_dir}"))
    engine = await look_at_engine(remote, config, [file.path for file in sources.files])
    plan = plan_push(sources, engine)
    if sources.untracked:
        more = f", … ({len(sources.untracked)})" if len(sources.untracked) > _NAMED else ""
        reporter(
            Warned(
                f"not pushed, because git does not track it: {', '.join(sources.untracked[:_NAMED])}{more}\n"
                "`git add` what belongs to the engine; name the rest in .gitignore"
            )
        )
    if plan.is_empty:
        reporter(Done("the driver has the engine's sources"))
        return PushedEngine(engine.path, sources, plan)
    size = sum(file.size for file in plan.changed)
    if size + _SPARE > engine.free_kib * 1024:
        raise no_space(config, needed=size + _SPARE, free=engine.free_kib * 1024, what="the engine's sources")
    at = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    note = to_note({**_facts(sources), "at": at, "by": by}, sources.files)
    progress = CopyProgress(remote.driver.name, reporter, total=size)
    content = _archive(sources, plan, note, progress)
    done = await remote.transfer(remote.driver.name, program(config, "put"), content=content)
    if done.exit_status != 0:
        raise cannot_write(config, done, remote)
    if plan.kept:
        reporter(
            Warned(
                f"changed on the driver, and not by pio-tf: {', '.join(plan.kept[:_NAMED])}; "
                f"these versions are kept in {engine.path}/.pio-tf/kept"
            )
        )
    reporter(Done(_summary(plan, size)))
    return PushedEngine(engine.path, sources, plan)


def _summary(plan: PushPlan, size: int) -> str:
    parts = [f"pushed {len(plan.changed)} file{'s' * (len(plan.changed) != 1)} ({size / 1e6:.1f} MB)"]
    if plan.removed:
        parts.append(f"removed {len(plan.removed)} that are gone here")
    return ", ".join(parts)


def _archive(sources: EngineSources, plan: PushPlan, note: str, progress: CopyProgress) -> Iterator[bytes]:
    """Yield a tar archive of what the driver's ``put`` reads."""
    gone = [path for path in plan.removed if path not in plan.kept]
    lists: Mapping[str, Iterable[object]] = {
        "keep": plan.kept,
        "removed": gone,
        "sums": [f"{file.sha256}  {file.path}" for file in plan.changed if file.mode != "link"],
    }
    texts = {name: "".join(f"{line}\n" for line in lines) for name, lines in lists.items()}
    for name, text in {**texts, "pushed": note, "inputs": f"{sources.build_digest}\n"}.items():
        yield from _member(tarfile.TarInfo(name), text.encode())
    for file in plan.changed:
        entry = tarfile.TarInfo(f"files/{file.path}")
        if file.mode == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, file.target
            yield _header(entry)
            continue
        entry.size, entry.mode = file.size, int(file.mode, 8)
        yield _header(entry)
        yield from _content(sources, file, progress)
    yield from _member(tarfile.TarInfo("complete"), b"")
    yield b"\0" * 2 * tarfile.BLOCKSIZE


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _member(entry: tarfile.TarInfo, data: bytes) -> Iterator[bytes]:
    entry.size = len(data)
    yield _header(entry)
    yield data + _padding(entry.size)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def _content(sources: EngineSources, file: SourceFile, progress: CopyProgress) -> Iterator[bytes]:
    left = file.size
    try:
        with (sources.directory / file.path).open("rb") as source:
            while left and (data := source.read(min(BLOCK, left))):
                left -= len(data)
                progress.add(len(data))
                yield data
            grown = bool(source.read(1))
    except OSError as error:
        raise _changed(sources, file) from error
    if left or grown:
        raise _changed(sources, file)
    yield _padding(file.size)


def _changed(sources: EngineSources, file: SourceFile) -> PioTfError:
    return PioTfError(
        f"{sources.directory / file.path} changed while it was pushed",
        cause="it was read twice: for its checksum, and to copy it",
        next_step="try again once nothing writes there; the engine on the driver is as it was",
    )
