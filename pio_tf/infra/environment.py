"""The environment that Terraform runs in: the user's, without what would change Terraform's answers behind our back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

_DROPPED = ("TF_CLI_ARGS", "TF_LOG", "TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG")
"""Prefixes: arguments of the user's that we do not know of, logs in the output, another workspace or data directory."""
_STATIC_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def terraform_environ(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for Terraform.

    Credentials that pio-tf.hcl names (aws.profile, aws.credentials_file) stand above access keys in the environment, as
    they do for boto3; the provider would prefer the latter. A TF_CLI_CONFIG_FILE that names no file is left out:
    Terraform warns about it in every output.
    """
    result = {name: value for name, value in environ.items() if not name.startswith(_DROPPED)}
    cli_config = config.terraform.cli_config_file or _existing(environ.get("TF_CLI_CONFIG_FILE"))
    if cli_config is not None:
        result["TF_CLI_CONFIG_FILE"] = str(config.path.parent / cli_config)
    if config.aws.credentials_file is not None or config.aws.profile is not None:
        for name in _STATIC_KEYS:
            result.pop(name, None)
    if config.aws.credentials_file is not None:
        result["AWS_SHARED_CREDENTIALS_FILE"] = str(config.path.parent / config.aws.credentials_file)
    if config.aws.profile is not None:
        result["AWS_PROFILE"] = config.aws.profile
    result.update(TF_IN_AUTOMATION="1", TF_INPUT="0", CHECKPOINT_DISABLE="1")
    return result


def _existing(name: str | None) -> Path | None:
    if not name:
        return None
    path = Path(name).absolute()
    return path if path.is_file() else None
