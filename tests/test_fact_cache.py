"""What is kept between two commands: it is found again by its key only, and nothing can be wrong with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pio_tf.fact_cache import FactCache, file_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = ["1.2", 7]


@pytest.fixture
def cache(tmp_path: Path) -> FactCache:
    return FactCache(tmp_path / "cache" / "pio-tf")


def test_a_value_is_found_by_its_key_only(cache: FactCache) -> None:
    assert cache.read("x", key=KEY) is None
    cache.write("x", {"a": [1]}, key=KEY)
    assert cache.read("x", key=KEY) == {"a": [1]}
    assert cache.read("x", key=["1.3", 7]) is None
    assert cache.read("y", key=KEY) is None


def test_only_this_user_can_read_it(cache: FactCache, tmp_path: Path) -> None:
    cache.write("x", 1, key=KEY)
    directory = tmp_path / "cache" / "pio-tf"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (directory, *directory.iterdir())}
    assert modes == {"pio-tf": 0o700, "x.json": 0o600}


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"key": ["1.2", 7]}', "\udc80", "[" * 100_000])
def test_a_damaged_file_is_no_value_and_is_replaced(cache: FactCache, tmp_path: Path, text: str) -> None:
    cache.write("x", 1, key=KEY)
    (tmp_path / "cache" / "pio-tf" / "x.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert cache.read("x", key=KEY) is None
    cache.write("x", 2, key=KEY)
    assert cache.read("x", key=KEY) == 2


def test_a_file_in_place_of_the_directory_keeps_nothing_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    cache = FactCache(tmp_path / "cache" / "pio-tf")
    cache.write("x", 1, key=KEY)
    assert cache.read("x", key=KEY) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_no_value(cache: FactCache, tmp_path: Path) -> None:
    cache.write("x", 1, key=KEY)
    os.chown(tmp_path / "cache" / "pio-tf" / "x.json", 12345, -1)
    assert cache.read("x", key=KEY) is None


def test_without_a_directory_nothing_is_kept() -> None:
    FactCache(None).write("x", 1, key=KEY)
    assert FactCache(None).read("x", key=KEY) is None


def test_a_replaced_file_has_another_key(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("1")
    keys = [file_key(path)]
    path.write_text("22")
    keys.append(file_key(path))
    os.utime(path, ns=(1, 1))
    keys.append(file_key(path))
    (tmp_path / "link").symlink_to(path)
    assert file_key(tmp_path / "link") == keys[2]
    assert len({str(key) for key in keys}) == 3
