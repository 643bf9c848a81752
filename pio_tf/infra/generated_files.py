"""Generated files in a directory that may hold others: pio-tf writes what differs, and overwrites no foreign file."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MANIFEST = ".pio-tf-files"
"""A list, in the directory, of the files that pio-tf wrote into it."""
_MANIFEST_HEADER = "# Files that pio-tf writes, and removes when it no longer needs them.\n"


def write_files(
    directory: Path,
    files: Mapping[str, str],
    *,
    named: str,
    what: str = "the stack",
    instead: str = "another terraform.directory",
) -> None:
    """Make the generated files in ``directory`` exactly ``files``, each written atomically.

    Args:
        directory: made if necessary.
        files: relative paths with forward slashes, and their text.
        named: the option that names the directory, for errors.
        what: description of the files.
        instead: what to choose if this directory cannot be used.

    Raises:
        ConfigError: pio-tf did not write a file that it would overwrite, or the directory cannot be written.
    """
    try:
        before = read_manifest(directory)
        foreign = [name for name in files if name not in before and _differs(directory / name, files[name])]
        if foreign:
            raise ConfigError(
                f"{named}: {directory} holds files that pio-tf did not write: {', '.join(foreign)}",
                cause=f"{what} has files of these names, and would overwrite them",
                next_step=f"choose {instead}, or move those files away",
            )
        if outside := [name for name in sorted({*before, *files}) if not _is_inside(directory, name)]:
            raise ConfigError(
                f"{named}: {directory} has links that lead out of it: {', '.join(outside)}",
                cause=f"pio-tf would write and remove files of {what} elsewhere",
                next_step=f"remove the links, or choose {instead}",
            )
        directory.mkdir(parents=True, exist_ok=True)
        # Old and new names first: after an interruption every written file is known as pio-tf's.
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


def read_manifest(directory: Path) -> set[str]:
    """Return the relative paths of the files that pio-tf wrote into a directory."""
    path = directory / MANIFEST
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = {line.strip() for line in lines if not line.startswith("#")} - {""}
    return {name for name in names if not name.startswith("/") and ".." not in PurePosixPath(name).parts}


def _is_inside(directory: Path, name: str) -> bool:
    """Return whether the folder of a file lies in the directory, whatever symbolic links are on the way."""
    return (directory / name).parent.resolve().is_relative_to(directory.resolve())


def _differs(path: Path, text: str) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != text.encode())


def _write(path: Path, text: str) -> None:
    if not path.exists() or _differs(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text, mode=0o644)


def _remove(directory: Path, name: str) -> None:
    path = directory / name
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == directory or any(parent.iterdir()):
            break
        parent.rmdir()
