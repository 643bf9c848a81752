"""Lines out of bytes: blocks of many lines have the same text as one line after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pio_tf.remote.lines import LineSplitter, split_lines
from tests.fuzz.settings import examples

PIECES = st.lists(
    st.lists(
        st.sampled_from([b"\n", b"\n", b"a", b"line", b"\r", b"\r\n", "ö€🙂".encode(), b"\xc3", b"\xf0\x9f", b"\xff"]),
        max_size=8,
    ).map(b"".join),
    max_size=6,
)


def one_by_one(text: bytes, longest: int) -> list[str]:
    """Return the lines by the rule for a single line, and nothing else."""
    *whole, rest = text.split(b"\n")
    lines = []
    for line in [*whole, *([rest] if rest else [])]:
        shown = line[:longest].decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        lines.append(shown + (f" … [{len(line) - longest} bytes more]" if len(line) > longest else ""))
    return lines


@examples(600)
@given(PIECES, st.sampled_from([1, 2, 5, 8, 1000]))
def test_any_pieces_give_the_lines_that_their_bytes_have(pieces: list[bytes], longest: int) -> None:
    in_blocks, in_lines = LineSplitter(longest), LineSplitter(longest)
    text = "".join(map(in_blocks.feed_text, pieces)) + in_blocks.end_text()
    lines = [line for piece in pieces for line in in_lines.feed(piece)] + in_lines.end()
    assert split_lines(text) == lines == one_by_one(b"".join(pieces), longest)


def test_a_long_line_amid_short_ones_is_cut_and_they_are_whole() -> None:
    data = b"one\n" * 50_000 + b"x" * 70_000 + b"\n" + b"two\n" * 50_000
    text = LineSplitter().feed_text(data)
    assert text == "one\n" * 50_000 + "x" * 65_536 + " … [4464 bytes more]\n" + "two\n" * 50_000
