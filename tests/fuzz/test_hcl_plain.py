"""The reader of plain HCL returns what python-hcl2 reads in the same text, or nothing."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pio_tf.config.hcl_plain import read_plain
from pio_tf.config.hcl_tree import read_tree
from pio_tf.config.problems import UnreadableHcl
from pio_tf.config.schema import LABELLED
from pio_tf.config.template import render_template
from tests.fuzz.documents import mangled
from tests.fuzz.hcl_expressions import VARIABLES, expression
from tests.fuzz.hcl_texts import hcl_texts
from tests.fuzz.settings import examples
from tests.fuzz.test_config import RICH, WHOLE

if TYPE_CHECKING:
    from pio_tf.config.hcl_document import HclDocument

ENVIRON = {**VARIABLES, "HOME": "/home/x", "HALF": "\udc80"}


def both(text: str) -> tuple[HclDocument | None, HclDocument | None]:
    """Return what the two readers make of a text; None: it is not HCL, or not plain."""
    try:
        tree = read_tree(text, environ=ENVIRON, labelled=LABELLED)
    except UnreadableHcl:
        tree = None
    return read_plain(text, environ=ENVIRON, labelled=LABELLED), tree


def check(text: str) -> bool:
    """Compare the readers. Return whether the text is plain."""
    plain, tree = both(text)
    assert plain is None or plain == tree, text
    return plain is not None


@examples(120)
@given(hcl_texts())
def test_a_file_out_of_the_schema_is_read_the_same(text: str) -> None:
    check(text)


@examples(150)
@given(mangled([WHOLE, RICH]))
def test_a_damaged_file_is_read_the_same(data: bytes) -> None:
    check(data.decode("utf-8", "replace"))


@examples(300)
@given(st.integers(0, 2**32), st.sampled_from(["\n", "\n", "\r\n"]))
def test_every_spelling_of_a_value_is_read_the_same(seed: int, newline: str) -> None:
    random = Random(seed)  # noqa: S311 - no secret depends on it
    check(f"x = {expression(random, newline)}{newline}box {{ y = {expression(random, newline)} }}{newline}")


_PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "for",
            "in",
            "end",
            "mark",
            "env",
            "ssm",
            "true",
            "null",
            "source",
            '"a"',
            '"A"',
            '"$"',
            '"%%"',
            '"\\n"',
        ),
        *(
            "0",
            "1",
            "1.5",
            "01",
            "-1",
            "=",
            "==",
            "=>",
            ":",
            "::",
            ",",
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            ".",
            "*",
            "/",
            "?",
        ),
        *(" ", "\n", "\n\n", "\t", "# c\n", "// c", "/* c */", 'env("A")', 'env("HALF")', 'ssm("x")', 'ssm(" ")'),
        *("a = 1\n", "a {\n", "}\n", 'source "A" {\n', "[1, 2]", "{ a = 1 }", "{ a : 1, b = 2 }", "<<E\nx\nE\n", "é"),
    ]
)


@examples(600)
@given(st.lists(_PIECES, max_size=14).map("".join))
def test_any_order_of_tokens_is_read_the_same(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        'a = "x"\nb { c = [1, 2.5, true, null, "z\\n\\t\\"\\\\"] }\nd = { e = "f", "g h" : 1\n i = {} }\n',
        'source "A" {\n  x = env("A")\n}\nsource "B" {\n  y = [env("A"), ssm("p"), secretsmanager("n", "k")]\n}\n',
        '# ü\n\na = 1 // c\nbackend "s3" "x" y {\n}\n#',
        "end = 1\nmark = 2\n",
        "",
    ],
)
def test_an_ordinary_text_is_plain(text: str) -> None:
    assert check(text)


def test_a_file_that_init_writes_is_plain() -> None:
    assert check(render_template(cluster="trainer", region="eu-west-1"))
