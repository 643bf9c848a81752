"""The software of the machines: the driver's files, what is installed, and the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pio_tf.cli.results.base import CommandResult, ResultData, Table, TextOrNone

if TYPE_CHECKING:
    from pio_tf.mirror.fetch import Fetched
    from pio_tf.mirror.push import Pushed
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

    files: list[PutData]

    def table(self) -> Table:
        rows = [(one.name, "written" if one.changed else "as it was", one.path) for one in self.files]
        return Table(("FILE", "IS", "PATH"), rows)


class PreparedData(ResultData):
    """A machine that has the software of pio-tf.hcl."""

    name: str
    versions: dict[str, str] = Field(description="versions in use: of `spark`, `java`, `hadoop`, `hbase`, `pio`, …")


class ProvisionResult(CommandResult):
    """The machines that were provisioned."""

    machines: list[PreparedData]

    @classmethod
    def of(cls, machines: Sequence[ProvisionedMachine]) -> ProvisionResult:
        """Return the result of ``provision``."""
        return cls(machines=[PreparedData(name=one.machine, versions=dict(one.versions)) for one in machines])

    def table(self) -> Table:
        rows = [
            (one.name, ", ".join(f"{name} {version}" for name, version in one.versions.items()) or "-")
            for one in self.machines
        ]
        return Table(("MACHINE", "HAS"), rows)


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

    files: list[FetchedData]

    @classmethod
    def of(cls, files: Sequence[Fetched]) -> FetchResult:
        """Return the result of ``mirror fetch``."""
        return cls(
            files=[
                FetchedData(
                    name=one.component.name,
                    version=one.component.version,
                    path=one.path,
                    sha512=one.sha512,
                    fetched=one.status == "fetched",
                    pin=one.option,
                )
                for one in files
            ]
        )

    def table(self) -> Table:
        rows = [(one.name, one.version, "fetched" if one.fetched else "there", str(one.path)) for one in self.files]
        return Table(("NAME", "VERSION", "IS", "PATH"), rows)

    def closing(self) -> str:
        pins = [f'{one.pin} = "{one.sha512}"' for one in self.files if one.pin]
        return "\n".join(["pin what Apache has published, so that machines need not ask it:", *pins]) if pins else ""


class PushedData(ResultData):
    """An archive in the bucket."""

    name: str
    version: str
    url: str
    pushed: bool = Field(description="false: it was there already")


class MirrorPushResult(CommandResult):
    """The mirror's bucket."""

    files: list[PushedData]
    mirror: str = Field(exclude=True)

    @classmethod
    def of(cls, url: str, files: Sequence[Pushed]) -> MirrorPushResult:
        """Return the result of ``mirror push``."""
        return cls(
            mirror=url.rstrip("/"),
            files=[
                PushedData(
                    name=one.component.name,
                    version=one.component.version,
                    url=one.url,
                    pushed=one.status == "pushed",
                )
                for one in files
            ],
        )

    def table(self) -> Table:
        rows = [(one.name, one.version, "pushed" if one.pushed else "there", one.url) for one in self.files]
        return Table(("NAME", "VERSION", "IS", "URL"), rows)

    def closing(self) -> str:
        return f'in pio-tf.hcl: software {{ mirrors = ["{self.mirror}"] }}'
