"""Files of the checkout that a CI job refuses, because pull requests write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.aws.session import Aws
from pio_tf.ci_job import in_ci
from pio_tf.config.load import load_config
from pio_tf.errors import AwsError, ConfigError
from pio_tf.infra.binary import find_terraform, locate_terraform, terraform_environ
from pio_tf.infra.deployment import Deployment
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config

CI = {"CI": "true", "PATH": "/usr/bin:/bin"}
INSIDE = "which is inside the checkout"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout with a cluster in a directory below its root, and programs in another one."""
    root = tmp_path / "checkout"
    for name in (".git", "clusters/ur", "tools"):
        (root / name).mkdir(parents=True)
    program(root / "tools" / "terraform")
    return root


def program(path: Path) -> Path:
    """Make a program that leaves a trace when it runs."""
    path.write_text('#!/bin/sh\ntouch "$(dirname "$0")/ran"\necho Terraform v1.9.0\n')
    path.chmod(0o755)
    return path


def config(checkout: Path, **blocks: str) -> Config:
    return load_config(Project(checkout / "clusters" / "ur", name="ur").write(**blocks), environ={})


@pytest.mark.parametrize("variable", ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL"])
def test_a_job_is_known_by_any_of_the_variables(variable: str) -> None:
    assert in_ci({variable: "true"})
    assert not in_ci({variable: "false"})
    assert not in_ci({})


def test_a_terraform_of_the_checkout_never_runs_in_ci(checkout: Path) -> None:
    found = config(checkout, terraform='binary = "../../tools/terraform"')
    for find in (find_terraform, locate_terraform):
        with pytest.raises(ConfigError, match=INSIDE) as caught:
            find(found, environ=CI)
        assert "terraform.binary is " in caught.value.what
        assert "a pull request could change it" in caught.value.cause
    assert not (checkout / "tools" / "ran").exists()
    assert find_terraform(found, environ={"PATH": CI["PATH"]}).version == "1.9.0"


def test_neither_does_one_that_path_or_a_link_leads_to(checkout: Path, tmp_path: Path) -> None:
    by_path = {**CI, "PATH": f"{checkout / 'tools'}:{CI['PATH']}"}
    with pytest.raises(ConfigError, match=f"terraform on PATH is .*{INSIDE}"):
        find_terraform(config(checkout, terraform=""), environ=by_path)
    with pytest.raises(ConfigError, match=INSIDE):
        find_terraform(config(checkout, terraform='binary = "terraform"'), environ=by_path)
    (tmp_path / "link").symlink_to(checkout / "tools" / "terraform")
    with pytest.raises(ConfigError, match=INSIDE):
        find_terraform(config(checkout, terraform=f'binary = "{tmp_path / "link"}"'), environ=CI)
    (checkout / "tools" / "out").symlink_to(program(tmp_path / "runner-s"))
    with pytest.raises(ConfigError, match=INSIDE):
        find_terraform(config(checkout, terraform='binary = "../../tools/out"'), environ=CI)
    assert find_terraform(config(checkout, terraform=f'binary = "{tmp_path / "runner-s"}"'), environ=CI)


def test_a_cli_configuration_of_the_checkout_is_refused_in_ci(checkout: Path, tmp_path: Path) -> None:
    """It names provider mirrors, and helper programs for credentials."""
    inside, outside = checkout / "tools" / "terraform.tfrc", tmp_path / "terraform.tfrc"
    for path in (inside, outside):
        path.write_text("")
    found = config(checkout, terraform=f'cli_config_file = "{inside}"')
    with pytest.raises(ConfigError, match=rf"terraform\.cli_config_file is .*{INSIDE}"):
        terraform_environ(found, CI)
    assert terraform_environ(found, {})["TF_CLI_CONFIG_FILE"] == str(inside)
    with pytest.raises(ConfigError, match=f"TF_CLI_CONFIG_FILE is .*{INSIDE}"):
        terraform_environ(config(checkout, terraform=""), {**CI, "TF_CLI_CONFIG_FILE": str(inside)})
    of_runner = {**CI, "TF_CLI_CONFIG_FILE": str(outside)}
    assert terraform_environ(config(checkout, terraform=""), of_runner)["TF_CLI_CONFIG_FILE"] == str(outside)


def test_a_program_for_credentials_in_the_checkout_never_runs_in_ci(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    for place, refused in ((checkout / "credentials", True), (tmp_path / "credentials", False)):
        place.write_text("[default]\ncredential_process = /bin/false\n")
        found = config(checkout, aws=f'region = "us-east-1"\ncredentials_file = "{place}"')
        if refused:
            with pytest.raises(ConfigError, match=f"credential_process .*{INSIDE}"):
                terraform_environ(found, CI)
            with pytest.raises(ConfigError, match=f"credential_process .*{INSIDE}"):
                _ = Aws(found).client("ec2")
        else:
            assert terraform_environ(found, CI)["AWS_SHARED_CREDENTIALS_FILE"] == str(place)
            with pytest.raises(AwsError, match="credentials could not be fetched"):  # it was run, and failed
                _ = Aws(found).client("ec2")
    (checkout / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    found = config(checkout, aws='region = "us-east-1"\ncredentials_file = "../../credentials"')
    assert "AWS_SHARED_CREDENTIALS_FILE" in terraform_environ(found, CI)


@pytest.mark.parametrize(
    "name",
    [
        "evil.tf",
        "main_override.tf.json",
        "evil.tofu",
        "evil.auto.tfvars",
        "terraform.tfvars.json",
        "terraform.d/plugins/x",
        "modules/driver/evil.tf",
        "modules/evil/main.tf.json",
    ],
)
def test_a_file_that_a_checkout_adds_to_the_stack_is_refused_in_ci(checkout: Path, name: str) -> None:
    found = config(checkout, ssh='key = "id"\nkey_pair = "ours"')
    path = found.stack_dir / name
    path.parent.mkdir(parents=True)
    path.write_text("")
    in_stack = "terraform.d" if name.startswith("terraform.d") else name
    with pytest.raises(ConfigError) as caught:
        Deployment(found, environ=CI).generate()
    assert caught.value.what == f"{found.stack_dir} contains files that pio-tf did not write: {in_stack}"
    assert Deployment(found, environ={}).generate()
    path.unlink()
    if path.parent.name == "plugins":
        path.parent.rmdir()
        path.parent.parent.rmdir()
    assert Deployment(found, environ=CI).generate()
