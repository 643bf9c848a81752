"""The note of the power before an apply: it exists only while it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.cluster.apply_guard import PowerBefore, PowerNote

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = PowerBefore(frozenset({"i-1", "i-2"}), frozenset({"i-1"}))


def test_a_note_stays_until_it_is_removed(tmp_path: Path) -> None:
    note = PowerNote(tmp_path / "there" / "power.json")
    assert note.left() is None
    note.save(BEFORE)
    assert note.left() == PowerBefore(BEFORE.known, BEFORE.on, of_another=True)
    note.remove()
    assert note.left() is None
    assert list((tmp_path / "there").iterdir()) == []


def test_without_a_note_removing_it_needs_no_writable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    PowerNote(tmp_path / "file" / "power.json").remove()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"known": 7, "awake": []}', '{"known": []}', "\ud800"])
def test_a_broken_note_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "power.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert PowerNote(path).left() is None
