"""The AWS provider as pio-tf.hcl asks for it: its versions, its tags, and the accounts that it may work in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.infra.backend.s3 import s3_backend
from pio_tf.infra.deployment import Deployment
from pio_tf.infra.root_module import render_stack
from tests.support.config_samples import load_text, text_with
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from pathlib import Path


def stack(directory: Path, **blocks: str) -> dict[str, str]:
    (directory / "id_ed25519.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN x\n")
    return render_stack(load_text(directory, text_with(**blocks)))


def test_without_options_the_provider_has_a_region_only(tmp_path: Path) -> None:
    files = stack(tmp_path)
    assert files["providers.tf"].endswith('\nprovider "aws" {\n  region = var.region\n}\n')
    assert 'version = ">= 3.39, < 7.0"\n' in files["versions.tf"]


def test_tags_and_accounts_are_written_for_the_provider(tmp_path: Path) -> None:
    aws = """\
aws {
  region              = "eu-west-1"
  allowed_account_ids = ["123456789012"]
  default_tags        = { team = "x", cost = 7 }
  ignore_tags {
    keys         = ["CreatedBy"]
    key_prefixes = ["cost-tool:", "scan/"]
  }
}
"""
    assert stack(tmp_path, aws=aws)["providers.tf"].endswith(
        """
provider "aws" {
  region              = var.region
  allowed_account_ids = ["123456789012"]

  default_tags {
    tags = {
      cost = "7"
      team = "x"
    }
  }

  ignore_tags {
    keys         = ["CreatedBy"]
    key_prefixes = ["cost-tool:", "scan/"]
  }
}
"""
    )


def test_terraform_leaves_all_tags_of_disks_alone_where_some_are_ignored(tmp_path: Path) -> None:
    """The provider has no way to ignore some of them."""
    line, machine = "      root_block_device[0].tags,\n", "modules/machine/main.tf"
    ignoring = 'aws {\n  region = "eu-west-1"\n  ignore_tags {\n    keys = ["CreatedBy"]\n  }\n}\n'
    assert line in stack(tmp_path, aws=ignoring)[machine]
    assert line not in stack(tmp_path)[machine]


def test_the_provider_learns_its_account_of_another_api_only_to_compare_it(tmp_path: Path) -> None:
    """Leave AWS provider 3 its question for the account, or it compares an empty one."""
    aws = 'aws {\n  region = "eu-west-1"\n  endpoint_url = "http://127.0.0.1:1"\n%s}\n'
    assert "skip_requesting_account_id" in stack(tmp_path, aws=aws % "")["providers.tf"]
    limited = stack(tmp_path, aws=aws % '  allowed_account_ids = ["123456789012"]\n')["providers.tf"]
    assert "skip_requesting_account_id" not in limited


def test_a_version_of_the_provider_narrows_the_range_that_the_modules_are_for(tmp_path: Path) -> None:
    files = stack(tmp_path, terraform='terraform {\n  aws_provider_version = "~> 6.20, != 6.21.0"\n}\n')
    assert 'version = ">= 3.39, < 7.0, ~> 6.20, != 6.21.0"\n' in files["versions.tf"]


def test_the_bucket_of_the_state_may_be_of_another_account(tmp_path: Path) -> None:
    config = load_text(
        tmp_path,
        text_with(
            aws='aws {\n  region = "eu-west-1"\n  allowed_account_ids = ["123456789012"]\n}\n',
            terraform='terraform {\n  backend "s3" {\n    bucket = "states"\n  }\n}\n',
        ),
    )
    backend = s3_backend(config)
    assert backend is not None
    assert backend.aws.allowed_account_ids == []


def test_the_lock_file_beside_pio_tf_hcl_has_every_platform_and_keeps_what_it_has(tmp_path: Path) -> None:
    deployment = Deployment(TerraformStandIn(tmp_path).config, environ={"PATH": "/usr/bin:/bin"})
    (tmp_path / ".terraform.lock.hcl").write_text("# committed\n")

    path = deployment.stack.lock_providers()

    assert path == tmp_path / ".terraform.lock.hcl"
    platforms = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
    wanted = " ".join(f"-platform={one}" for one in platforms)
    assert path.read_text() == f"# committed\n# {wanted} -no-color\n"
    assert (deployment.config.stack_dir / ".terraform.lock.hcl").read_text() == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
