"""The variables that Terraform's environment holds, and those that it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.binary import terraform_environ
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(directory=tmp_path, name="demo", url="http://127.0.0.1:1", mirror=tmp_path / "terraformrc")


def test_what_would_change_terraforms_answers_is_left_out(site: Site) -> None:
    surprising = {
        "TF_CLI_ARGS": "-no-color",
        "TF_CLI_ARGS_plan": "-refresh=false",
        "TF_LOG": "trace",
        "TF_LOG_PATH": "/tmp/log",  # noqa: S108
        "TF_WORKSPACE": "other",
        "TF_DATA_DIR": "/elsewhere",
    }
    environ = terraform_environ(site.write(), {"HOME": "/home/me", "TF_PLUGIN_CACHE_DIR": "/cache", **surprising})

    assert not surprising.keys() & environ.keys()
    assert environ["TF_PLUGIN_CACHE_DIR"] == "/cache"
    assert environ["HOME"] == "/home/me"
    assert (environ["TF_IN_AUTOMATION"], environ["TF_INPUT"]) == ("1", "0")


def test_go_collects_less_garbage_unless_the_user_says_how_much(site: Site) -> None:
    assert terraform_environ(site.write(), {})["GOGC"] == "400"
    assert terraform_environ(site.write(), {"GOGC": "50"})["GOGC"] == "50"


def test_configured_credentials_stand_above_access_keys_in_the_environment(site: Site) -> None:
    config = site.write()
    keys = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_SESSION_TOKEN": "mine"}

    environ = terraform_environ(config, keys)

    assert environ["AWS_SHARED_CREDENTIALS_FILE"] == str(site.directory / "credentials")
    assert not keys.keys() & environ.keys()
    plain = config.model_copy(update={"aws": config.aws.model_copy(update={"credentials_file": None})})
    assert terraform_environ(plain, keys).items() >= keys.items()


def test_a_cli_configuration_that_does_not_exist_is_not_handed_on(site: Site) -> None:
    config = site.write()
    assert terraform_environ(config, {"TF_CLI_CONFIG_FILE": "/nowhere"})["TF_CLI_CONFIG_FILE"] == str(site.mirror)

    plain = config.model_copy(update={"terraform": config.terraform.model_copy(update={"cli_config_file": None})})
    assert "TF_CLI_CONFIG_FILE" not in terraform_environ(plain, {"TF_CLI_CONFIG_FILE": "/nowhere"})
    existing = site.directory / "terraformrc-of-mine"
    existing.write_text("")
    environ = terraform_environ(plain, {"TF_CLI_CONFIG_FILE": str(existing)})
    assert environ["TF_CLI_CONFIG_FILE"] == str(existing)
