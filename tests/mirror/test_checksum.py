"""Checksums as Apache has published them over the years."""

from __future__ import annotations

import pytest

from pio_tf.mirror import read_published
from tests.support.checksums import HASH, grouped


@pytest.mark.parametrize(
    "text",
    [
        f"{HASH}  spark-2.4.8-bin-hadoop2.7.tgz\n",
        f"{HASH.upper()} *hadoop-2.7.7.tar.gz\n",
        f"{HASH}\n",
        f"SHA512 (hadoop-3.3.1.tar.gz) = {HASH}\n",
        f"spark-2.4.0-bin-hadoop2.7.tgz: {grouped(HASH, 8)}\n",
        f"apache-predictionio-0.14.0-bin.tar.gz: {grouped(HASH, 8)}\n",
    ],
)
def test_a_published_checksum_is_read_whatever_wrote_it(text: str) -> None:
    assert read_published(text) == HASH


def test_of_all_the_algorithms_in_one_file_it_is_sha512_that_counts() -> None:
    name = "hbase-1.2.6-bin.tar.gz"
    mds = f"{name}:    MD5 = {grouped('a' * 32, 2)}\n{name}:   SHA1 = {grouped('b' * 40, 4)}\n"
    mds += f"{name}: SHA256 = {grouped('c' * 64, 8)}\n{name}: SHA384 = {grouped('d' * 96, 8)}\n"
    mds += f"{name}: SHA512 = {grouped(HASH, 8)}\n"
    assert read_published(mds) == HASH


@pytest.mark.parametrize("text", ["", "<html>404</html>", f"{'a' * 64}  short.tgz", f"{HASH[:-1]}  cut.tgz"])
def test_what_is_no_checksum_is_none(text: str) -> None:
    assert read_published(text) is None


def test_two_different_checksums_are_none() -> None:
    assert read_published(f"{HASH}  one.tgz\n{'0' * 128}  other.tgz\n") is None
