"""Writes generated files into a directory that may hold others: only what differs, and never over somebody else's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MANIFEST = ".pio-tf-files"
"""Names, in the directory, the files that pio-tf wrote into it."""
_MANIFEST_HEADER = "# Files that pio-tf writes, and removes when it no longer needs them.\n"


def write_files(
    directory: Path,
    files: Mapping[str, str],
    *,
    named: str,
    what: str = "the stack",
    instead: str = "another terraform.directory",
) -> None:
    """Make the generated files in ``directory`` exactly ``files`` (relative path to text). Each is written at once.

    Args:
        directory: made if it is not there.
        files: relative paths with forward slashes, and their text.
        named: what says that it is this directory, for an error.
        what: what the files are.
        instead: what to choose where this directory will not do.

    Raises:
        ConfigError: a file is in the way that pio-tf did not write, or the directory cannot be written.
    """
    try:
        before = _read_manifest(directory)
        foreign = [name for name in files if name not in before and _differs(directory / name, files[name])]
        if foreign:
            raise ConfigError(
                f"{named}: {directory} holds files that pio-tf did not write: {', '.join(foreign)}",
                cause=f"{what} has files of these names, and would overwrite them",
                next_step=f"choose {instead}, or move those files away",
            )
        directory.mkdir(parents=True, exist_ok=True)
        # First all names, old and new: whatever is written before an interruption is known as ours.
        _write(directory / MANIFEST, _manifest({*before, *files}))
        for name, text in files.items():
            _write(directory / name, text)
        for name in before - files.keys():
            _remove(directory, name)
        _write(directory / MANIFEST, _manifest(files))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{named}: cannot write {what} into {directory}",
            cause=str(error),
            next_step=f"make the directory writable, or choose {instead}",
        ) from error


def _manifest(names: Iterable[str]) -> str:
    return _MANIFEST_HEADER + "".join(f"{name}\n" for name in sorted(names))


def _read_manifest(directory: Path) -> set[str]:
    path = directory / MANIFEST
    if not path.is_file():
        return set()
    names = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {name for name in names if name and not name.startswith("#") and _is_inside(name)}


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _differs(path: Path, text: str) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != text.encode())


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_bytes() == text.encode():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text, mode=0o644)


def _remove(directory: Path, name: str) -> None:
    path = directory / name
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == directory or any(parent.iterdir()):
            break
        parent.rmdir()
