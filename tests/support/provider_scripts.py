"""A mirror of providers for Terraform whose files are scripts that start the providers of another mirror.

Each run of Terraform compares the hash of every provider with the lock file. For 170 MB that takes 0.14 s of CPU, more
than the rest of `terraform output`.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def install_scripts(directory: Path, *, released: Path) -> Path:
    """Lay out the mirror in ``directory``, and return its CLI configuration file.

    Args:
        released: the CLI configuration file of the mirror with the providers.
    """
    mirror = released.parent
    for path in mirror.rglob("*"):
        copy = directory / path.relative_to(mirror)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() and not copy.is_symlink():
            copy.symlink_to(path.readlink())
        elif path.name.startswith("terraform-provider-") and path.is_file():
            _write(copy, f'#!/bin/sh\nexec {shlex.quote(str(path))} "$@"\n', mode=0o755)
    configuration = directory / released.name
    _write(configuration, released.read_text(encoding="utf-8").replace(str(mirror), str(directory)), mode=0o600)
    return configuration


def _write(path: Path, text: str, *, mode: int) -> None:
    """Write a file unless it is so already: Terraform may be reading it."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text, mode=mode)
