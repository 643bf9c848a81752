"""Sources of credentials that fail: whatever they raise is an error of AWS that names the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.aws.errors import is_expired
from pio_tf.aws.session import Aws, aws_errors
from pio_tf.errors import AwsError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.machines.conftest import MakeConfig

ROLE = "role_arn = arn:aws:iam::123456789012:role/r"
SSO = "sso_start_url = https://x.example.com\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = r"


def call(make_config: MakeConfig) -> AwsError:
    """Return the error of a call with the profile ``ops``. Nothing listens at the endpoint."""
    with pytest.raises(AwsError) as caught, aws_errors():
        Aws(make_config(aws={"profile": "ops", "endpoint_url": "http://127.0.0.1:1"})).client("ec2").describe_vpcs()
    return caught.value


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the AWS configuration file, for the text of a profile."""
    file = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    return file


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (f"{ROLE}\nweb_identity_token_file = /no/such/token", "No such file or directory: '/no/such/token'"),
        ("credential_process = /no/such/helper", "No such file or directory: '/no/such/helper'"),
        ("credential_process = sh -c 'echo the helper says no >&2; exit 3'", "the helper says no"),
        ("credential_process = sh -c 'echo this is no JSON'", "JSONDecodeError"),
        ("credential_process = sh -c 'echo {}'", "custom-process"),
        ("credential_process = sh -c 'echo []'", "AttributeError"),
    ],
    ids=["no token file", "no helper", "a helper that fails", "no JSON", "no keys", "another JSON"],
)
def test_a_source_that_fails_is_named(make_config: MakeConfig, profile: Path, text: str, cause: str) -> None:
    profile.write_text(f"[profile ops]\n{text}\n")
    error = call(make_config)
    assert error.what == "the AWS credentials could not be fetched"
    assert cause in (error.cause or "")
    assert "the profile that names it" in error.next_step


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_keys_that_are_no_ascii_are_refused(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for one in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(one, "x")
    monkeypatch.setenv(name, "\udcff")
    with pytest.raises(AwsError, match="the AWS credentials could not be fetched"), aws_errors():
        Aws(make_config(aws={"endpoint_url": "http://127.0.0.1:1"})).client("ec2").describe_vpcs()


def test_a_setting_that_botocore_stumbles_over_is_an_error_of_aws(make_config: MakeConfig, profile: Path) -> None:
    profile.write_text("[profile ops]\napi_versions = default\n")
    error = call(make_config)
    assert error.what == "a setting of AWS on this computer cannot be used"
    assert error.cause == "AttributeError: 'str' object has no attribute 'get'"
    assert "~/.aws/config" in error.next_step


def test_a_source_that_fails_while_machines_change_is_tried_again(make_config: MakeConfig, profile: Path) -> None:
    """``is_expired`` is what waits and polls ask; see tests/machines/test_power.py."""
    profile.write_text("[profile ops]\ncredential_process = /no/such/helper\n")
    error = call(make_config)
    assert isinstance(error.__cause__, Exception)
    assert is_expired(error.__cause__)


@pytest.mark.parametrize("chained", [False, True])
def test_a_profile_that_asks_for_an_mfa_code_says_how_to_get_a_session(
    make_config: MakeConfig, profile: Path, *, chained: bool
) -> None:
    name = "base" if chained else "ops"
    profile.write_text(
        (f"[profile ops]\n{ROLE}\nsource_profile = base\n" if chained else "")
        + f"[profile {name}]\n{ROLE}\nsource_profile = keys\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n"
        + "[profile keys]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    error = call(make_config)
    assert error.what == f'the AWS profile "{name}" asks for an MFA code'
    assert f"aws configure export-credentials --profile {name}" in error.next_step


def test_an_ended_sign_on_names_the_profile_to_log_in_with(make_config: MakeConfig, profile: Path) -> None:
    profile.write_text(f"[profile ops]\n{SSO}\n")
    assert call(make_config).next_step == "run `aws sso login --profile ops`"
