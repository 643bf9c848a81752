"""The tables in the Terraform modules' READMEs: what `make docs` writes, and that it was run."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.root_module import find_modules
from scripts.module_tables import BEGIN, END, render_readme, render_tables

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "versions.tf": """\
        terraform {
          required_version = ">= 1.3"
          required_providers {
            aws = {
              source  = "hashicorp/aws"
              version = ">= 3.39, < 7.0"
            }
          }
        }
        """,
    "variables.tf": """\
        variable "disks" {
          description = "Disks; either | or."
          type = list(object({
            gib  = number # whole
            kind = optional(string, "gp3")
          }))
          default = [{ gib = 50, kind = "gp2" }]
        }

        variable "name" {
          description = "A name."
          type        = string
        }

        variable "tags" {
          description = "Tags."
          type        = map(string)
          default     = {}
        }

        variable "zone" {
          description = "A zone."
          type        = string
          default     = "b"
          nullable    = false
        }
        """,
    "outputs.tf": """\
        output "id" {
          description = "The id."
          value       = aws_vpc.this.id
        }
        """,
    "main.tf": """\
        data "aws_ami" "newest" {
          for_each = toset(["a", "b"])
        }

        resource "aws_vpc" "this" {}

        module "disk" {
          source = "../disk"
          count  = length(var.disks)
        }
        """,
}
TABLES = """\
It needs Terraform `>= 1.3`, provider `aws` (`hashicorp/aws`) `>= 3.39, < 7.0`.

## Inputs

| name | type | default | description |
| --- | --- | --- | --- |
| `disks` | `list(object({gib = number, kind = optional(string, "gp3")}))` | `[{ gib = 50, kind = "gp2" }]` | \
Disks; either \\| or. |
| `name` | `string` | required | A name. |
| `tags` | `map(string)` | `{}` | Tags. |
| `zone` | `string` | `"b"` | A zone. |

## Outputs

| name | description |
| --- | --- |
| `id` | The id. |

## Resources, data sources and modules

| address | how many |
| --- | --- |
| `aws_vpc.this` | 1 |
| `data.aws_ami.newest` | `for_each = toset(["a", "b"])` |
| `module.disk`, of `../disk` | `count = length(var.disks)` |"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def test_the_tables_are_what_the_files_say(module: Path) -> None:
    assert render_tables(module) == TABLES


def test_a_readme_keeps_its_words_before_and_after_the_tables(module: Path) -> None:
    (module / "README.md").write_text(f"# one\n\nWords.\n\n{BEGIN}\n\nold\n\n{END}\n\nMore.\n")
    expected = f"# one\n\nWords.\n\n{BEGIN}\n\n{TABLES}\n\n{END}\n\nMore.\n"
    assert render_readme(module) == expected
    (module / "README.md").write_text(expected)
    assert render_readme(module) == expected


@pytest.mark.parametrize("path", sorted(find_modules().glob("*/main.tf")), ids=lambda path: path.parent.name)
def test_the_tables_of_a_module_are_what_make_docs_writes(path: Path) -> None:
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    assert readme == render_readme(path.parent), "run `make docs`"
