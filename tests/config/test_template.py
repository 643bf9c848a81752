from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.hcl import read_hcl
from pio_tf.config.load import load_config
from pio_tf.config.schema import LABELLED, Config, block_class
from pio_tf.config.template import render_template, write_new
from pio_tf.errors import ConfigError
from tests.support.config_samples import load_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = render_template(cluster="trainer", region="eu-west-1")
LINES = TEMPLATE.splitlines(keepends=True)
ENVIRON = {
    "ELASTICSEARCH_PASSWORD": "x",
    "SLACK_WEBHOOK": "https://hooks.example.org/x",
    **{f"{name}_SHA512": "0" * 128 for name in ("SPARK", "JAVA", "HADOOP", "HBASE", "PIO")},
}

_OPTION = re.compile(r"((?:  )?# )([a-z_0-9]+ *= .*|[a-z_]+( \"\w+\")? \{)")
_PAIRS = [
    re.compile(r'  # (user|password) += ("pio"|env)'),
    re.compile(r"  # download_(url|sha512) +="),
    re.compile(r"  # (nameservice|namenodes) +="),
]


def commented_out() -> Iterator[tuple[int, int]]:
    """Yield first and last line (from 0) of each option or block that is commented out, or in a block that is not."""
    number = 0
    while number < len(LINES):
        if match := _OPTION.match(LINES[number]):
            last = number
            if LINES[number].rstrip().endswith("{"):
                last = next(n for n in range(number, len(LINES)) if LINES[n].rstrip() == f"{match[1]}}}")
            yield number, last
            number = last
        number += 1


def uncomment(first: int, last: int) -> str:
    for pair in _PAIRS:
        if pair.match(LINES[first]):  # the one is nothing without the other
            first, last = (n for n, line in enumerate(LINES) if pair.match(line))
            break
    lines = [line.replace("# ", "", 1) if first <= n <= last else line for n, line in enumerate(LINES)]
    if re.search(r"cidr |zone|public_ips", lines[first]) and "ssh" not in lines[first]:  # the other kind of network
        lines = [line for line in lines if not re.match(r"  (vpc_id|subnet_id) ", line)]
        lines = ['  cidr = "10.20.0.0/24"\n' if line.startswith("  # cidr") else line for line in lines]
    if LINES[first].startswith("  # instance_type "):  # one type takes the place of several
        lines = [line for line in lines if not line.startswith("  instance_types =")]
    if LINES[first].startswith("  # name"):  # several name nodes take the place of one
        lines = [line for line in lines if not line.startswith("  namenode =")]
    return "".join(lines)


OPTIONS = [pytest.param(first, last, id=LINES[first].split()[1]) for first, last in commented_out()]


def test_the_template_loads_as_it_is(tmp_path: Path) -> None:
    config = load_text(tmp_path, TEMPLATE)
    assert (config.cluster.name, config.aws.region) == ("trainer", "eu-west-1")
    assert config.elasticsearch is not None
    assert config.elasticsearch.hosts[0].endswith("example.internal")


@pytest.mark.parametrize(("first", "last"), OPTIONS)
def test_each_commented_out_option_is_valid_when_uncommented(tmp_path: Path, first: int, last: int) -> None:
    text = uncomment(first, last)
    assert text != TEMPLATE
    load_text(tmp_path, text, ENVIRON)


def test_the_template_shows_every_option() -> None:
    text = re.sub(r"^( *)# (?=( *[a-z_0-9]+ *= | *[a-z_]+( \"\w+\")? \{$| *\}$))", r"\1", TEMPLATE, flags=re.MULTILINE)
    shown = set(read_hcl(text, environ=ENVIRON, labelled=LABELLED).lines)

    def names(model: type[Config], prefix: str) -> Iterator[str]:
        for name in model.model_fields:
            child = block_class(model, name)
            if child is None or name in ("backend", "waive"):
                yield prefix + name
            else:
                yield from names(child, f"{prefix}{name}.")  # type: ignore[arg-type]

    # Instead of what the template describes:
    adopted = {f"machines.{name}" for name in ("driver", "master", "workers", "terraform")}
    assert set(names(Config, "")) - shown == {"aws.endpoint_url", *adopted}  # the first is for the sandbox's template


@pytest.mark.parametrize(
    ("cluster", "region", "message"),
    [
        ('My "cluster"', "eu-west-1", "the cluster's name must be 1 to 40 lower-case letters"),
        ("x", "Ireland", 'the region must be an AWS region, like "eu-west-1", got "Ireland"'),
    ],
)
def test_a_template_that_could_not_be_loaded_is_not_written(cluster: str, region: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render_template(cluster=cluster, region=region)


def test_a_new_file_is_written_and_its_directory_made(tmp_path: Path) -> None:
    path = write_new(tmp_path / "new" / "project", TEMPLATE)
    assert path == tmp_path / "new" / "project" / "pio-tf.hcl"
    assert load_config(path, environ={}).cluster.name == "trainer"


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pio-tf.hcl").write_text("mine")
    with pytest.raises(ConfigError, match=r"pio-tf\.hcl exists already") as caught:
        write_new(tmp_path, TEMPLATE)
    assert caught.value.next_step
    assert (tmp_path / "pio-tf.hcl").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file exists already"):
        write_new(tmp_path / "file", TEMPLATE)
    with pytest.raises(ConfigError, match="cannot write"):
        write_new(tmp_path / "file" / "below", TEMPLATE)


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
