"""The driver's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.cli.output import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cli.schemas.software import FileData, FilesResult, PushResult, PutData
    from pio_tf.pio.files import RemoteFile
    from pio_tf.remote.files import ProvisionedFile


def file_rows(files: Sequence[RemoteFile]) -> Rows:
    """``pio-tf config show``, for programs."""
    shown: list[FileData] = [{"name": one.name, "path": one.path, "content": one.content} for one in files]
    data: FilesResult = {"version": 1, "files": shown}
    return Rows((), (), data)


def put_rows(files: Sequence[ProvisionedFile]) -> Rows:
    """``pio-tf config push``."""
    put: list[PutData] = [
        {"name": one.name, "path": one.path, "changed": one.changed, "kept": one.kept or None} for one in files
    ]
    data: PushResult = {"version": 1, "files": put}
    return Rows(
        columns=("FILE", "IS", "PATH"),
        rows=tuple((one.name, "written" if one.changed else "as it was", one.path) for one in files),
        data=data,
    )
