"""A file that is written is whole, or as it was before."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from pio_tf.atomic_write import atomic_writer, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def test_content_and_mode_replace_those_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, "neu ü", mode=0o640)
    assert path.read_bytes() == "neu ü".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_is_private_unless_a_mode_is_given(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"bytes")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic_writer(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
