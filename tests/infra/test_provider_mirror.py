"""The AWS provider's mirror: laid out once, checked, and usable by the bundled Terraform."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pio_tf.errors import SandboxError
from pio_tf.sandbox.provider import check_provider_zip, install_mirror

TERRAFORM = Path(sys.executable).with_name("pio-tf-terraform")


def test_terraform_finds_the_provider_in_the_mirror_and_a_second_install_changes_nothing(tmp_path: Path) -> None:
    configuration = install_mirror(tmp_path / "mirror")
    binary = next((tmp_path / "mirror").rglob("terraform-provider-aws_v*"))
    before = binary.stat()

    assert install_mirror(tmp_path / "mirror") == configuration
    assert binary.stat() == before
    assert [path.name for path in (tmp_path / "mirror").iterdir() if path.name.startswith(".")] == []

    stack = tmp_path / "stack"
    stack.mkdir()
    (stack / "main.tf").write_text(
        'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
    )
    environ = {"PATH": os.environ["PATH"], "TF_CLI_CONFIG_FILE": str(configuration), "TF_IN_AUTOMATION": "1"}
    result = subprocess.run(
        [TERRAFORM, "init", "-no-color"], cwd=stack, env=environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "hashicorp/aws v3.39.0" in result.stdout


def test_opentofu_finds_the_same_files_under_its_own_registry(tmp_path: Path) -> None:
    for _ in range(2):  # also beside a mirror that is complete
        install_mirror(tmp_path)
    place = Path("hashicorp", "aws", "3.39.0", "linux_amd64")
    found = tmp_path / "registry.opentofu.org" / place
    assert found.is_symlink()
    assert found.resolve() == tmp_path / "registry.terraform.io" / place
    assert not any(parent.is_symlink() for parent in found.parents if parent.is_relative_to(tmp_path))


def test_a_cut_off_provider_is_unpacked_again(tmp_path: Path) -> None:
    install_mirror(tmp_path)
    binary = next(tmp_path.rglob("terraform-provider-aws_v*"))
    size = binary.stat().st_size
    binary.write_bytes(b"half")

    install_mirror(tmp_path)

    assert next(tmp_path.rglob("terraform-provider-aws_v*")).stat().st_size == size


def test_another_file_than_the_released_provider_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "terraform-provider-aws_3.39.0_linux_amd64.zip"
    archive.write_bytes(b"not the provider")

    with pytest.raises(SandboxError, match="is not the AWS provider that HashiCorp released"):
        check_provider_zip(archive)
