"""The mirror of scripts that start the AWS provider, which most tests use: tests/support/provider_scripts.py."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.provider_scripts import install_scripts
from tests.support.site import TERRAFORM

if TYPE_CHECKING:
    from pathlib import Path


def test_terraform_starts_the_released_provider_through_a_script(provider_mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
    )
    environment = {"PATH": os.environ["PATH"], "TF_CLI_CONFIG_FILE": str(provider_mirror)}
    said = ""
    for command in (["init"], ["providers", "schema", "-json"]):
        done = subprocess.run(
            [TERRAFORM, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        said += done.stdout
    assert "Installing hashicorp/aws v3.39.0" in said
    assert '"aws_instance":' in said
    installed = next((tmp_path / ".terraform").rglob("linux_amd64")) / "terraform-provider-aws_v3.39.0_x5"
    assert installed.stat().st_size < 1000


def test_a_second_install_changes_no_file_that_terraform_may_be_reading(released_mirror: Path, tmp_path: Path) -> None:
    before = {path: path.lstat() for path in _files(install_scripts(tmp_path, released=released_mirror))}
    assert {path: path.lstat() for path in _files(install_scripts(tmp_path, released=released_mirror))} == before


def _files(configuration: Path) -> list[Path]:
    return [path for path in configuration.parent.rglob("*") if path.is_file()]
