"""The engine on the driver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, ResultData, TextOrNone

if TYPE_CHECKING:
    from pio_tf.engine.archive_place import SavedEngine
    from pio_tf.engine.push import PushedEngine


class EngineFileData(ResultData):
    """A file of the engine that differs on the driver."""

    path: str = Field(description="relative to the engine's directory")
    change: Literal["written", "removed"]
    kept: bool = Field(description="whether the driver's own version is kept in `.pio-tf/kept` there")


class EnginePushResult(CommandResult):
    """What a push of the engine changed on the driver, or would change."""

    ROWS = "files"
    COLUMNS: ClassVar[Columns] = {
        "FILE": "path",
        "IS": lambda file: f"{file.change}; the old one is kept" if file.kept else file.change,
    }

    path: str = Field(description="the engine's directory on the driver")
    files: list[EngineFileData]
    dry_run: bool = Field(description="true: nothing was changed")
    commit: TextOrNone = Field(description="of the sources; null: they are in no git repository")
    uncommitted: bool = Field(description="whether tracked files differ from that commit")
    digest: str = Field(description="SHA-256 of the sources")
    untracked: list[str] = Field(description="files that were left out because git does not track them")
    build_log: Path | None = Field(description="log of the build on this computer; null: it was not built")

    @classmethod
    def of(cls, pushed: PushedEngine, log: Path | None, *, dry_run: bool) -> EnginePushResult:
        """Return the result of ``engine push``."""
        plan, sources = pushed.plan, pushed.sources
        changes = [(file.path, "written") for file in plan.changed] + [(path, "removed") for path in plan.removed]
        data = {
            **asdict(sources),
            "path": pushed.path,
            "files": [{"path": path, "change": change, "kept": path in plan.kept} for path, change in changes],
            "dry_run": dry_run,
            "digest": sources.digest,
            "untracked": list(sources.untracked),
            "build_log": log,
        }
        return cls.model_validate(data)

    def closing(self) -> str:
        state = "would be changed" if self.dry_run else "is up to date"
        version = f", commit {self.commit[:12]}" if self.commit else ""
        changes = " with uncommitted changes" if self.uncommitted else ""
        if self.dry_run and not self.files:
            state = "is up to date"
        return f"the engine in {self.path} {state}{version}{changes}"


class EnginePartData(ResultData):
    """A part of an engine's archive."""

    name: str = Field(description="`engine`, or a cache, like `home/.ivy2/cache`")
    bytes: int = Field(description="before it is compressed")


class EngineArchiveResult(CommandResult):
    """An archive of the engine, saved or restored."""

    ROWS = "parts"
    COLUMNS: ClassVar[Columns] = {"PART": "name", "MB": lambda part: f"{part.bytes / 1e6:,.1f}"}

    archive: str = Field(description="path or address")
    sha512: str
    bytes: int = Field(description="size of the archive")
    engine_dir: str = Field(description="the engine's directory on the driver")
    commit: TextOrNone = Field(description="of its sources; null: unknown")
    saved: str = Field(description="ISO 8601: when it was saved")
    restored: bool = Field(description="true: it is on the driver now; false: it was saved")
    parts: list[EnginePartData]

    @classmethod
    def of(cls, saved: SavedEngine, *, restored: bool) -> EngineArchiveResult:
        """Return the result of ``engine save`` and ``engine restore``."""
        engine = saved.engine
        return cls(
            archive=saved.address,
            sha512=saved.sha512,
            bytes=saved.size,
            engine_dir=engine.engine_dir,
            commit=engine.commit,
            saved=engine.saved,
            restored=restored,
            parts=[EnginePartData(name=name, bytes=size) for name, size in engine.parts.items()],
        )

    def closing(self) -> str:
        version = f", commit {self.commit[:12]}" if self.commit else ""
        if self.restored:
            return f"the engine is in {self.engine_dir} as it was saved at {self.saved}{version}"
        return f"the engine in {self.engine_dir}{version} is kept: pio-tf engine restore {self.archive}"
