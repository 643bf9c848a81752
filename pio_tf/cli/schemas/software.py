"""The JSON of what machines carry: the driver's files, software, and the mirror that it comes from."""

from __future__ import annotations

from typing import Annotated, TypedDict

from pio_tf.cli.schemas.common import Version


class FileData(TypedDict):
    """A file for the driver."""

    name: str
    path: str
    content: Annotated[str, "with stars in place of passwords"]


class FilesResult(TypedDict):
    """The files that pio-tf writes to the driver."""

    version: Version
    files: list[FileData]


class PutData(TypedDict):
    """What became of a file."""

    name: str
    path: str
    changed: Annotated[bool, "whether it was written; else it was right already"]
    kept: Annotated[str | None, "where a file of somebody else's was put aside"]


class PushResult(TypedDict):
    """The files on the driver."""

    version: Version
    files: list[PutData]


class PreparedData(TypedDict):
    """A machine that is as pio-tf.hcl asks for."""

    name: str
    versions: Annotated[dict[str, str], "what is in use there: `spark`, `java`, `hadoop`, `hbase`, `pio`, …"]


class ProvisionResult(TypedDict):
    """The machines that were provisioned."""

    version: Version
    machines: list[PreparedData]


class FetchedData(TypedDict):
    """An archive in the mirror's directory."""

    name: str
    version: str
    path: str
    sha512: str
    fetched: Annotated[bool, "false: it was there already"]
    pin: Annotated[str | None, "the option of pio-tf.hcl that pins it; null: it is pinned"]


class FetchResult(TypedDict):
    """The mirror's directory."""

    version: Version
    files: list[FetchedData]


class PushedData(TypedDict):
    """An archive in the bucket."""

    name: str
    version: str
    url: str
    pushed: Annotated[bool, "false: it was there already"]


class MirrorPushResult(TypedDict):
    """The mirror's bucket."""

    version: Version
    files: list[PushedData]
