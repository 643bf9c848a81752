"""The software of the machines: the driver's files, what is installed, and the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, ResultData, TextOrNone

if TYPE_CHECKING:
    from pio_tf.mirror import Fetched, Listed, Pushed
    from pio_tf.training.provisioning import ProvisionedMachine


class FileData(ResultData):
    """A file for the driver."""

    name: str
    path: str
    content: str = Field(description="with stars in place of passwords")


class FilesResult(CommandResult):
    """The files that pio-tf writes to the driver."""

    files: list[FileData]


class PutData(ResultData):
    """A file on the driver."""

    name: str
    path: str
    changed: bool = Field(description="true: it was written; false: it was up to date")
    kept: TextOrNone = Field(description="where a file that pio-tf had not written was moved to")


class PushResult(CommandResult):
    """The files on the driver."""

    ROWS = "files"
    COLUMNS: ClassVar[Columns] = {
        "FILE": "name",
        "IS": lambda file: "written" if file.changed else "as it was",
        "PATH": "path",
    }

    files: list[PutData]


class PreparedData(ResultData):
    """A machine that has the software of pio-tf.hcl."""

    name: str
    versions: dict[str, str] = Field(description="versions in use: of `spark`, `java`, `hadoop`, `hbase`, `pio`, …")


class ProvisionResult(CommandResult):
    """The machines that were provisioned."""

    ROWS = "machines"
    COLUMNS: ClassVar[Columns] = {
        "MACHINE": "name",
        "HAS": lambda one: ", ".join(" ".join(item) for item in one.versions.items()),
    }

    machines: list[PreparedData]

    @classmethod
    def of(cls, machines: Sequence[ProvisionedMachine]) -> ProvisionResult:
        """Return the result of ``provision``."""
        return cls(machines=[PreparedData(name=one.machine, versions=dict(one.versions)) for one in machines])


class ListedData(ResultData):
    """An archive that machines install."""

    name: str
    version: str
    url: str
    size: int | None = Field(description="bytes; null: its source does not say")
    sha512: TextOrNone = Field(description="null: only a SHA-256 is published")
    sha256: TextOrNone = Field(description="null: its SHA-512 is known")


class MirrorListResult(CommandResult):
    """What the machines install."""

    ROWS = "files"
    COLUMNS: ClassVar[Columns] = {
        "NAME": "name",
        "VERSION": "version",
        "MB": lambda one: "" if one.size is None else f"{one.size / 1e6:.1f}",
        "ADDRESS": "url",
        "CHECKSUM": lambda one: f"sha512:{one.sha512}" if one.sha512 else f"sha256:{one.sha256}",
    }

    files: list[ListedData]

    @classmethod
    def of(cls, files: Sequence[Listed]) -> MirrorListResult:
        """Return the result of ``mirror list``."""
        data = [{**asdict(one.component), **asdict(one), "sha512": one.sha512, "sha256": one.sha256} for one in files]
        return cls.model_validate({"files": data})


class FetchedData(ResultData):
    """An archive in the mirror's directory."""

    name: str
    version: str
    path: Path
    sha512: str
    fetched: bool = Field(description="false: it was there already")
    pin: TextOrNone = Field(description="the option of pio-tf.hcl that pins it; null: it is pinned")


class FetchResult(CommandResult):
    """The mirror's directory."""

    ROWS = "files"
    COLUMNS: ClassVar[Columns] = {
        "NAME": "name",
        "VERSION": "version",
        "IS": lambda file: "fetched" if file.fetched else "there",
        "PATH": "path",
    }

    files: list[FetchedData]

    @classmethod
    def of(cls, files: Sequence[Fetched]) -> FetchResult:
        """Return the result of ``mirror fetch``."""
        data = [
            {**asdict(one.component), **asdict(one), "fetched": one.status == "fetched", "pin": one.option}
            for one in files
        ]
        return cls.model_validate({"files": data})

    def closing(self) -> str:
        return _pins(self.files)


def _pins(files: Sequence[FetchedData | PushedData]) -> str:
    """Return the lines of pio-tf.hcl that pin the checksums which machines would ask Apache for."""
    pins = [f'{one.pin} = "{one.sha512}"' for one in files if one.pin]
    return "\n".join(["pin these checksums, so that the machines need not ask Apache for them:", *pins]) if pins else ""


class PushedData(ResultData):
    """An archive in the bucket."""

    name: str
    version: str
    url: str
    sha512: str
    pushed: bool = Field(description="false: it was there already")
    pin: TextOrNone = Field(description="the option of pio-tf.hcl that pins it; null: it is pinned")


class MirrorPushResult(CommandResult):
    """The mirror's bucket."""

    ROWS = "files"
    COLUMNS: ClassVar[Columns] = {
        "NAME": "name",
        "VERSION": "version",
        "IS": lambda file: "pushed" if file.pushed else "there",
        "URL": "url",
    }

    files: list[PushedData]
    mirror: str = Field(exclude=True)
    is_named: bool = Field(exclude=True)

    @classmethod
    def of(cls, url: str, files: Sequence[Pushed], *, is_named: bool) -> MirrorPushResult:
        """Return the result of ``mirror push``.

        Args:
            is_named: True if pio-tf.hcl has this mirror already.
        """
        data = [
            {**asdict(one.component), **asdict(one), "pushed": one.status == "pushed", "pin": one.option}
            for one in files
        ]
        return cls.model_validate({"mirror": url.rstrip("/"), "files": data, "is_named": is_named})

    def closing(self) -> str:
        named = "" if self.is_named else f'in pio-tf.hcl: software {{ mirrors = ["{self.mirror}"] }}'
        return "\n".join(filter(None, (named, _pins(self.files))))
