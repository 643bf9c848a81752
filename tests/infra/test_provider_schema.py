"""Modules, root and provider block, against the schema of the newest AWS provider.

The tests beside this one run AWS provider 3.39. What it takes and the newest does not would be found by users only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest

from pio_tf.config.load import load_config
from pio_tf.infra.root_module import find_modules, render_stack
from tests.infra.provider_schema import ProviderSchema, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.site import Site

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "pio_tf" / "infra" / "root"
ROOT_ADOPTED = ROOT.with_name("root_adopted")
META = {"count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "connection"}
REFERENCE = re.compile(r"(?<![\w.])(data\.)?(aws_\w+)\.\w+(?:\[[^\]]*\])?\.(\w+)")


@pytest.fixture(scope="module")
def newest() -> ProviderSchema:
    """Return the wheel, which scripts/tools downloads if it is missing."""
    done = subprocess.run(
        [REPOSITORY / "scripts" / "tools", sys.prefix, "provider-schema"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return ProviderSchema(Path(done.stdout.strip()))


def blocks(text: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every resource, data source and provider of a file: kind, type, and its body."""
    parsed: dict[str, Any] = hcl2.loads(text)
    for kind in ("resource", "data"):
        for one in parsed.get(kind, []):
            for name, named in one.items():
                for body in named.values():
                    yield kind, name.strip('"'), body
    for one in parsed.get("provider", []):
        for name, body in one.items():
            yield "provider", name.strip('"'), body


def misfits(body: dict[str, Any], schema: Schema, where: str) -> Iterator[str]:
    """Yield the names in a body that the schema lacks, and those that the schema demands and the body lacks."""
    said = {name: value for name, value in body.items() if not name.startswith("__")}
    for dynamic in said.pop("dynamic", []):
        for name, block in dynamic.items():
            said[name.strip('"')] = block["content"]
    for name, value in said.items():
        nested = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
        if name not in schema.arguments:
            yield f"{where}.{name}"
        elif name in schema.blocks:
            for item in nested:
                yield from misfits(item, schema.blocks[name], f"{where}.{name}")
        elif any("__is_block__" in item for item in nested):
            yield f"{where}.{name} is no block"
    yield from (f"{where} has no {name}" for name in sorted(schema.required - said.keys()))


def problems(text: str, newest: ProviderSchema) -> list[str]:
    """Return the names in a file that the provider does not know."""
    found = []
    for kind, name, body in blocks(text):
        schema = newest.find(kind, name)
        where = name if kind == "resource" else f"{kind}.{name}"
        if schema is None:
            found.append(where)
            continue
        own = {key: value for key, value in body.items() if kind == "provider" or key not in META}
        found += misfits(own, schema, where)
        for lifecycle in body.get("lifecycle", []):
            named = lifecycle.get("ignore_changes", [])
            ignored = [item.strip("${}") for item in named] if isinstance(named, list) else []  # else: all
            found += [f"{where}: ignored {item}" for item in ignored if not _known(item, schema)]
    for data, name, attribute in REFERENCE.findall(re.sub(r"#.*", "", text)):
        schema = newest.find("data" if data else "resource", name)
        if schema is None or attribute not in schema.attributes:
            found.append(f"{data}{name} has no attribute {attribute}")
    return found


def _known(path: str, schema: Schema) -> bool:
    """Tell if ``root_block_device[0].encrypted`` is an argument."""
    name, _, rest = re.sub(r"\[\d+\]", "", path).partition(".")
    if name not in schema.arguments:
        return False
    return not rest or (name in schema.blocks and _known(rest, schema.blocks[name]))


def test_the_schema_is_that_of_the_provider_that_is_named(newest: ProviderSchema) -> None:
    assert newest.version == "6.62.0"


@pytest.mark.parametrize(
    "path",
    [*find_modules().glob("*/*.tf"), *ROOT.glob("*.tf"), *ROOT_ADOPTED.glob("*.tf")],
    ids=lambda p: f"{p.parent.name}/{p.name}",
)
def test_the_newest_provider_knows_all_that_a_file_says(path: Path, newest: ProviderSchema) -> None:
    assert problems(path.read_text(), newest) == []


def test_the_newest_provider_knows_the_provider_block(site: Site, newest: ProviderSchema) -> None:
    config = site.write()
    role = 'role_arn = "arn:aws:iam::123456789012:role/terraform"'
    text = config.path.read_text().replace(
        'region           = "us-east-1"',
        f'region = "us-east-1"\nprofile = "p"\nassume_role {{\n{role}\nsession_name = "s"\nexternal_id = "e"\n}}',
    )
    config.path.write_text(text)

    providers = render_stack(load_config(config.path, environ={}))["providers.tf"]
    assert "assume_role {" in providers
    assert "endpoints {" in providers
    assert problems(providers, newest) == []


def test_what_the_newest_provider_lacks_is_found(newest: ProviderSchema) -> None:
    text = """
        resource "aws_eip" "this" {
          vpc = true
        }
        resource "aws_instance" "this" {
          subnet_id = data.aws_subnet.existing.cidr
          root_block_device {
            size = 8
          }
          dynamic "ebs_block_device" {
            for_each = []
            content {
              device_name = "/dev/sdf"
              speed       = 1
            }
          }
          tags {
            Name = "x"
          }
          lifecycle {
            ignore_changes = [ami, root_block_device[0].crypt]
          }
        }
        resource "aws_security_group_rule" "this" {
          type              = "egress"
          security_group_id = aws_security_group.this.id
          protocol          = "-1"
          from_port         = 0
        }
        data "aws_subnet_ids" "this" {}
        provider "aws" {
          s3_force_path_style = true
        }
    """
    assert sorted(problems(text, newest)) == [
        "aws_eip.vpc",
        "aws_instance.ebs_block_device.speed",
        "aws_instance.root_block_device.size",
        "aws_instance.tags is no block",
        "aws_instance: ignored root_block_device[0].crypt",
        "aws_security_group_rule has no to_port",
        "data.aws_subnet has no attribute cidr",
        "data.aws_subnet_ids",
        "provider.aws.s3_force_path_style",
    ]
