"""The environment that Terraform runs in: the user's, without what would change Terraform's answers unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pio_tf.ci_job import refuse_credential_process, refuse_from_checkout
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

_DROPPED = ("TF_CLI_ARGS", "TF_LOG", "TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG")
"""Prefixes of variables: extra arguments, logs amid the output, another workspace or data directory."""
_STATIC_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_ONE_STATE = (
    "a cluster has one state, under a key of its own: in another workspace it would seem never to have been made"
)


def terraform_environ(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Terraform.

    Credentials that pio-tf.hcl names (aws.profile, aws.credentials_file) take precedence over access keys in the
    environment, as in boto3; the provider would prefer the latter. A TF_CLI_CONFIG_FILE that names no file is left
    out: Terraform warns about it in every output.

    Raises:
        ConfigError: this is a CI job, and the checkout contains what Terraform would run.
    """
    result = {name: value for name, value in environ.items() if not name.startswith(_DROPPED)}
    cli_config = config.terraform.cli_config_file or _existing_file(environ.get("TF_CLI_CONFIG_FILE"))
    if cli_config is not None:
        what = f"{config.where('terraform.cli_config_file')}: terraform.cli_config_file"
        if config.terraform.cli_config_file is None:
            what = "TF_CLI_CONFIG_FILE"
        path = config.path.parent / cli_config
        refuse_from_checkout(
            path, what, start=config.path.parent, environ=environ, instead="name a file that the runner has"
        )
        result["TF_CLI_CONFIG_FILE"] = str(path)
    if config.aws.credentials_file is not None or config.aws.profile is not None:
        for name in _STATIC_KEYS:
            result.pop(name, None)
    if config.aws.credentials_file is not None:
        credentials = config.path.parent / config.aws.credentials_file
        refuse_credential_process(credentials, start=config.path.parent, environ=environ)
        result["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
    if config.aws.profile is not None:
        result["AWS_PROFILE"] = config.aws.profile
    result.update(TF_IN_AUTOMATION="1", TF_INPUT="0", CHECKPOINT_DISABLE="1")
    return result


def refuse_workspace(directory: Path, environ: Mapping[str, str]) -> None:
    """Refuse any workspace of Terraform's but the default one, in the user's environment or in the stack's directory.

    Raises:
        ConfigError: TF_WORKSPACE names another one, or `terraform workspace select` has chosen one in the stack.
    """
    wanted = environ.get("TF_WORKSPACE", "")
    if wanted not in ("", "default"):
        raise ConfigError(
            f"TF_WORKSPACE names the workspace {wanted}, and pio-tf uses no workspaces",
            cause=_ONE_STATE,
            next_step="unset TF_WORKSPACE; a second environment is a pio-tf.hcl with another cluster.name",
        )
    try:
        selected = (directory / ".terraform" / "environment").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return
    if selected not in ("", "default"):
        raise ConfigError(
            f"in {directory} the workspace {selected} is selected, and pio-tf uses no workspaces",
            cause=_ONE_STATE,
            next_step=f"terraform -chdir={directory} workspace select default",
        )


def _existing_file(name: str | None) -> Path | None:
    path = Path(name).absolute() if name else None
    return path if path is not None and path.is_file() else None
