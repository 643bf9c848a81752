"""Values written as HCL mean the same to Terraform, and look as ``terraform fmt`` would have them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.hcl_writer import attributes
from tests.support.site import terraform

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = {
    "plain": "a b",
    "interpolation": "${var.x} and %{ if true }",
    "escaped already": "$${var.x} %%{x} $$${y} $$$${z}",
    "marks alone": "100% $ %% $$ $} {",
    "quotes": 'say "hi" \\ back\\slash \\" \\${x}',
    "lines": "one\ntwo\r\n\ttab",
    "control": "\x01\x1b[0m\x7f",
    "letters": "Grüße, 東京 🚀",
    "empty": "",
    "heredoc": "<<EOT\nx\nEOT",
}


def test_terraform_reads_every_string_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'variable "text" {\n  type = map(string)\n}\noutput "text" {\n  value = var.text\n}\n'
    )
    (tmp_path / "terraform.tfvars").write_text(attributes({"text": AWKWARD}))

    applied = terraform("apply", "-auto-approve", "-no-color", cwd=tmp_path)

    assert applied.returncode == 0, applied.stderr
    assert json.loads(terraform("output", "-json", "text", cwd=tmp_path).stdout) == AWKWARD


@pytest.mark.parametrize(
    "values",
    [
        {"a": 1, "longer": "x", "yes": True, "nothing": None},
        {"a": 1, "block": {"k": "v", "longer": ["a", "b"]}, "bb": 2, "ccc": 3},
        {"first": {"inner": {"x": 1, "yy": 2}, "z": []}, "second": {}, "third": {"pio-tf:x": "y", "b": "c"}},
        {"text": AWKWARD},
    ],
)
def test_the_layout_is_that_of_terraform_fmt(values: dict[str, Any], tmp_path: Path) -> None:
    text = attributes(values)
    (tmp_path / "x.tfvars").write_text(text)
    assert terraform("fmt", cwd=tmp_path).returncode == 0
    assert (tmp_path / "x.tfvars").read_text() == text
