"""The AWS provider of most tests: the scripts that start it, and the one that runs already."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.provider_broker import provider_broker
from tests.support.provider_scripts import install_scripts, terraform_of
from tests.support.site import terraform


@pytest.fixture
def stack(tmp_path: Path, provider_mirror: Path) -> Path:
    """Make a directory that Terraform has initialised with the provider of the scripts."""
    (tmp_path / "main.tf").write_text(
        'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
        'data "aws_partition" "this" {}\n'
    )
    done = terraform("init", cwd=tmp_path, TF_CLI_CONFIG_FILE=str(provider_mirror))
    assert "Installing hashicorp/aws v3.39.0" in done.stdout
    return tmp_path


def test_a_provider_that_runs_already_has_the_schema_of_the_released_one_for_the_types_of_the_modules(
    stack: Path, provider_mirror: Path, mirror: Path
) -> None:
    installed = next((stack / ".terraform").rglob("linux_amd64")) / "terraform-provider-aws_v3.39.0_x5"
    assert installed.stat().st_size < 1000  # a script
    running = re.search("TF_REATTACH_PROVIDERS='(.*)'", terraform_of(mirror).read_text())
    assert running is not None
    environments: tuple[dict[str, str], ...] = ({}, {"TF_REATTACH_PROVIDERS": running[1]})
    released, short = (
        json.loads(
            terraform(
                "providers", "schema", "-json", cwd=stack, TF_CLI_CONFIG_FILE=str(provider_mirror), **environment
            ).stdout
        )["provider_schemas"]["registry.terraform.io/hashicorp/aws"]
        for environment in environments
    )
    assert "aws_s3_bucket" in released["resource_schemas"]
    assert short["provider"] == released["provider"]
    for kind, one in (("resource_schemas", "aws_instance"), ("data_source_schemas", "aws_ami")):
        assert one in short[kind]
        assert len(short[kind]) < 30
        assert short[kind] == {name: released[kind][name] for name in short[kind]}


def test_only_the_mirror_with_a_provider_that_runs_already_needs_none(
    stack: Path, provider_mirror: Path, mirror: Path
) -> None:
    next((stack / ".terraform").rglob("linux_amd64")).unlink()
    assert terraform("validate", cwd=stack, TF_CLI_CONFIG_FILE=str(provider_mirror)).returncode == 1
    done = terraform("validate", cwd=stack, TF_CLI_CONFIG_FILE=str(mirror))
    assert done.returncode == 0, done.stderr


def test_a_second_install_changes_no_file_that_terraform_may_be_reading(released_mirror: Path, tmp_path: Path) -> None:
    before = {path: path.lstat() for path in _files(install_scripts(tmp_path, released=released_mirror))}
    assert {path: path.lstat() for path in _files(install_scripts(tmp_path, released=released_mirror))} == before


def _files(configuration: Path) -> list[Path]:
    return [path for path in configuration.parent.rglob("*") if path.is_file()]


def test_a_provider_that_is_asked_for_runs_with_the_aws_variables_of_the_caller_and_no_others(tmp_path: Path) -> None:
    provider = tmp_path / "provider"
    provider.write_text(
        f"#!/bin/sh\nenv | grep -E '^(AWS_|HOME=)' | sort >> {tmp_path}/started\n"
        """echo "TF_REATTACH_PROVIDERS='{\\"aws\\": {\\"Addr\\": {\\"String\\": \\"/none\\"}}}'"\nexec sleep 60\n"""
    )
    provider.chmod(0o755)
    with tempfile.TemporaryDirectory() as home, provider_broker(provider, Path(home)) as broker:

        def found(**variables: str) -> str:
            return subprocess.run([broker], env=variables, capture_output=True, text=True, check=True).stdout

        first = found(AWS_ACCESS_KEY_ID="one")
        assert found(AWS_ACCESS_KEY_ID="one", HOME="/elsewhere") == first
        assert found(AWS_ACCESS_KEY_ID="two") != first
    assert (tmp_path / "started").read_text().splitlines() == [
        "AWS_ACCESS_KEY_ID=one",
        f"HOME={home}",
        "AWS_ACCESS_KEY_ID=two",
        f"HOME={home}",
    ]
