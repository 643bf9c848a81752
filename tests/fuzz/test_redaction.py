"""The driver's program that hides secrets: its one pass over blocks hides what a plain loop over lines does."""

from __future__ import annotations

import random
import re
import socket
import subprocess
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pio_tf.secret_names import SECRET_WORDS
from pio_tf.training.redact import Redactor
from tests.fuzz.settings import examples

SECRETS = ("hunter2", "a b*c", "päß word", "x-", "Zz9")
PLAIN_LOOP = r"""
binmode STDIN; binmode STDOUT; undef $/;
for my $line (split /^/, <STDIN>) {
    $line =~ s/$values/***/g;
    for my $rule (@rules) {
        my ($words, @patterns) = @$rule;
        next unless grep { index(lc $line, $_) >= 0 } @$words;
        $line =~ s/$_/$+{k}***/g for @patterns;
    }
    print $line;
}
"""
"""What the program must do to each line, in the fewest words: no search for all words at once, no blocks."""
PROGRAM = Redactor(SECRETS).in_perl()
DECLARATIONS = PROGRAM.partition("# Writes a run's log")[0]
LONGEST_PIECE = 65_536
PARTS = [
    *(
        part.encode()
        for part in (*SECRETS, *SECRET_WORDS, "pwd", "authorization: basic ", "@", "akia", "hunter", "ZZ9")
    ),
    *(b"ASIAIOSFODNN7EXAMPLE", b"PASSWORD=", b"Secret -> ", b"://u:", b"</name><value>", b"PIO_X_TOKEN=", b",PIO_Y="),
    *(bytes([byte]) for byte in b"\r\t\"' =:*_@;&)\\.-,<>0aZ\x00\x7f\x80\xc3\xe2\xff"),
    *(b"INFO noise ", b"a B*c", "ö ".encode(), b"x" * 100),
    *[b"\n"] * 40,
]
"""What texts are made of: everything that begins, ends or is a secret, what looks like one, and many ends of lines."""


def made_text(seed: int, parts: int) -> bytes:
    """Return a text of so many parts, drawn from this seed."""
    return b"".join(random.Random(seed).choices(PARTS, k=parts))  # noqa: S311 - no secret depends on it


def hidden_by_plain_loop(text: bytes) -> bytes:
    done = subprocess.run(
        ["perl", "-e", DECLARATIONS + PLAIN_LOOP],  # noqa: S607 - the one of PATH, as on the driver
        input=text,
        capture_output=True,
        check=True,
    )
    return done.stdout


def hidden_in_pieces(pieces: list[bytes]) -> bytes:
    """Return what the program writes if it reads exactly these pieces, one at a time: a socket keeps them apart."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, subprocess.Popen(["perl", "-e", PROGRAM], stdin=its.fileno(), stdout=subprocess.PIPE) as process:  # noqa: S607
        its.close()
        for piece in pieces:
            ours.send(piece)
        ours.close()
        assert process.stdout
        return process.stdout.read()


def cut(text: bytes, places: list[int]) -> list[bytes]:
    """Return a text in pieces: cut at these places, as far as it goes, and where a piece would be too long."""
    ends = {place % (len(text) + 1) for place in places} | set(range(0, len(text), LONGEST_PIECE)) | {len(text)}
    return [text[begin:end] for begin, end in pairwise(sorted(ends)) if end > begin]


@examples(50)
@given(st.integers(0), st.integers(0, 3000), st.lists(st.integers(0, 100_000), max_size=12))
def test_any_pieces_of_a_log_are_hidden_as_its_lines_are(seed: int, parts: int, places: list[int]) -> None:
    text = made_text(seed, parts)
    assert hidden_in_pieces(cut(text, places)) == hidden_by_plain_loop(text)


@examples(20)
@given(st.integers(0), st.integers(0, 70_000), st.lists(st.integers(0, 200_000), max_size=12))
def test_any_secret_near_the_end_of_a_block_is_hidden_as_its_line_is(seed: int, noise: int, places: list[int]) -> None:
    text = made_text(seed, 300) + b"\n" + b"noise 123\n" * (noise // 10) + made_text(seed + 1, 300)
    assert hidden_in_pieces(cut(text, places)) == hidden_by_plain_loop(text)


@examples(20)
@given(
    st.sampled_from([b"hunter2", b"PASSWORD=hunter2", b'"secret": "a hunter2 b"', b"https://u:hunter2@es/"]),
    st.lists(st.integers(0, 200_000), max_size=12),
    st.integers(0, 66_000),
    st.integers(0, 66_000),
    st.sampled_from([b"", b"\n"]),
)
def test_any_secret_in_a_line_without_an_end_is_hidden(
    secret: bytes, places: list[int], before: int, after: int, end: bytes
) -> None:
    text = b"x" * before + b" " + secret + b" " + b"\xff" * after + end
    shown = hidden_in_pieces(cut(text, places))
    assert b"hunter2" not in shown
    assert shown == hidden_by_plain_loop(text)
    assert re.fullmatch(rb"x* \S*?( \S*?)?\*\*\*\S* \xff*\n?", shown)
