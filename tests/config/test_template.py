from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.hcl import read_hcl
from pio_tf.config.load import load_config
from pio_tf.config.schema import Config, block_class
from pio_tf.config.template import render_template
from pio_tf.errors import ConfigError
from tests.config.samples import load_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = render_template(cluster="trainer", region="eu-west-1")
LINES = TEMPLATE.splitlines(keepends=True)
ENVIRON = {"SPARK_SHA512": "0" * 128}

_OPTION = re.compile(r"(  # )([a-z_0-9]+ *= .*|[a-z_]+( \"\w+\")? \{)")


def commented_out() -> Iterator[tuple[int, int]]:
    """First and last line (from 0) of each option or block that is commented out, in the outermost level."""
    number = 0
    while number < len(LINES):
        if _OPTION.match(LINES[number]):
            last = number
            if LINES[number].rstrip().endswith("{"):
                last = next(n for n in range(number, len(LINES)) if LINES[n].rstrip() == "  # }")
            yield number, last
            number = last
        number += 1


def uncomment(first: int, last: int) -> str:
    lines = [line.replace("# ", "", 1) if first <= n <= last else line for n, line in enumerate(LINES)]
    if re.search(r"cidr |zone|public_ips", lines[first]) and "ssh" not in lines[first]:  # the other kind of network
        lines = [line for line in lines if not re.match(r"  (vpc_id|subnet_id) ", line)]
        lines = ['  cidr = "10.20.0.0/24"\n' if line.startswith("  # cidr") else line for line in lines]
    return "".join(lines)


OPTIONS = [pytest.param(first, last, id=LINES[first].split()[1]) for first, last in commented_out()]


def test_the_template_loads_as_it_is(tmp_path: Path) -> None:
    config = load_text(tmp_path, TEMPLATE)
    assert (config.cluster.name, config.aws.region) == ("trainer", "eu-west-1")
    assert config.elasticsearch.hosts[0].endswith("example.internal")


@pytest.mark.parametrize(("first", "last"), OPTIONS)
def test_each_commented_out_option_is_valid_when_uncommented(tmp_path: Path, first: int, last: int) -> None:
    text = uncomment(first, last)
    assert text != TEMPLATE
    load_text(tmp_path, text, ENVIRON)


def test_the_template_shows_every_option() -> None:
    text = re.sub(r"^( *)# (?=( *[a-z_0-9]+ *= | *[a-z_]+( \"\w+\")? \{$| *\}$))", r"\1", TEMPLATE, flags=re.MULTILINE)
    shown = set(read_hcl(text, environ=ENVIRON).lines)

    def names(model: type[Config], prefix: str) -> Iterator[str]:
        for name in model.model_fields:
            child = block_class(model, name)
            if child is None or name == "backend":
                yield prefix + name
            else:
                yield from names(child, f"{prefix}{name}.")  # type: ignore[arg-type]

    assert set(names(Config, "")) - shown == {"aws.endpoint_url"}  # for the sandbox's own template


@pytest.mark.parametrize("value", ['a"b', "${x}", "a\\", "ü\n"])
def test_whatever_stands_in_the_values_the_template_is_hcl(value: str) -> None:
    assert read_hcl(render_template(cluster=value, region="r"), environ={}).data["cluster"]["name"] == value


def mutations() -> Iterator[str]:
    for number in range(len(LINES)):
        yield "".join(LINES[:number] + LINES[number + 1 :])
        yield "".join([*LINES[:number], LINES[number], *LINES[number:]])
        yield "".join(LINES[:number])
    choices = random.Random(20)  # noqa: S311 - the same mutations at every run
    for _ in range(200):
        position = choices.randrange(len(TEMPLATE))
        kind = choices.choice(["cut", "drop", "insert"])
        if kind == "cut":
            yield TEMPLATE[:position]
        elif kind == "drop":
            yield TEMPLATE[:position] + TEMPLATE[position + choices.randrange(1, 9) :]
        else:
            yield TEMPLATE[:position] + choices.choice("{}[]()\"'=,#$%\\\0\n<~") + TEMPLATE[position:]


def test_a_mutated_template_loads_or_is_a_config_error_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "pio-tf.hcl"
    outcomes = {"loaded": 0, "refused": 0}
    for text in dict.fromkeys(mutations()):
        file.write_text(text)
        try:
            load_config(file, environ=ENVIRON)
        except ConfigError as error:
            outcomes["refused"] += 1
            for line in error.what.splitlines():
                assert re.match(r"pio-tf\.hcl(:\d+)?: \S", line), text
        else:
            outcomes["loaded"] += 1
    assert outcomes["refused"] > 100
    assert outcomes["loaded"] > 100
