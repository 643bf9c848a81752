"""Every rule of a module (validation, precondition, postcondition) is broken by one of the module's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from pio_tf.infra.root_module import MODULES, find_modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def parsed(paths: Iterator[Path], word: str) -> Iterator[tuple[str, Any]]:
    """Yield the blocks of one kind in some files, by name."""
    options = SerializationOptions(strip_string_quotes=True)
    for path in paths:
        for block in hcl2.loads(path.read_text(), serialization_options=options).get(word, []):
            yield from ((name, body) for name, body in block.items() if not name.startswith("__"))


def rules(module: Path) -> Iterator[str]:
    """Yield the place of each rule, as `expect_failures` names it."""
    yield from (f"var.{name}" for name, body in parsed(module.glob("*.tf"), "variable") if "validation" in body)
    yield from (f"output.{name}" for name, body in parsed(module.glob("*.tf"), "output") if "precondition" in body)
    for word, prefix in (("resource", ""), ("data", "data.")):
        for kind, named in parsed(module.glob("*.tf"), word):
            for name, body in named.items():
                if name.startswith("__"):
                    continue
                lifecycles = body.get("lifecycle", [])
                if any({"precondition", "postcondition"} & lifecycle.keys() for lifecycle in lifecycles):
                    yield f"{prefix}{kind}.{name}"


def expected(module: Path) -> set[str]:
    """Return the variables and outputs that the module's tests expect to fail."""
    runs = parsed(module.glob("tests/*.tftest.hcl"), "run")
    return {name.strip("${}") for _, run in runs for name in run.get("expect_failures", [])}


@pytest.mark.parametrize("module", MODULES)
def test_every_rule_of_a_module_is_broken_by_one_of_its_tests(module: str) -> None:
    assert sorted(set(rules(find_modules() / module)) - expected(find_modules() / module)) == []


def test_the_rules_are_found() -> None:
    assert {"var.cidr", "aws_vpc.this", "data.aws_subnet.existing"} <= set(rules(find_modules() / "network"))
    assert any(name.startswith("output.") for name in rules(find_modules() / "bootstrap"))
