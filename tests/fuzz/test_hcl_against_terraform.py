"""What pio-tf reads out of HCL, Terraform reads, too."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.hcl import read_hcl
from pio_tf.config.problems import UnreadableHcl
from tests.fuzz.hcl_expressions import VARIABLES, expression, terraform_values, with_variables
from tests.fuzz.settings import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

_TERRAFORM_IS_ASKED = 1000
"""Expressions in one run of Terraform."""


def comparable(value: Any) -> Any:  # noqa: ANN401 - any value of HCL
    """Return a value with its numbers as JSON has them, and ``env`` in texts as Terraform got it."""
    if isinstance(value, str):
        return with_variables(value)
    if isinstance(value, dict):
        return {with_variables(name): comparable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def read(expressions: dict[str, str]) -> dict[str, Any]:
    """Return the values of the expressions that pio-tf reads."""
    values = {}
    for name, text in expressions.items():
        try:
            document = read_hcl(f"x = {text}\n", environ=VARIABLES)
        except UnreadableHcl:
            continue
        if not document.problems:
            values[name] = document.data.get("x")
    return values


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_terraform_reads_the_same_values_in_the_same_text(newline: str, tmp_path: Path) -> None:
    seed = time.time_ns() if EXAMPLES else 0
    drawn = random.Random(seed)  # noqa: S311 - no secret
    for first in range(0, EXAMPLES or 400, _TERRAFORM_IS_ASKED):
        names = [f"e{number}" for number in range(first, min(first + _TERRAFORM_IS_ASKED, EXAMPLES or 400))]
        expressions = {name: expression(drawn, newline) for name in names}
        values = read(expressions)
        assert len(values) > len(names) / 3, "too few of the expressions are good"
        directory = tmp_path / str(first)
        directory.mkdir()
        theirs = terraform_values(directory, {name: expressions[name] for name in values})
        for name, value in values.items():
            assert comparable(value) == comparable(theirs[name]), f"seed {seed}: {expressions[name]!r}"
