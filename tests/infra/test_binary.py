"""The choice of a Terraform, and the errors if there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import TerraformError
from pio_tf.infra.binary import bundled_command, find_terraform
from tests.support.site import TERRAFORM, Site

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(directory=tmp_path, name="demo", url="http://127.0.0.1:1", mirror=tmp_path / "terraformrc")


def with_binary(site: Site, binary: str | None) -> Config:
    config = site.write()
    return config.model_copy(update={"terraform": config.terraform.model_copy(update={"binary": binary})})


def program(directory: Path, name: str, *, version: str, says: str = "Terraform v") -> Path:
    """Make a program that answers ``version`` as Terraform does, and nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    answer = json.dumps({"terraform_version": version, "platform": "linux_amd64"})
    path.write_text(f"#!/bin/sh\nif [ \"$2\" = -json ]; then echo '{answer}'; else echo '{says}{version}'; fi\n")
    path.chmod(0o755)
    return path


def test_the_configured_one_comes_first(site: Site) -> None:
    program(site.directory / "bin", "terraform", version="1.9.0")
    mine = program(site.directory, "my-terraform", version="1.5.7")

    found = find_terraform(with_binary(site, str(mine)), environ={"PATH": str(site.directory / "bin")})

    assert (found.path, found.version) == (mine, "1.5.7")


def test_a_relative_path_is_meant_from_the_configurations_directory(site: Site) -> None:
    mine = program(site.directory / "tools", "tf", version="1.5.7")
    assert find_terraform(with_binary(site, "tools/tf"), environ={"PATH": ""}).path == mine


def test_terraform_on_path_comes_before_tofu(site: Site) -> None:
    tofu = program(site.directory / "bin", "tofu", version="1.8.0", says="OpenTofu v")
    environ = {"PATH": f"{site.directory / 'bin'}:/bin:/usr/bin"}
    found = find_terraform(with_binary(site, str(tofu)), environ=environ)
    assert (found.product, found.version) == ("tofu", "1.8.0")

    terraform = program(site.directory / "bin", "terraform", version="1.9.0")
    assert find_terraform(with_binary(site, None), environ=environ).path == terraform


def test_without_any_on_path_the_bundled_one_is_used(site: Site) -> None:
    found = find_terraform(with_binary(site, None), environ={"PATH": str(site.directory)})
    assert found.command == (str(TERRAFORM),)
    assert found.version.startswith("1.")
    assert bundled_command() == [str(TERRAFORM)]


@pytest.mark.parametrize(
    ("name", "version", "product"), [("terraform", "1.2.9", "Terraform"), ("tofu", "1.5.0", "OpenTofu")]
)
def test_one_that_is_too_old_is_refused_with_what_to_install(site: Site, name: str, version: str, product: str) -> None:
    program(site.directory / "bin", name, version=version, says=f"{product} v")

    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, str(site.directory / "bin" / name)), environ={"PATH": "/bin:/usr/bin"})

    assert f"{product} {version} is too old" in caught.value.what
    assert "pip install 'pio-tf[terraform]'" in caught.value.next_step


def test_a_configured_one_that_is_missing_is_named_with_its_line(site: Site) -> None:
    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, "/nowhere/terraform"), environ={"PATH": ""})

    assert caught.value.what.startswith("pio-tf.hcl:")
    assert "/nowhere/terraform cannot be run" in caught.value.what
    assert caught.value.cause == "there is no such program"


def test_a_configured_one_that_is_not_executable_is_reported(site: Site) -> None:
    program(site.directory, "tf", version="1.9.0").chmod(0o644)
    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, "./tf"), environ={"PATH": ""})
    assert caught.value.cause == "the file is not executable"


def test_a_program_that_is_no_terraform_is_refused_with_what_it_said(site: Site) -> None:
    path = site.directory / "tf"
    path.write_text("#!/bin/sh\necho 'usage: tf FILE' >&2\nexit 64\n")
    path.chmod(0o755)
    with pytest.raises(TerraformError) as caught:
        find_terraform(with_binary(site, "./tf"), environ={"PATH": "/bin"})
    assert "exit code 64 and said: usage: tf FILE" in caught.value.cause
