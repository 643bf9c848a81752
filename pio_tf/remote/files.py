"""Files for machines, each written in one step. Versions that others wrote are kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources

from msgspec import Struct

from pio_tf.remote.bash import shell_path


@dataclass(frozen=True)
class RemoteFile:
    """A file on a machine: ``path`` is absolute or begins with ``~/``; ``content`` is written as UTF-8."""

    name: str
    path: str
    content: str = field(repr=False)  # may hold passwords
    mode: int = 0o644


class ProvisionedFile(Struct, frozen=True):
    """The result of writing a file."""

    name: str
    path: str
    changed: bool
    """True if pio-tf wrote it. If not, its content and mode were right already."""
    kept: str = ""
    """The path on the machine of the version that pio-tf had not written; empty: there was none."""


def write_program(file: RemoteFile) -> str:
    """Return a bash program that writes its standard input to a file: ``put_file.sh``, which says how."""
    checksum = hashlib.sha256(file.content.encode()).hexdigest()
    text = resources.files(__package__).joinpath("put_file.sh").read_text(encoding="utf-8")
    return f"path={shell_path(file.path)}\nchecksum={checksum}\nmode={file.mode:o}\n{text}"


def read_answer(file: RemoteFile, stdout: str) -> ProvisionedFile:
    """Return the result that a successful :func:`write_program` printed."""
    word, _, kept = stdout.strip().partition("\n")
    return ProvisionedFile(file.name, file.path, changed=word == "changed", kept=kept)
